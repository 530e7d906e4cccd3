"""Figures: name and meaning, value, and why others could not be computed."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vpt_gen.errors import UserError


@dataclasses.dataclass(frozen=True)
class Figure:
    """Description of a figure.

    Attributes:
      name: in `metrics.json`.
      better: which values are better: "lower", "higher", "neither" (like those of real images), or
        "not below real" (no value above that of real images is better than another).
      meaning: one sentence.
      label: the name in tables; '' for `name` with spaces.
      copied: whether copies of the reference would get the best value.
    """

    name: str
    better: str
    meaning: str
    label: str = ""
    copied: bool = True

    def __str__(self) -> str:
        return self.label or self.name.replace("_", " ").replace("intra class", "intra-class")


@dataclasses.dataclass(frozen=True)
class Value:
    """A measured figure.

    Attributes:
      value: the figure.
      std: its standard deviation, if the metric gives one.
      floor: the value of real images, if it can be measured.
      details: its own part of the protocol, for JSON.
    """

    value: float
    std: float | None = None
    floor: float | None = None
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Found:
    """Figures by name, all finite, and why others could not be computed."""

    values: dict[str, Value] = dataclasses.field(default_factory=dict)
    left_out: dict[str, str] = dataclasses.field(default_factory=dict)

    def take(self, figures: Sequence[Figure], measure: Callable[[], Sequence[Value]]) -> None:
        """Adds the values of `measure` for `figures`, or the reason for its failure."""
        names = [figure.name for figure in figures]
        try:
            values = measure()
        except UserError as error:
            self.left_out.update(dict.fromkeys(names, str(error)))
            return
        for name, value in zip(names, values, strict=True):
            if math.isfinite(value.value):
                self.values[name] = value
            else:
                self.left_out[name] = f"Its value, {value.value}, is not a finite number."
