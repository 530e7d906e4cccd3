"""Flags that take the numbers of a range."""

from typing import Any

from absl import flags

from vpt_gen.ranges import Range, check_number, range_of


def define_number(name: str, default: float | None, kind: Any, about: str) -> None:
    """Defines a flag that takes numbers of a range; --help shows the range.

    Args:
      name: of the flag.
      default: None if the flag may be left out.
      kind: a type of `ranges.py`, such as `Count`.
      about: the text of --help.
    """
    flags.DEFINE(NumberParser(name, range_of(kind)), name, default, about)


class NumberParser(flags.ArgumentParser):
    """Reads a flag's number; UserError if it is not in the range."""

    def __init__(self, name: str, of: Range):
        self.name, self.range = name, of
        self.syntactic_help = str(of)

    def parse(self, argument: Any) -> float:
        """Returns the number that a command line gives, or a default's."""
        try:
            value = int(argument) if self.range.whole else float(argument)
        except ValueError:
            value = argument
        check_number(f"--{self.name}", value, self.range)
        return value

    def flag_type(self) -> str:
        """Returns the type that absl lists."""
        return "int" if self.range.whole else "float"
