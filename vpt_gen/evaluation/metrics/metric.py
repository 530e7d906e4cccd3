"""What every metric provides.

A metric is a small class in its own file; `metrics/__init__.py` lists them.
"""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

from vpt_gen.errors import UserError
from vpt_gen.evaluation.features import Features, FeatureSpace
from vpt_gen.evaluation.figures import Figure, Value
from vpt_gen.evaluation.yardstick import Measured, Yardstick


class Metric:
    """One or more figures that are computed together.

    Attributes:
      figures: its figures, in this order.
    """

    figures: ClassVar[tuple[Figure, ...]]

    def fits(self, space: str) -> bool:
        """Whether it is computed in the feature space of this name."""
        del space
        return True

    def measure(self, yardstick: Yardstick, generated: Measured) -> Sequence[Value]:
        """Returns a value for each of `figures`.

        Args:
          yardstick: real images.
          generated: the images to measure.

        Raises:
          UserError: it cannot be computed for these images; the message says why.
        """
        raise NotImplementedError


class Distance(Metric):
    """Compares two sets of images by their features only.

    It is computed twice by the same code: for generated against real images, and for as many real
    images against others, which is its floor.
    """

    def compare(self, space: FeatureSpace, images: Features, real: Features) -> Sequence[Value]:
        """Returns a value for each of `figures`; see `measure` for errors."""
        raise NotImplementedError

    def measure(self, yardstick: Yardstick, generated: Measured) -> Sequence[Value]:
        space, count = yardstick.extractor.space, len(generated.features.indices)
        values = self.compare(space, generated.features, yardstick.real.features)
        return [
            _with_floor(value, floor)
            for value, floor in zip(values, self._floors(yardstick, count), strict=True)
        ]

    def _floors(self, yardstick: Yardstick, count: int) -> Sequence[Value | None]:
        """Returns the figures of real images, computed once for all sets of `count` images."""
        key = type(self).__name__, count
        if key not in yardstick.floors:
            drawn, tried = yardstick.real_against_real(count)
            about = {"floor_of": f"{drawn} against {tried}", "floor_seed": yardstick.seed}
            try:
                values = self.compare(yardstick.extractor.space, drawn.features, tried.features)
            except UserError:
                yardstick.floors[key] = [None] * len(self.figures)
            else:
                yardstick.floors[key] = [
                    dataclasses.replace(value, details={**value.details, **about})
                    for value in values
                ]
        return yardstick.floors[key]


def _with_floor(value: Value, floor: Value | None) -> Value:
    if floor is None:
        return value
    about = {name: floor.details[name] for name in ("floor_of", "floor_seed")}
    if size := floor.details.get("subset_size"):
        about["floor_subset_size"] = size
    return dataclasses.replace(value, floor=floor.value, details={**value.details, **about})
