"""Distances against closed forms."""

import numpy as np
import pytest
import scipy.linalg

from vpt_gen.evaluation.distances import frechet


@pytest.fixture
def features():
    generator = np.random.default_rng(0)
    return generator.standard_normal((400, 5)) @ generator.standard_normal((5, 5))


def test_a_set_is_at_distance_zero_from_itself(features):
    assert abs(frechet(features, features)) < 1e-8


def test_a_shift_costs_its_squared_length(features):
    shift = np.arange(5.0)
    np.testing.assert_allclose(frechet(features, features + shift), shift @ shift)


def test_the_general_case_agrees_with_the_matrix_square_root(features):
    other = np.random.default_rng(1).standard_normal((300, 5)) * np.arange(1, 6) + 1
    a, b = np.cov(features, rowvar=False), np.cov(other, rowvar=False)
    difference = features.mean(0) - other.mean(0)
    expected = difference @ difference + np.trace(a + b - 2 * scipy.linalg.sqrtm(a @ b).real)
    np.testing.assert_allclose(frechet(features, other), expected)
    np.testing.assert_allclose(frechet(other, features), expected)


def test_degenerate_features_are_no_obstacle():
    flat = np.zeros((50, 4))
    flat[:, 0] = np.linspace(0, 1, 50)
    assert np.isfinite(frechet(flat, flat[::-1] * 2))
