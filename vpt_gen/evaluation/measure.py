"""Computes all figures of a set of images by one pass over them."""

import functools

import numpy as np

from vpt_gen.evaluation.figures import Found
from vpt_gen.evaluation.image_sets import ImageSet
from vpt_gen.evaluation.metrics import chosen_metrics
from vpt_gen.evaluation.yardstick import Measured, Yardstick


def measure(
    yardstick: Yardstick, images: ImageSet, shown: np.ndarray | None = None
) -> tuple[Found, Measured]:
    """Returns the figures of generated images against real ones, and their features.

    Args:
      yardstick: real images.
      images: generated ones.
      shown: (n,) bool, images to keep in `Measured.pictures`, as well as those that metrics need.
    """
    generated = yardstick.features_of(images, pictured(yardstick, images, shown))
    found = Found()
    for metric in chosen_metrics(yardstick.extractor.space.name, yardstick.also):
        found.take(metric.figures, functools.partial(metric.measure, yardstick, generated))
    return found, generated


def pictured(yardstick: Yardstick, images: ImageSet, shown: np.ndarray | None = None) -> np.ndarray:
    """Marks the images (n,) that `measure` keeps; for the arguments see there."""
    needed = np.zeros(len(images), bool) if shown is None else shown.copy()
    if yardstick.lpips is not None:
        for metric in chosen_metrics(yardstick.extractor.space.name, yardstick.also):
            needed |= metric.pictured(images)
    return needed
