"""LlamaGen's tokenizer: the VQGAN of Taming Transformers with codes of length 1.

Source: LlamaGen (arXiv 2406.06525), FoundationVision/LlamaGen `tokenizer/tokenizer_image/
vq_model.py`. Halton-MaskGIT (arXiv 2503.17076) uses it too. Encoder and decoder are those of
`nets/taming_vqgan.py`, with attention at the lowest resolution; the decoder's levels are numbered
as there, 0 being the full resolution. Codes have 8 numbers.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from vpt_gen.nets.taming_vqgan import TamingVQGAN
from vpt_gen.nets.vqgan import Quantizer, squared_distances
from vpt_gen.ranges import DepthOrZero, Size

_SHORTEST = 1e-12  # Shorter vectors keep their direction and become shorter than 1.


def unit_length(x: jax.Array) -> jax.Array:
    """Divides vectors (..., d) by their lengths."""
    squared = jnp.sum(x * x, axis=-1, keepdims=True)
    return x * jax.lax.rsqrt(jnp.maximum(squared, _SHORTEST**2))


class UnitQuantizer(Quantizer):
    """The nearest code by direction. The stored codebook is raw: training does not keep it at 1."""

    def __call__(self, latents: jax.Array) -> jax.Array:
        """Latents (..., d) of any length -> token ids (...) in [0, K)."""
        distances = squared_distances(unit_length(latents), unit_length(self.codebook))
        return jnp.argmin(distances, axis=-1).astype(jnp.int32)

    def lookup(self, tokens: jax.Array) -> jax.Array:
        """Token ids (...) in [0, K) -> codes of length 1, (..., d)."""
        return unit_length(super().lookup(tokens))


class LlamaGenVQGAN(TamingVQGAN):
    """The tokenizer; the defaults are the published one of factor 16, `vq_ds16_c2i`.

    `encode` gives latents of any length. A reconstruction's latents have length 1, as their codes.
    """

    attention_levels: Sequence[DepthOrZero] = (4,)
    embedding_dim: Size = 8

    quantizer_class = UnitQuantizer

    @nn.nowrap
    def comparable(self, vectors: jax.Array) -> jax.Array:
        return unit_length(vectors)
