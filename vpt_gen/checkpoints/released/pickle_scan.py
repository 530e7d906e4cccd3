"""Scans a pickle's opcodes before it is loaded, for those that would crash the unpickler.

Python's unpickler trusts the pickle: it allocates its memo for any index, and a tuple that is
nested a million deep, or repeatedly contains itself twice, overflows the stack or never finishes
when it becomes a key.
"""

import pickletools
from typing import BinaryIO, cast

from vpt_gen.errors import UserError

_MOST_NESTED = 10_000
_NESTING = {"TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "FROZENSET"}
_IN_PLACE = {"APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD"}


def check(file: BinaryIO) -> None:
    """Reads one pickle from the file's position.

    Raises:
      UserError: memo indices or tuples that no writer of tensors makes.
      ValueError, IndexError, KeyError: it is not a pickle, or is incomplete.
    """
    # How many tuples each value on the unpickler's stack, and in its memo, consists of.
    stack: list[int | None] = []  # None is a mark.
    memo: dict[int, int | None] = {}
    for opcode, argument, _ in pickletools.genops(file):
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
        else:
            _run(opcode, stack)


def _run(opcode: pickletools.OpcodeInfo, stack: list[int | None]) -> None:
    """Pops an opcode's arguments from the stack and pushes its results."""
    below, parts = opcode.stack_before, []
    if pickletools.stackslice in below:
        while (part := stack.pop()) is not None:
            parts.append(part)
        below = below[: below.index(pickletools.markobject)]
    parts += [stack.pop() or 0 for _ in below]
    tuples = 0
    if opcode.name in _NESTING:
        tuples = 1 + sum(parts)
    elif opcode.name in _IN_PLACE:
        tuples = parts[-1]
    if tuples > _MOST_NESTED:
        raise UserError(f"it nests more than {_MOST_NESTED} tuples")
    stack.extend(tuples for _ in opcode.stack_after)
