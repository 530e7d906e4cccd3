"""Running moments and reservoir against the whole arrays."""

import numpy as np
import pytest

from vpt_gen.errors import UserError
from vpt_gen.evaluation.accumulators import Moments, Reservoir

RANDOM = np.random.default_rng(0)
# A mean that is large against the spread: a sum of squares would lose half of the digits.
ROWS = (1e4 + RANDOM.standard_normal((500, 7)) @ RANDOM.standard_normal((7, 7))).astype(np.float32)


def fed(accumulator, rows, size):
    for start in range(0, len(rows), size):
        accumulator.update(rows[start : start + size])
    return accumulator


def assert_moments(moments, rows):
    mean, covariance = moments.finish()
    rows = rows.astype(np.float64)
    np.testing.assert_allclose(mean, rows.mean(axis=0), rtol=1e-14)
    expected = np.cov(rows, rowvar=False)
    np.testing.assert_allclose(covariance, expected, atol=1e-10 * expected.max())


@pytest.mark.parametrize("size", [1, 64, 500])
def test_moments_of_a_stream_are_those_of_the_array(size):
    assert_moments(fed(Moments(7), ROWS, size), ROWS)


def test_merged_moments_are_those_of_both():
    merged = fed(Moments(7), ROWS[:120], 50)
    merged.merge(fed(Moments(7), ROWS[120:], 64))
    merged.merge(Moments(7))
    assert merged.count == 500
    assert_moments(merged, ROWS)


def test_one_row_has_no_covariance():
    with pytest.raises(UserError, match="two images or more, but there is 1"):
        fed(Moments(7), ROWS[:1], 1).finish()


def drawn(count, cap, size, seed=0):
    """(rows, indices) of a reservoir fed with rows that are their own numbers."""
    reservoir = Reservoir({"a": 2, "b": 1}, cap, seed)
    for start in range(0, count, size):
        numbers = np.arange(start, min(start + size, count), dtype=np.float32)[:, None]
        reservoir.update({"a": np.repeat(numbers, 2, axis=1), "b": -numbers})
    return reservoir.finish()


@pytest.mark.parametrize("count", [0, 5, 10])
def test_reservoir_keeps_all_in_order_up_to_its_cap(count):
    rows, indices = drawn(count, cap=10, size=3)
    np.testing.assert_array_equal(indices, np.arange(count))
    np.testing.assert_array_equal(rows["a"][:, 1], np.arange(count))


@pytest.mark.parametrize("size", [1, 7, 100])
def test_beyond_the_cap_rows_and_indices_agree_whatever_the_batches(size):
    rows, indices = drawn(100, cap=10, size=size)
    assert len(set(indices)) == 10 and list(indices) == sorted(indices)
    np.testing.assert_array_equal(rows["a"][:, 0], indices)
    np.testing.assert_array_equal(rows["b"][:, 0], -indices)
    np.testing.assert_array_equal(indices, drawn(100, cap=10, size=100)[1])


def test_beyond_the_cap_every_row_is_as_likely():
    times = np.zeros(20)
    for seed in range(2000):
        times[drawn(20, cap=5, size=8, seed=seed)[1]] += 1
    # 500 expected, with a standard deviation of 19.
    assert times.min() > 415 and times.max() < 585
