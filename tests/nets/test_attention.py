"""Attention against the plain formula: values, gradients, masks, dropout and types."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vpt_gen.nets.attention import attention, dropout_mask

SHAPE = (2, 3, 5, 4)
CAUSAL = jnp.tril(jnp.ones((5, 5), bool))
KEPT = dropout_mask(jax.random.key(9), 0.4, (5, 5))


def plain(query, key, value, visible, kept):
    scores = jnp.einsum("bhqe,bhke->bhqk", query, key) / np.sqrt(query.shape[-1])
    if visible is not None:
        scores = jnp.where(visible, scores, -1e30)
    probabilities = jax.nn.softmax(scores)
    probabilities = probabilities if kept is None else probabilities * kept
    return jnp.einsum("bhqk,bhke->bhqe", probabilities, value)


def inputs(dtype=jnp.float32):
    keys = jax.random.split(jax.random.key(0), 3)
    return [3.0 * jax.random.normal(key, SHAPE, dtype) for key in keys]


@pytest.mark.slow
@pytest.mark.parametrize("visible", [None, CAUSAL])
@pytest.mark.parametrize("kept", [None, KEPT])
def test_values_and_gradients_are_the_plain_formulas(visible, kept):
    direction = jax.random.normal(jax.random.key(1), SHAPE)

    def both(function):
        def loss(*arrays):
            output = function(*arrays, visible, kept)
            return jnp.sum(output * direction), output

        (_, output), gradients = jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True)(
            *inputs()
        )
        return (output, *gradients)

    for ours, expected in zip(both(attention), both(plain), strict=True):
        np.testing.assert_allclose(ours, expected, atol=2e-5)


def test_large_scores_do_not_overflow():
    query, key, value = (100.0 * x for x in inputs())
    output = attention(query, key, value)
    assert jnp.isfinite(output).all()
    np.testing.assert_allclose(output, plain(query, key, value, None, None), atol=1e-3)


def test_bfloat16_stays_near_float32():
    halved = [x.astype(jnp.bfloat16) for x in inputs()]
    output = attention(*halved)
    assert output.dtype == jnp.bfloat16
    expected = plain(*(x.astype(jnp.float32) for x in halved), None, None)
    np.testing.assert_allclose(output.astype(jnp.float32), expected, atol=0.03)


def test_a_dropout_mask_keeps_the_mean():
    mask = dropout_mask(jax.random.key(0), 0.25, (100, 100))
    np.testing.assert_allclose(np.unique(mask), [0.0, 1 / 0.75], rtol=1e-6)
    np.testing.assert_allclose(mask.mean(), 1.0, atol=0.02)
