"""Computes all figures of a set of images by one pass over them."""

import dataclasses
import functools

import numpy as np

from vpt_gen.evaluation.figures import Found
from vpt_gen.evaluation.image_sets import ImageSet, tapped
from vpt_gen.evaluation.metrics import METRICS
from vpt_gen.evaluation.yardstick import Measured, Yardstick, pictured


def measure(yardstick: Yardstick, images: ImageSet) -> tuple[Found, Measured]:
    """Returns the figures of generated images against real ones, and their features."""
    pictures: list[np.ndarray] = []
    chosen = pictured(images) & (yardstick.lpips is not None)
    with_pictures = dataclasses.replace(
        images, stream=lambda: tapped(images.stream(), chosen, pictures)
    )
    generated = yardstick.features_of(with_pictures)
    generated = dataclasses.replace(generated, pictures=pictures)
    found = Found()
    for metric in METRICS:
        if metric.fits(yardstick.extractor.space.name):
            found.take(metric.figures, functools.partial(metric.measure, yardstick, generated))
    return found, generated
