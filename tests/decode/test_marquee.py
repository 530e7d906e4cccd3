"""Marquee weights, and the prompts they make."""

import numpy as np
import pytest

from vpt_gen.decode import marquee


@pytest.mark.parametrize(
    "weights",
    [
        marquee.constant(5, 3, header=1),
        marquee.instance_to_class(5, cutoff=2.5),
        marquee.scroll(5, 3),
        marquee.scroll(1, 1),
        marquee.scroll(2, 5),
    ],
)
def test_rows_are_weights(weights):
    assert weights.dtype == np.float32
    np.testing.assert_array_equal(marquee.check_weights(weights, *weights.shape), weights)


def test_constant_stays_on_its_header():
    np.testing.assert_array_equal(marquee.constant(3), np.ones((3, 1)))
    np.testing.assert_array_equal(marquee.constant(2, 3, header=2), [[0, 0, 1], [0, 0, 1]])


@pytest.mark.parametrize("header", [-1, 2])
def test_constant_needs_a_header_that_exists(header):
    with pytest.raises(ValueError, match="header"):
        marquee.constant(3, 2, header)


def test_instance_to_class_follows_its_formula():
    # Iteration t = 1..T has the class weight min((t - 1) / cutoff, 1) ** 2.
    weights = marquee.instance_to_class(6, cutoff=4.0)
    np.testing.assert_allclose(weights[:, 1], [0, 1 / 16, 4 / 16, 9 / 16, 1, 1], rtol=1e-6)


def test_a_smaller_cutoff_leaves_the_instance_earlier():
    early, late = (marquee.instance_to_class(12, cutoff) for cutoff in (2.0, 8.0))
    assert (early[1:8, 1] > late[1:8, 1]).all()


def test_a_cutoff_past_the_end_never_reaches_the_class():
    weights = marquee.instance_to_class(4, cutoff=100.0)
    np.testing.assert_allclose(weights[-1], [1 - 0.03**2, 0.03**2], rtol=1e-6)


@pytest.mark.parametrize("cutoff", [0.0, -1.0])
def test_cutoff_must_be_positive(cutoff):
    with pytest.raises(ValueError, match="cutoff"):
        marquee.instance_to_class(4, cutoff)


def test_scroll_hits_each_header_in_turn():
    weights = marquee.scroll(9, 5)
    np.testing.assert_array_equal(weights[::2], np.eye(5))
    np.testing.assert_allclose(weights[1], [0.5, 0.5, 0, 0, 0])


@pytest.mark.parametrize("num_headers", [1, 2, 5])
def test_scroll_with_one_iteration_has_the_class_prompt(num_headers):
    np.testing.assert_array_equal(marquee.scroll(1, num_headers), np.eye(num_headers)[-1:])


def test_scroll_runs_from_the_first_header_to_the_last():
    weights = marquee.scroll(12, 4)
    np.testing.assert_array_equal(weights[[0, -1]], np.eye(4)[[0, -1]])
    assert (np.diff(weights @ np.arange(4)) > 0).all()


@pytest.mark.parametrize(
    "weights",
    [
        np.ones((3, 1)),
        np.full((2, 2), 0.4),
        np.array([[1.5, -0.5], [0.5, 0.5]]),
        np.array([[np.nan, 1.0], [0.5, 0.5]]),
        np.ones(2),
    ],
    ids=["shape", "sum", "negative", "nan", "vector"],
)
def test_bad_matrix_is_an_error(weights):
    with pytest.raises(ValueError, match="marquee matrix"):
        marquee.check_weights(weights, 2, 2)


def test_prompts_of_an_iteration_mix_each_images_own_headers():
    bank = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
    weights = np.array([[1, 0, 0], [0, 0, 1], [0.25, 0.5, 0.25], [0, 0.1, 0.9]], np.float32)
    prompts = marquee.interpolate(weights, bank)
    assert prompts.shape == (4, 2, 4, 5)
    np.testing.assert_allclose(prompts[0], bank[:, 0], rtol=1e-6)
    np.testing.assert_allclose(prompts[1], bank[:, 2], rtol=1e-6)
    mixed = 0.25 * bank[:, 0] + 0.5 * bank[:, 1] + 0.25 * bank[:, 2]
    np.testing.assert_allclose(prompts[2], mixed, rtol=1e-5, atol=1e-6)
