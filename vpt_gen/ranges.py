"""Ranges of numbers: what a config field or a program's flag may be.

A range is part of a type, such as `Count`. Dataclasses whose fields are config fields (nets,
methods, decoders) use these types as annotations, so that a field's range stands next to its
default; `config/ranges.py` lists the other fields, and `machine/number_flags.py` defines flags.
"""

import dataclasses
import numbers
import typing
from collections.abc import Sequence
from typing import Annotated, Any

from vpt_gen.errors import UserError


@dataclasses.dataclass(frozen=True)
class Range:
    """The finite numbers between two bounds; `value in range` is False for NaN and booleans.

    Attributes:
      low: the smallest number.
      high: the largest number.
      whole: whether numbers must be whole.
      above: whether `low` itself is too small.
      below: whether `high` itself is too large.
      also: one more number, with a meaning of its own.
    """

    low: float
    high: float
    whole: bool = False
    above: bool = False
    below: bool = False
    also: float | None = None

    def __contains__(self, value: Any) -> bool:
        kind = numbers.Integral if self.whole else numbers.Real
        if not isinstance(value, kind) or isinstance(value, bool):
            return False
        number: Any = value  # Comparable, which the type checker does not know of these kinds.
        low = number > self.low if self.above else number >= self.low
        high = number < self.high if self.below else number <= self.high
        return number == self.also or (low and high)

    def __str__(self) -> str:
        """Returns words that continue "it must be"."""
        also = "" if self.also is None else f"{self.also:,}, or "
        kind = "a whole number" if self.whole else "a number"
        if self.above:
            ends = f"above {self.low:,} and {'below' if self.below else 'up to'} {self.high:,}"
        else:
            ends = f"from {self.low:,} to {'below ' * self.below}{self.high:,}"
        return f"{also}{kind} {ends}"


# JAX's keys use 32 bits of a seed: seeds that differ by 2^32 would draw the same images.
Seed = Annotated[int, Range(0, 2**32 - 1, whole=True)]
# Updates of a run; their counter has 32 bits.
Updates = Annotated[int, Range(1, 2**31 - 1, whole=True)]
UpdatesOrZero = Annotated[int, Range(0, 2**31 - 1, whole=True)]
# Images, classes, iterations, ...
Count = Annotated[int, Range(1, 10**6, whole=True)]
CountOrZero = Annotated[int, Range(0, 10**6, whole=True)]
# Two or more, for what needs a pair.
Several = Annotated[int, Range(2, 10**6, whole=True)]
# Layers of a net.
Depth = Annotated[int, Range(1, 1000, whole=True)]
DepthOrZero = Annotated[int, Range(0, 1000, whole=True)]
# Widths, ranks, heads: axes of arrays.
Size = Annotated[int, Range(1, 2**16, whole=True)]
SizeOrZero = Annotated[int, Range(0, 2**16, whole=True)]
# Pixels along a side of an image.
Side = Annotated[int, Range(1, 2**13, whole=True)]
SideOrZero = Annotated[int, Range(0, 2**13, whole=True)]
# Of TCP, without those that the system chooses.
Port = Annotated[int, Range(1, 2**16 - 1, whole=True)]
# Factors and costs.
Positive = Annotated[float, Range(0, 10**6, above=True)]
NotNegative = Annotated[float, Range(0, 10**6)]
# Parts of a whole.
Share = Annotated[float, Range(0, 1)]
ShareBelowOne = Annotated[float, Range(0, 1, below=True)]
# Terms that keep a quotient finite.
Epsilon = Annotated[float, Range(0, 1, above=True, below=True)]


def range_in(annotation: Any) -> Range | None:
    """Returns the range in a type such as `Count` or `tuple[Size, ...]`; None without one."""
    if isinstance(annotation, Range):
        return annotation
    return next(filter(None, map(range_in, typing.get_args(annotation))), None)


def range_of(kind: Any) -> Range:
    """Returns the range in one of the types above."""
    found = range_in(kind)
    assert found is not None, kind
    return found


def ranges_of(options: type[Any]) -> dict[str, Range]:
    """Returns the ranges of a dataclass's fields, by name, of those that have one."""
    found = {field.name: range_in(field.type) for field in dataclasses.fields(options)}
    return {name: of for name, of in found.items() if of is not None}


def check_number(name: str, value: Any, of: Range) -> None:
    """Raises UserError unless a number, or each of several, is in its range.

    Args:
      name: as the user gives it: "config.seed" or "--seed".
      value: a number, or a sequence of numbers.
      of: the range.
    """
    several = isinstance(value, Sequence) and not isinstance(value, str)
    if not all(number in of for number in (value if several else [value])):
        raise UserError(f"{name} is {value!r}; {'each' if several else 'it'} must be {of}.")
