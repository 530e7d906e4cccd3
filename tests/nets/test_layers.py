"""Products of few rows, which take another way on a CPU, against plain ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vpt_gen.nets import layers


def noise(seed, *shape, dtype=jnp.float32):
    return jax.random.normal(jax.random.key(seed), shape, dtype)


@pytest.mark.parametrize("batch", [1, 2, 8, 9])
@pytest.mark.parametrize("width", [48, 50])
def test_a_decoding_step_multiplies_as_a_sequence_does(batch, width):
    x, matrix, bias = noise(0, batch, 1, width), noise(1, width, 7), noise(2, 7)
    expected = np.asarray(x, np.float64) @ np.asarray(matrix, np.float64)
    np.testing.assert_allclose(layers.wide_product(x, matrix), expected, atol=1e-4)
    np.testing.assert_allclose(layers.dense(x, matrix, bias), expected + bias, atol=1e-4)


def test_few_rows_of_a_smaller_type_are_summed_in_float32():
    x, matrix = noise(0, 2, 1, 4096), noise(1, 4096, 3, dtype=jnp.bfloat16)
    found = layers.wide_product(x, matrix)
    rounded = np.asarray(x.astype(jnp.bfloat16), np.float64)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, rounded @ np.asarray(matrix, np.float64), atol=1e-2)


def test_gradients_pass_through_few_rows():
    x, matrix = noise(0, 3, 1, 32), noise(1, 32, 5)
    of_x, of_matrix = jax.grad(lambda *a: layers.wide_product(*a).sum(), (0, 1))(x, matrix)
    np.testing.assert_allclose(of_x[0, 0], matrix.sum(1), atol=1e-5)
    np.testing.assert_allclose(of_matrix[:, 0], x.sum((0, 1)), atol=1e-5)
