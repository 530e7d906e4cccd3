"""Scans a msgpack file before Flax loads it, for what would cost more than its size.

msgpack allocates lists of the length that a file declares, one inside the other, before it finds
that their items are missing; and a long name of a module becomes a part of the name of everything
in it.
"""

import io
from typing import Any

import msgpack

_LONGEST_NAME = 256  # bytes
_MOST_LEAVES = 10_000
_DEEPEST = 16
_LARGEST = 2**31 - 1  # bytes of one value; msgpack's own limit


def check(content: bytes) -> None:
    """Checks the content of a file of nested parameters.

    Raises:
      ValueError: names, numbers of values or nesting that no net has.
      Exception: msgpack's many errors for content that is damaged or of another kind.
    """
    _check_lengths(content)
    tree = msgpack.unpackb(
        content,
        ext_hook=lambda _, array: _check_lengths(array),
        max_str_len=_LONGEST_NAME,
        max_bin_len=_LONGEST_NAME,
    )
    if _leaves(tree, 0) > _MOST_LEAVES:
        raise ValueError(f"it holds more than {_MOST_LEAVES} values")


def _check_lengths(content: bytes) -> None:
    """Reads a value without making it, so that a length beyond the file's end is an error."""
    msgpack.Unpacker(io.BytesIO(content), max_buffer_size=_LARGEST).skip()


def _leaves(tree: Any, depth: int) -> int:
    """Returns how many values and containers a tree has; ValueError for a very deep one."""
    if not isinstance(tree, dict | list):
        return 1
    if depth > _DEEPEST:
        raise ValueError(f"it nests more than {_DEEPEST} times")
    below = tree.values() if isinstance(tree, dict) else tree
    return sum(_leaves(part, depth + 1) for part in below) + 1
