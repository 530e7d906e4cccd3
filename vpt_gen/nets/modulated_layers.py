"""Modulation by a vector (adaLN), and the layer of `nets/halton_maskgit.py` that has it.

Source: valeoai/Halton-MaskGIT, `Network/transformer.py`; adaLN is from DiT (arXiv 2212.09748), the
gated MLP (SwiGLU) from arXiv 2002.05202.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from vpt_gen.nets.additions import Adapter, with_prefix
from vpt_gen.nets.attention import attention, dropout_mask
from vpt_gen.nets.layers import Dense, FromHeads, ToHeads, sum_type
from vpt_gen.nets.layout import named

NORM_EPSILON = 1e-5

kernel_init = nn.initializers.normal(0.02)


class Modulation(nn.Module):
    """Vectors (..., D) -> (..., count * D): `count` factors or terms for norms and branches.

    All are 0 before training, so that layers start as the identity.
    """

    count: int

    @nn.compact
    def __call__(self, vectors: jax.Array) -> jax.Array:
        zeros = nn.initializers.zeros
        parts = Dense(self.count * vectors.shape[-1], zeros, name="linear")(nn.silu(vectors))
        return parts.astype(sum_type(parts.dtype))


def rms_norm(name: str) -> nn.RMSNorm:
    """RMSNorm with the epsilon of every norm in the release."""
    return nn.RMSNorm(epsilon=NORM_EPSILON, name=name)


def _plain_norm(*axes: int, name: str | None = None) -> nn.RMSNorm:
    """RMSNorm without parameters, over some axes."""
    return nn.RMSNorm(epsilon=NORM_EPSILON, use_scale=False, reduction_axes=axes, name=name)


class BiasedRMSNorm(nn.Module):
    """RMSNorm with a scale and a bias: x (..., D) -> (..., D)."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],))
        return _plain_norm(-1)(x) * scale + bias


class NormedAttention(nn.Module):
    """x (B, L, D) -> (B, L, D): every position attends to every other.

    Queries and keys are normalized over the whole width of the heads, not per head. It is
    H * (D // H), which differs from D if H does not divide it.
    """

    num_heads: int
    dropout_rate: float

    @nn.compact
    def __call__(self, x: jax.Array, deterministic: bool) -> jax.Array:
        d = x.shape[-1]
        query, key, value = (
            ToHeads(self.num_heads, kernel_init, False, d // self.num_heads, name=name)(x)
            for name in ("query", "key", "value")
        )
        query = _plain_norm(1, 3, name="query_norm")(query)
        key = _plain_norm(1, 3, name="key_norm")(key)
        key, value = with_prefix(self, key, value)
        kept = None
        if self.dropout_rate > 0 and not deterministic:
            shape = (query.shape[2], key.shape[2])
            kept = dropout_mask(self.make_rng("dropout"), self.dropout_rate, shape)
        attended = attention(query, key, value, None, kept)
        return FromHeads(kernel_init, False, d, name="projection")(attended)


class GatedMlp(nn.Module):
    """x (..., D) -> (..., D), by silu(gate x) * in x in the middle; no biases."""

    intermediate_size: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        gate, hidden = (
            named(self._dense(self.intermediate_size, name)(x), "batch", None, "hidden")
            for name in ("mlp_gate", "mlp_in")
        )
        return self._dense(x.shape[-1], "mlp_out")(nn.silu(gate) * hidden)

    def _dense(self, features: int, name: str) -> Dense:
        return Dense(features, kernel_init, False, name=name)


class ModulatedLayer(nn.Module):
    """x -> x + gate * branch(norm(x) * (1 + scale) + shift), for attention and for the MLP."""

    num_heads: int
    intermediate_size: int
    dropout_rate: float

    @nn.compact
    def __call__(self, x: jax.Array, vectors: jax.Array, deterministic: bool) -> jax.Array:
        """Applies the layer to x (B, L, D), modulated by vectors (B, D)."""
        parts = Modulation(6, name="modulation")(vectors)[:, None]
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = jnp.split(parts, 6, axis=-1)
        normed = rms_norm("attention_norm")(x) * (1 + scale) + shift
        attended = NormedAttention(self.num_heads, self.dropout_rate, name="attention")(
            normed, deterministic
        )
        attended = nn.Dropout(self.dropout_rate)(attended, deterministic)
        x = named(x + gate * Adapter(name="attention_adapter")(attended), "batch")
        normed = rms_norm("mlp_norm")(x) * (1 + mlp_scale) + mlp_shift
        output = GatedMlp(self.intermediate_size, name="mlp")(normed)
        output = nn.Dropout(self.dropout_rate)(output, deterministic)
        return named(x + mlp_gate * Adapter(name="mlp_adapter")(output), "batch")
