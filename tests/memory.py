"""Asserts how much memory code allocates, whatever the machine and its speed."""

import contextlib
import tracemalloc
from collections.abc import Iterator


@contextlib.contextmanager
def allocating_at_most(num_bytes: int) -> Iterator[None]:
    """Context in which Python and NumPy may hold so many bytes more than before."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before <= num_bytes, f"allocated {peak - before:,} bytes, allowed {num_bytes:,}"
