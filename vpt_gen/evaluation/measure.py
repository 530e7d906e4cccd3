"""Computes all figures of a set of images by one pass over them."""

import dataclasses
import functools

import numpy as np

from vpt_gen.evaluation.figures import Found
from vpt_gen.evaluation.image_sets import ImageSet, tapped
from vpt_gen.evaluation.metrics import chosen_metrics
from vpt_gen.evaluation.yardstick import Measured, Yardstick


def measure(yardstick: Yardstick, images: ImageSet) -> tuple[Found, Measured]:
    """Returns the figures of generated images against real ones, and their features."""
    metrics = chosen_metrics(yardstick.extractor.space.name, yardstick.also)
    needed = np.zeros(len(images), bool)
    if yardstick.lpips is not None:
        for metric in metrics:
            needed |= metric.pictured(images)
    pictures: list[np.ndarray] = []
    with_pictures = dataclasses.replace(
        images, stream=lambda: tapped(images.stream(), needed, pictures)
    )
    generated = yardstick.features_of(with_pictures)
    numbers = np.flatnonzero(needed).tolist()
    generated = dataclasses.replace(generated, pictures=dict(zip(numbers, pictures, strict=True)))
    found = Found()
    for metric in metrics:
        found.take(metric.figures, functools.partial(metric.measure, yardstick, generated))
    return found, generated
