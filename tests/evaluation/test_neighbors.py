"""Neighbors, copies and diversity, where the answer is known."""

import numpy as np
import pytest

from vpt_gen.errors import UserError
from vpt_gen.evaluation import pairwise
from vpt_gen.evaluation.neighbors import (
    intra_class_diversity,
    memorization_rate,
    nearest,
)


def gaussian(seed, count, width=6):
    return np.random.default_rng(seed).standard_normal((count, width))


def test_nearest_by_hand():
    found = nearest(np.array([[0.0, 0.0], [10.0, 4.0]]), np.array([[3.0, 4.0], [10.0, 5.0]]))
    np.testing.assert_allclose(found.distances, [5.0, 1.0])
    np.testing.assert_array_equal(found.indices, [0, 1])


def test_equal_rows_are_at_distance_zero_and_the_first_is_named():
    rows = 1e3 + np.repeat(gaussian(0, 50), 2, axis=0).astype(np.float32)
    found = nearest(rows, rows)
    np.testing.assert_array_equal(found.distances, 0.0)
    np.testing.assert_array_equal(found.indices, np.arange(100) // 2 * 2)


def test_blocks_change_nothing(monkeypatch):
    queries, references = gaussian(0, 100), gaussian(1, 80)
    whole = nearest(queries, references)
    monkeypatch.setattr(pairwise, "_BLOCK_BYTES", 8 * 80 * 7)
    np.testing.assert_allclose(nearest(queries, references).distances, whole.distances)
    np.testing.assert_array_equal(nearest(queries, references).indices, whole.indices)


def test_copies_score_one_also_where_training_images_are_far_apart():
    train = gaussian(0, 300) * np.repeat([1.0, 100.0], 150)[:, None]
    held_out = gaussian(1, 300) * np.repeat([1.0, 100.0], 150)[:, None]
    near = train + 1e-2 * np.abs(train) * gaussian(2, 300)
    assert memorization_rate(train, train, held_out).rate == 1.0
    assert memorization_rate(near, train, held_out).rate == 1.0


def test_new_real_images_score_the_nominal_rate():
    rates, nominal = [], None
    for seed in range(0, 300, 3):
        train, held_out, new = (gaussian(seed + i, 60) for i in range(3))
        found = memorization_rate(new, train, held_out, nominal=0.1)
        rates.append(found.rate)
        nominal = found.nominal
    assert nominal == pytest.approx(6 / 61)
    # The standard error of the mean is 0.005: 60 images of a rate that itself varies by 0.04.
    assert np.mean(rates) == pytest.approx(nominal, abs=0.015)


def test_the_held_out_images_stay_below_the_nominal_rate():
    train, held_out = gaussian(0, 200), gaussian(1, 199)
    found = memorization_rate(held_out, train, held_out)
    assert found.nominal == pytest.approx(0.05)
    assert found.rate == pytest.approx(9 / 199)


def test_a_rate_that_few_held_out_images_cannot_give_is_raised():
    found = memorization_rate(gaussian(0, 40), gaussian(1, 40), gaussian(2, 4))
    assert found.nominal == pytest.approx(0.2)


def test_copies_of_repeated_training_images_are_flagged():
    train = np.repeat(gaussian(0, 20), 9, axis=0)
    found = memorization_rate(train[::9], train, gaussian(1, 40))
    assert found.rate == 1.0 and np.all(found.ratios == 0.0)
    # Two of each leave three others to compare with.
    train = np.repeat(gaussian(0, 20), 2, axis=0)
    near = train[::2] + 1e-3 * gaussian(2, 20)
    assert memorization_rate(near, train, gaussian(1, 40)).rate == 1.0


def test_held_out_copies_of_training_images_do_not_lower_the_threshold():
    train, held_out = gaussian(0, 300), gaussian(1, 99)
    held_out[:5] = train[:5]
    near = train + 1e-2 * gaussian(2, 300)
    found = memorization_rate(near, train, held_out)
    assert found.rate > 0.9 and found.copies == 5
    alone = memorization_rate(near, train, held_out[5:])
    assert (found.rate, found.nominal, found.threshold) == (alone.rate, 4 / 95, alone.threshold)
    assert alone.copies == 0
    # A generator of those copies still copies.
    assert memorization_rate(held_out[:5], train, held_out).rate == 1.0


def test_held_out_images_that_are_all_copies_give_no_threshold():
    train = gaussian(0, 40)
    with pytest.raises(UserError, match="all 7 are exact copies"):
        memorization_rate(gaussian(1, 5), train, train[3:10])


def test_changed_copies_of_an_image_that_is_repeated_often_are_flagged():
    train = np.concatenate([gaussian(0, 60), np.repeat(gaussian(5, 1), 10, axis=0)])
    near = train[-1:] + 1e-3 * gaussian(2, 20)
    found = memorization_rate(near, train, gaussian(1, 40))
    assert found.rate == 1.0
    np.testing.assert_array_equal(found.nearest.indices, 60)
    with pytest.raises(UserError, match="two different training images"):
        memorization_rate(near, train[-5:], gaussian(1, 40))


def test_a_nominal_rate_that_ties_do_not_allow_is_not_named():
    train = np.arange(20.0)[:, None] * 10
    held_out = np.array([[52.0], [82.0], [112.0], [141.0]])
    found = memorization_rate(held_out, train, held_out, nominal=0.4)
    assert found.nominal is None and found.threshold == pytest.approx(2 / 15)
    assert found.flagged.tolist() == [False, False, False, True]
    # Two equal held-out images are no obstacle elsewhere.
    assert memorization_rate(held_out, train, held_out, nominal=0.2).nominal == 0.2


def test_of_training_images_at_the_same_distance_the_first_is_named():
    random = np.random.default_rng(0)
    train, queries = (random.integers(0, 3, (n, 9)).astype(np.float64) for n in (200, 50))
    squares = ((queries[:, None] - train) ** 2).sum(axis=2)
    np.testing.assert_array_equal(nearest(queries, train).indices, squares.argmin(axis=1))


def test_two_training_images_are_enough():
    found = memorization_rate(np.array([[0.1], [0.5]]), np.array([[0.0], [1.0]]), np.array([[0.4]]))
    np.testing.assert_allclose(found.ratios, [1 / 9, 1.0])
    np.testing.assert_array_equal(found.flagged, [True, False])
    assert (found.rate, found.nominal) == (0.5, 0.5)
    assert found.threshold == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ((0, 5, 5), "at least 1 sample, not 0"),
        ((5, 1, 5), "at least 2 training images, not 1"),
        ((5, 5, 0), "at least 1 held-out image, not 0"),
    ],
)
def test_too_few_images_are_said(counts, message):
    with pytest.raises(UserError, match=message):
        memorization_rate(*(gaussian(0, count) for count in counts))
    with pytest.raises(UserError, match="no images to search for neighbors"):
        nearest(gaussian(0, 3), gaussian(0, 0))


def test_diversity_is_averaged_over_classes():
    features = np.array([[0.0], [2.0], [4.0], [10.0], [20.0], [99.0]])
    ids = np.array([7, 7, 7, 3, 3, 5])
    # (2 + 4 + 2) / 3 and 10; the class of one image does not count.
    assert intra_class_diversity(features, ids) == pytest.approx((8 / 3 + 10) / 2)
    with pytest.raises(UserError, match="a class with two images or more"):
        intra_class_diversity(features, np.arange(6))
