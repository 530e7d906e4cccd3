"""A figure: what it is called and says, its value, and why others could not be taken."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vpt_gen.errors import UserError


@dataclasses.dataclass(frozen=True)
class Figure:
    """What a figure is.

    Attributes:
      name: in `metrics.json`.
      better: which values are better: "lower", "higher" or "neither".
      meaning: a sentence for people.
      label: the name as people write it; '' is `name` with spaces.
    """

    name: str
    better: str
    meaning: str
    label: str = ""

    def __str__(self) -> str:
        return self.label or self.name.replace("_", " ").replace("intra class", "intra-class")


@dataclasses.dataclass(frozen=True)
class Value:
    """A figure as measured.

    Attributes:
      value: the figure.
      std: its standard deviation, if the way it is taken gives one.
      floor: what real images reach, if that can be measured.
      details: what belongs to its protocol alone, as JSON takes it.
    """

    value: float
    std: float | None = None
    floor: float | None = None
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Found:
    """Figures by name, and why others could not be taken."""

    values: dict[str, Value] = dataclasses.field(default_factory=dict)
    left_out: dict[str, str] = dataclasses.field(default_factory=dict)

    def take(self, figures: Sequence[Figure], measure: Callable[[], Sequence[Value]]) -> None:
        """Adds what `measure` gives for each of `figures`, or why it cannot."""
        names = [figure.name for figure in figures]
        try:
            self.values.update(zip(names, measure(), strict=True))
        except UserError as error:
            self.left_out.update(dict.fromkeys(names, str(error)))
