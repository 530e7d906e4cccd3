"""Scans a pickle before it is loaded, and holds what may stand for the names in it.

Python's unpickler trusts the pickle: it allocates its memo for any index. A tuple that is nested a
million deep, or repeatedly contains itself twice, overflows the stack or never finishes when it
becomes a key; a long one is read again for each dictionary that it is a key of. Large integers and
tuples can also be chosen so that all get the same place in a dictionary.
"""

import dataclasses
import pickletools
from collections.abc import Callable
from typing import BinaryIO, cast

from vpt_gen.errors import UserError

LARGEST = 2**26  # bytes; a published file's pickle has about 2**20
_MOST_NESTED = 10_000  # values
_LARGEST_NUMBER = 2**60  # Python's hashes of integers start again at 2**61.
_NESTING = {"TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "FROZENSET"}
_NUMBERS = {"INT", "LONG", "LONG1", "LONG4"}
_IN_PLACE = {"APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD"}


class Fixed:
    """Base of what a pickle can name or make, but not change."""

    def __setstate__(self, state):
        raise UserError("it changes an object that it made; numbers need no code")


@dataclasses.dataclass(frozen=True, eq=False)
class StandIn(Fixed):
    """What a name means here; the work of each call must be bounded."""

    call: Callable

    def __call__(self, *arguments):
        return self.call(*arguments)


def check(file: BinaryIO, largest: int = LARGEST) -> None:
    """Reads one pickle, of at most `largest` bytes, from the file's position.

    Raises:
      UserError: a size, memo indices, tuples or keys that no writer of tensors makes.
      ValueError, IndexError, KeyError: it is not a pickle, or is incomplete.
    """
    # The weight of each value on the unpickler's stack, and in its memo: how many values it
    # consists of if it is a tuple, 1 if it is a large integer, otherwise 0.
    stack: list[int | None] = []  # None is a mark.
    memo: dict[int, int | None] = {}
    start, weight_of_keys = file.tell(), 0
    for opcode, argument, _ in pickletools.genops(file):
        if file.tell() - start > largest:
            raise UserError(f"its pickle has more than {largest:,} bytes")
        if opcode.name == "MARK":
            stack.append(None)
        elif "PUT" in opcode.name or opcode.name == "MEMOIZE":
            place = len(memo) if argument is None else argument
            if place > file.tell():
                raise UserError("its memo is larger than the file")
            memo[place] = stack[-1]
        elif "GET" in opcode.name:
            stack.append(memo[cast(int, argument)])
        elif opcode.name == "DUP":
            stack.append(stack[-1])
        elif opcode.name in _NUMBERS:
            stack.append(int(abs(cast(int, argument)) > _LARGEST_NUMBER))
        else:
            weight_of_keys += _run(opcode, stack)
            if weight_of_keys > _MOST_NESTED:
                raise UserError("its dictionaries have too many keys that are no names")


def _run(opcode: pickletools.OpcodeInfo, stack: list[int | None]) -> int:
    """Pops an opcode's arguments from the stack and pushes its results.

    Returns:
      The weight of what becomes a key.
    """
    below, parts = opcode.stack_before, []
    if pickletools.stackslice in below:
        while (part := stack.pop()) is not None:
            parts.append(part)
        below = below[: below.index(pickletools.markobject)]
    parts += [stack.pop() or 0 for _ in below]
    weight = 0
    if opcode.name in _NESTING:
        weight = sum(1 + part for part in parts)
    elif opcode.name in _IN_PLACE:
        weight = parts[-1]
    if weight > _MOST_NESTED:
        raise UserError(f"it nests more than {_MOST_NESTED} values in a tuple")
    stack.extend(weight for _ in opcode.stack_after)
    # The last pushed is the first popped: a value, its key, and so on; a set has keys alone.
    if opcode.name in ("SETITEM", "SETITEMS", "DICT"):
        return sum(parts[1::2])
    return sum(parts) if opcode.name in ("ADDITEMS", "FROZENSET") else 0
