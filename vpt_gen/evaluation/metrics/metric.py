"""What every metric provides.

A metric is a small class in its own file; `metrics/__init__.py` lists them.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np

from vpt_gen.errors import UserError
from vpt_gen.evaluation.features import Features, FeatureSpace
from vpt_gen.evaluation.figures import Figure, Value
from vpt_gen.evaluation.image_sets import ImageSet
from vpt_gen.evaluation.yardstick import Measured, Yardstick, draw


class Metric:
    """One or more figures that are computed together.

    Attributes:
      figures: its figures, in this order.
      on_request: whether it takes so long, or is needed so rarely, that it is only measured if one
        of its figures is asked for.
    """

    figures: ClassVar[tuple[Figure, ...]]
    on_request: ClassVar[bool] = False

    def fits(self, space: str) -> bool:
        """Whether it is computed in the feature space of this name."""
        del space
        return True

    def pictured(self, images: ImageSet) -> np.ndarray:
        """Marks the generated images (n,) whose pixels it needs, beside their features."""
        return np.zeros(len(images), bool)

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

    Attributes:
      grows: whether it grows with the number of images, so that fewer real ones give no floor.
    """

    grows: ClassVar[bool] = False

    def compare(self, space: FeatureSpace, images: Features, real: Features) -> Sequence[Value]:
        """Returns a value for each of `figures`; see `measure` for errors."""
        raise NotImplementedError

    def measure(self, yardstick: Yardstick, generated: Measured) -> Sequence[Value]:
        space, count = yardstick.extractor.space, len(generated.features.indices)

        def floors():
            drawn, tried = yardstick.real_against_real(count)
            if self.grows and len(drawn.features.indices) < count:
                raise UserError(f"There are only {drawn} to compare {count:,} with.")
            values = self.compare(space, drawn.features, tried.features)
            return values, f"{drawn} against {tried}"

        values = self.compare(space, generated.features, yardstick.real.features)
        return with_floors(self, yardstick, count, values, floors)


class AgainstTraining(Metric):
    """Compares generated images with those trained on and with held-out ones, by their features.

    One half of the held-out images in place of the generated ones, and the other half as held-out
    ones, give its floor.
    """

    def compare(
        self, space: FeatureSpace, images: Features, train: Features, held_out: Features
    ) -> Sequence[Value]:
        """Returns a value for each of `figures`; see `measure` for errors."""
        raise NotImplementedError

    def measure(self, yardstick: Yardstick, generated: Measured) -> Sequence[Value]:
        if yardstick.train is None:
            raise UserError(
                "Copies cannot be detected: no images were held out from training, or the training "
                "images are not known; set config.data.holdout above 0, or give --train with "
                "--reference."
            )
        space, count = yardstick.extractor.space, len(generated.features.indices)
        known, real = yardstick.features_of(yardstick.train), yardstick.real

        def floors():
            half = min(count, len(real.features.indices) // 2)
            drawn, others = draw(real.features, half, yardstick.seed)
            values = self.compare(space, drawn, known.features, others)
            return values, f"{half:,} of {real}, with the others held out"

        values = self.compare(space, generated.features, known.features, real.features)
        about = {"trained_on": str(known), "held_out": str(real)}
        values = [replace(value, details={**value.details, **about}) for value in values]
        return with_floors(self, yardstick, count, values, floors)


def with_floors(
    metric: Metric,
    yardstick: Yardstick,
    count: int,
    values: Sequence[Value],
    floors: Callable[[], tuple[Sequence[Value], str]],
) -> Sequence[Value]:
    """Returns a metric's values with the floors: the figures of real images.

    These are computed once for all sets of `count` images. A metric that fails for real images has
    no floor.

    Args:
      metric: that measured.
      yardstick: real images.
      count: of the measured images.
      values: of the generated images.
      floors: -> the values of real images, and what these are, in words.
    """
    key = type(metric).__name__, count
    if key not in yardstick.floors:
        try:
            found, about = floors()
        except UserError:
            yardstick.floors[key] = [None] * len(metric.figures)
        else:
            drawn = {"floor_of": about, "floor_seed": yardstick.seed}
            yardstick.floors[key] = [
                replace(value, details={**value.details, **drawn}) for value in found
            ]
    return [
        _with_floor(value, floor)
        for value, floor in zip(values, yardstick.floors[key], strict=True)
    ]


def _with_floor(value: Value, floor: Value | None) -> Value:
    if floor is None:
        return value
    about = {name: floor.details[name] for name in ("floor_of", "floor_seed")}
    if size := floor.details.get("subset_size"):
        about["floor_subset_size"] = size
    return replace(value, floor=floor.value, details={**value.details, **about})
