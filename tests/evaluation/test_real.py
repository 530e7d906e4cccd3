"""The yardstick: it must tell classes apart, and noise from the real thing."""

import numpy as np
import pytest

from vpt_gen.evaluation.real import RealImages

pytest.importorskip("sklearn")


def striped(count, seed):
    """Label 0: rows, label 1: columns; with noise."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(2, size=count)
    stripes = np.indices((32, 32)) % 4 < 2
    images = stripes[labels][..., None] * 0.8 + 0.2 * generator.random((count, 32, 32, 3))
    return images.astype(np.float32), labels


@pytest.fixture(scope="module")
def real():
    return RealImages(striped(200, 0), striped(100, 1), 16, 100, seed=0)


def test_the_classifier_agrees_with_real_labels_only(real):
    images, labels = striped(60, 2)
    assert real.agreement() == 1.0
    assert real.classifier.agreement(images, labels) == 1.0
    assert real.classifier.agreement(images, 1 - labels) == 0.0


def test_real_images_lie_at_the_floor_and_noise_far_from_it(real):
    noise = np.random.default_rng(3).random((100, 32, 32, 3))
    assert real.distance(striped(100, 4)[0]) < 3 * real.floor + 0.1
    assert real.distance(noise) > 20 * real.floor
