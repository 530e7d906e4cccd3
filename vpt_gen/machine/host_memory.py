"""Keeps freed memory in the process.

XLA on a CPU allocates the memory of every step from the C library and frees it afterward. By
default glibc returns blocks of that size to the system at once, and every page of the next step is
then mapped and cleared again. That costs a sixth of a tuning step at full size, and two fifths of a
step of the demo's model.
"""

import ctypes

# Constants of glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_M_ARENA_MAX = -8
_NEVER = 2**31 - 1


def keep() -> bool:
    """Asks glibc to keep freed memory; call it before memory is allocated.

    Returns:
      Whether glibc is there: it is not on macOS or under musl.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    # Threads' own arenas are trimmed whatever the threshold; XLA's steps run on such threads.
    wanted = {_M_ARENA_MAX: 1, _M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: _NEVER}
    return all(mallopt(name, value) for name, value in wanted.items())
