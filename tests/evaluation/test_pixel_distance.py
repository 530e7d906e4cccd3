"""The distance on pixels: real images at its floor, noise far from it."""

import numpy as np
import pytest

from vpt_gen.evaluation.pixel_distance import PixelDistance

pytestmark = pytest.mark.slow

pytest.importorskip("sklearn")


def striped(count, seed):
    """Pixels of rows and of columns in turn, with noise: (n, 3072)."""
    generator = np.random.default_rng(seed)
    stripes = np.indices((32, 32)) % 4 < 2
    images = stripes[np.arange(count) % 2][..., None] * 0.8
    return (images + 0.2 * generator.random((count, 32, 32, 3))).reshape(count, -1)


def test_real_images_lie_at_the_floor_and_noise_far_from_it():
    distance = PixelDistance(striped(200, 0), striped(100, 1), 16)
    floor = distance(striped(100, 2))
    noise = np.random.default_rng(3).random((100, 3072))
    assert distance(striped(100, 4)) < 3 * floor + 0.1
    assert distance(noise) > 20 * floor
