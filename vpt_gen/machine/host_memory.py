"""Freed memory stays with the process.

XLA on a CPU takes the memory of every step from the C library and gives it back afterwards. By
default glibc hands blocks of that size to the system at once, and every page of the next step is
then fetched, and cleared, anew. That costs a sixth of a tuning step at full size, and two fifths
of one of the demo's model.
"""

import ctypes

# Numbers of glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_M_ARENA_MAX = -8
_NEVER = 2**31 - 1


def keep() -> bool:
    """Asks glibc to keep what is freed; call it before the memory is taken.

    Returns:
      Whether there is such a thing to ask: it is not on macOS or under musl.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    # Threads' own arenas are trimmed whatever the threshold; XLA's steps run on such threads.
    wanted = {_M_ARENA_MAX: 1, _M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: _NEVER}
    return all(mallopt(name, value) for name, value in wanted.items())
