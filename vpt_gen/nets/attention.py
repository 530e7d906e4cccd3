"""Multi-head attention whose step through frozen layers costs little beyond its products.

Matrices may be of a smaller type than float32: products then take their factors in that type and
sum in float32, and so does the softmax.
"""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from vpt_gen.nets.additions import with_prefix
from vpt_gen.nets.layers import (
    FromHeads,
    ToHeads,
    sum_type,
)

# Name for rematerialization policies (see `nets/stack.py`): (B, H, L, L') of every layer.
PROBABILITIES = "attention_probabilities"


class LayerCache(NamedTuple):
    """Keys and values of a layer, (B, H, L, E) each; of stacked layers (layers, B, H, L, E)."""

    keys: jax.Array
    values: jax.Array


def _product(subscripts: str, *factors: jax.Array) -> jax.Array:
    """Einsum in the type of the last factor, summed and kept in `sum_type`."""
    dtype = factors[-1].dtype
    alike = (x.astype(dtype) for x in factors)
    return jnp.einsum(subscripts, *alike, preferred_element_type=sum_type(dtype))


@jax.custom_vjp
def attention(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    visible: jax.Array | None = None,
    kept: jax.Array | None = None,
) -> jax.Array:
    """softmax(query key^T / sqrt(E)) value for every head.

    Args:
      query: (B, H, L, E).
      key: (B, H, L', E).
      value: (B, H, L', E).
      visible: bool (L, L'), False if a position must not attend; None: it attends to all.
      kept: (L, L'), factors of the probabilities: dropout, the same for all heads.

    Returns:
      (B, H, L, E), in the type of `query`.
    """
    return _forward(query, key, value, visible, kept)[0]


def _forward(query, key, value, visible, kept):
    scores = _product("bhqe,bhke->bhqk", query * query.shape[-1] ** -0.5, key)
    if visible is not None:
        scores = jnp.where(visible, scores, -jnp.inf)
    weights = jnp.exp(scores - scores.max(axis=-1, keepdims=True))
    weights = checkpoint_name(weights.astype(query.dtype), PROBABILITIES)
    # Dividing (L, E) instead of (L, L') saves a pass over the largest array of the layer.
    total = weights.sum(axis=-1, keepdims=True, dtype=sum_type(query.dtype))
    summed = _product("bhqk,bhke->bhqe", _times(weights, kept), value)
    output = (summed / total).astype(query.dtype)
    return output, (query, key, value, weights, total, output, kept)


def _backward(saved, gradient):
    """Takes sums over rows of (L, L') from (L, E) instead if the two are equal."""
    query, key, value, weights, total, output, kept = saved
    scale = query.shape[-1] ** -0.5
    gradient = (gradient / total).astype(query.dtype)
    along = jnp.sum(gradient * output, axis=-1, keepdims=True, dtype=sum_type(query.dtype))
    of_weights = _times(_product("bhqe,bhke->bhqk", gradient, value), kept)
    of_scores = (weights * (of_weights - along)).astype(query.dtype)
    of_query = scale * _product("bhqk,bhke->bhqe", of_scores, key)
    # As (E, L') and transposed afterward: half the time of transposing the larger factor.
    of_key = scale * _product("bhqe,bhqk->bhek", query, of_scores)
    of_value = _product("bhqe,bhqk->bhek", gradient, _times(weights, kept))
    return (
        of_query.astype(query.dtype),
        jnp.swapaxes(of_key, 2, 3).astype(key.dtype),
        jnp.swapaxes(of_value, 2, 3).astype(value.dtype),
        None,
        None,
    )


def _times(x: jax.Array, factor: jax.Array | None) -> jax.Array:
    return x if factor is None else (x * factor).astype(x.dtype)


attention.defvjp(_forward, _backward)


def dropout_mask(key: jax.Array, rate: float, shape: tuple[int, ...]) -> jax.Array:
    """0 with probability `rate`, else 1 / (1 - rate)."""
    return jax.random.bernoulli(key, 1.0 - rate, shape) / (1.0 - rate)


class SelfAttention(nn.Module):
    """x (B, L, D) -> (B, L, D): every position attends to every other.

    `input_biases`: whether queries, keys and values have biases.
    """

    num_heads: int
    dropout_rate: float
    kernel_init: Callable
    input_biases: bool = True

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        deterministic: bool,
        cache: LayerCache | None = None,
        positions: jax.Array | None = None,
    ) -> tuple[jax.Array, LayerCache]:
        """Attends from `x` to `x`, or to a longer sequence of which `x` is a part.

        Args:
          x: (B, A, D).
          deterministic: no dropout.
          cache: the layer's keys and values at all L positions; None: `x` is the whole sequence.
          positions: (B, A), where `x` belongs in the cache.

        Returns:
          (B, A, D), and the keys and values including those of `x`.
        """
        query, key, value = (
            ToHeads(self.num_heads, self.kernel_init, self.input_biases, name=name)(x)
            for name in ("query", "key", "value")
        )
        if cache is not None:
            images = jnp.arange(len(x))[:, None]
            key, value = (
                old.at[images, :, positions].set(jnp.swapaxes(new, 1, 2))
                for old, new in zip(cache, (key, value), strict=True)
            )
        own = LayerCache(key, value)
        key, value = with_prefix(self, key, value)
        kept = None
        if self.dropout_rate > 0 and not deterministic:
            shape = (query.shape[2], key.shape[2])
            kept = dropout_mask(self.make_rng("dropout"), self.dropout_rate, shape)
        attended = attention(query, key, value, None, kept)
        return FromHeads(self.kernel_init, name="out")(attended), own
