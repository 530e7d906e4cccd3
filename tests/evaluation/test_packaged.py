"""What the figures say of real images, in the space that needs no download.

A set against itself gives the floor, missing classes are seen, and so are copies.
"""

import functools

import numpy as np
import pytest

from tests import honesty
from vpt_gen.evaluation.distances import (
    density_coverage,
    frechet,
    kid,
    precision_recall,
)
from vpt_gen.evaluation.neighbors import memorization_rate

pytestmark = pytest.mark.slow

pytest.importorskip("sklearn")
pytest.importorskip("skimage")


@functools.cache
def features(name):
    """Feature -> its rows (n, d) for a set, and labels."""
    images, labels = honesty.load(name, most=1200)
    extractor = honesty.extractor()
    found = extractor.collect(extractor.stream(images), keep=["latents", "layout"])
    return found.rows, labels


@pytest.fixture(params=honesty.SETS)
def rows(request):
    """Features and labels of a set, in the order of its images."""
    return features(request.param)


@pytest.fixture
def halves(rows):
    """(features that distances are taken in, labels) of two halves of a set."""
    of, labels = rows
    middle = len(labels) // 2
    return (of["latents"][:middle], labels[:middle]), (of["latents"][middle:], labels[middle:])


def test_a_set_against_itself_gives_the_floor(halves):
    (a, _), (b, _) = halves
    # Halves differ by chance alone: KID is 0 within its spread, and the shares are those of one
    # distribution (at these sizes about 0.9).
    found = kid(a, b, num_subsets=20, subset_size=len(a) // 2)
    assert abs(found.mean) < 2 * found.std
    assert frechet(a, b) < 0.2 * a.var(axis=0).sum()
    assert min(precision_recall(a, b)) > 0.8
    density, coverage = density_coverage(a, b)
    assert 0.9 < density < 1.1 and coverage > 0.9


def test_missing_classes_are_seen(halves):
    (real, _), (others, labels) = halves
    few = others[labels < (labels.max() + 1) // 2]
    same = others[: len(few)]  # As many, of all classes.
    assert precision_recall(few, real).recall < precision_recall(same, real).recall - 0.08
    assert density_coverage(few, real).coverage < density_coverage(same, real).coverage - 0.03
    assert frechet(few, real) > 2 * frechet(same, real)
    # What there is looks real all the same.
    assert precision_recall(few, real).precision > 0.85


def test_copies_are_seen_and_new_real_images_are_not(rows):
    near = rows[0][honesty.extractor().space.near]
    train, others = np.array_split(near, 2)
    held_out, new = np.array_split(others, 2)
    assert memorization_rate(train, train, held_out).rate == 1.0
    honest = memorization_rate(new, train, held_out)
    # The rate of so few images varies: two standard errors, of them and of the threshold.
    spread = 2 * np.sqrt(2 * 0.05 * 0.95 / len(new))
    assert honest.rate < honest.nominal + spread
    half_copied = np.concatenate([train[: len(new)], new])
    assert memorization_rate(half_copied, train, held_out).rate > 0.5
