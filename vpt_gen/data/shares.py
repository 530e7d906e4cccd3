"""Which rows of a global batch a process reads, for the devices that it drives.

A process is given `rows`, their numbers in every batch (`sharding.process_rows`).
"""

from collections.abc import Iterator

import numpy as np


def pass_shares(
    num_examples: int, batch_size: int, rows: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """One pass in order, batch by batch: a process's examples, and which of them count (bool).

    Every batch is full: the last is filled up with the last example, which then does not count.
    """
    for start in range(0, num_examples, batch_size):
        positions = start + rows
        yield np.minimum(positions, num_examples - 1), positions < num_examples
