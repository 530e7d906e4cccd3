"""Products in the type of their matrix."""

import jax
import jax.numpy as jnp
import numpy as np

from vpt_gen.nets import layers


def test_products_of_a_smaller_type_are_summed_in_float32():
    x = jax.random.normal(jax.random.key(0), (2, 1, 4096))
    matrix = jax.random.normal(jax.random.key(1), (4096, 3), jnp.bfloat16)
    found = layers.wide_product(x, matrix)
    rounded = np.asarray(x.astype(jnp.bfloat16), np.float64)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, rounded @ np.asarray(matrix, np.float64), atol=1e-2)
