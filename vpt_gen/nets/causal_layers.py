"""A layer of the autoregressive transformer, with a cache of the earlier keys and values.

Source: Taming Transformers (arXiv 2012.09841), `taming/modules/transformer/mingpt.py`.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from vpt_gen.nets.additions import Adapter, with_prefix
from vpt_gen.nets.attention import LayerCache, attention
from vpt_gen.nets.layers import (
    Dense,
    FromHeads,
    ToHeads,
)
from vpt_gen.nets.layout import named

_kernel_init = nn.initializers.normal(0.02)


def _layer_norm(name: str) -> nn.LayerNorm:
    return nn.LayerNorm(epsilon=1e-5, name=name)


def write(
    cache: jax.Array,
    new: jax.Array,
    start: jax.Array | int,
    layer: jax.Array | None,
    kept: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Writes `new` (B, H, T, E) into a cache, from position `start` on.

    A cache of one image may lack the batch axis.

    Args:
      cache: (B, H, L, E), (H, L, E), or of stacked layers (layers, B, H, L, E).
      new: keys or values.
      start: their first position.
      layer: its number, if the cache is stacked.
      kept: bool (B, T), positions at which the cache stays as it is; None for none.

    Returns:
      The cache, and the layer's part of it, (B, H, L, E).
    """
    if kept is not None:
        old = jax.lax.dynamic_slice_in_dim(cache, start, new.shape[2], axis=-2)
        if layer is not None:
            old = jax.lax.dynamic_index_in_dim(old, layer, keepdims=False)
        new = jnp.where(kept[:, None, :, None], old, new)
    if cache.ndim < new.ndim:
        cache = jax.lax.dynamic_update_slice_in_dim(cache, new[0], start, axis=1)
        return cache, cache[None]
    if layer is None:
        cache = jax.lax.dynamic_update_slice_in_dim(cache, new, start, axis=2)
        return cache, cache
    cache = jax.lax.dynamic_update_slice(cache, new[None], (layer, 0, 0, start, 0))
    return cache, jax.lax.dynamic_index_in_dim(cache, layer, keepdims=False)


class CausalAttention(nn.Module):
    """Multi-head attention (B, T, D) -> (B, T, D) in which no position attends to a later one.

    With an epsilon of norms, queries and keys are normalized in each head (RAR).
    """

    num_heads: int
    dropout_rate: float
    norm_epsilon: float | None = None

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        cache: LayerCache | None,
        start: jax.Array | int,
        layer: jax.Array | None,
        deterministic: bool,
    ) -> tuple[jax.Array, LayerCache]:
        """Attends from positions start..start+T-1 to themselves and to the cache before them.

        Without a cache the keys and values are those of `x` alone.
        """
        query, key, value = (
            ToHeads(self.num_heads, _kernel_init, name=name)(x)
            for name in ("query", "key", "value")
        )
        if self.norm_epsilon is not None:
            query, key = (
                nn.LayerNorm(self.norm_epsilon, name=f"{name}_norm")(x).astype(value.dtype)
                for name, x in (("query", query), ("key", key))
            )
        new_cache = LayerCache(key, value)
        if cache is not None:
            keys, key = write(cache.keys, key, start, layer)
            values, value = write(cache.values, value, start, layer)
            new_cache = LayerCache(keys, values)
        queries = start + jnp.arange(x.shape[1])
        length = key.shape[2]
        key, value = with_prefix(self, key, value)
        # An added prefix comes before all positions.
        positions = jnp.arange(length - key.shape[2], length)
        visible = positions[None, :] <= queries[:, None]
        attended = attention(query, key, value, visible)
        output = FromHeads(_kernel_init, name="projection")(attended)
        return nn.Dropout(self.dropout_rate)(output, deterministic), new_cache


class Block(nn.Module):
    """One pre-LN layer; GELU is exact."""

    num_heads: int
    intermediate_size: int
    dropout_rate: float

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        cache: LayerCache | None = None,
        start: jax.Array | int = 0,
        layer: jax.Array | None = None,
        deterministic: bool = True,
    ) -> tuple[jax.Array, LayerCache]:
        """Applies the layer to (B, T, D).

        Args:
          x: hidden states of any positions.
          cache: of this layer, or of all layers if `layer` is given; None: `x` is the whole
            sequence.
          start: position of `x` in the cache.
          layer: its number, if the cache is stacked.
          deterministic: no dropout.

        Returns:
          (B, T, D), and the cache including the keys and values of `x`.
        """
        causal_attention = CausalAttention(self.num_heads, self.dropout_rate, name="attention")
        attended, cache = causal_attention(
            _layer_norm("attention_ln")(x), cache, start, layer, deterministic
        )
        attended = Adapter(name="attention_adapter")(attended)
        x = named(x + attended, "batch")
        hidden = Dense(self.intermediate_size, _kernel_init, name="mlp_in")(
            _layer_norm("mlp_ln")(x)
        )
        hidden = nn.gelu(named(hidden, "batch", None, "hidden"), approximate=False)
        hidden = Dense(x.shape[-1], _kernel_init, name="mlp_out")(hidden)
        hidden = nn.Dropout(self.dropout_rate)(hidden, deterministic)
        x = x + Adapter(name="mlp_adapter")(hidden)
        return named(x, "batch"), cache
