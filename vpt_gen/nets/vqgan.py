"""The MaskGIT VQGAN: image -> grid of discrete visual tokens -> image.

Source: MaskGIT (arXiv 2202.04200), google-research/maskgit `maskgit/nets/vqgan_tokenizer.py` and
`layers.py`. Parameter names and shapes are the released ones.
"""

import math
from collections.abc import Sequence
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vpt_gen.nets.group_norm import GroupNorm
from vpt_gen.nets.layout import named
from vpt_gen.nets.precision import exact_products
from vpt_gen.ranges import Count, DepthOrZero, Size


def _conv(filters: int, width: int = 3, use_bias: bool = True) -> nn.Conv:
    return nn.Conv(filters, (width, width), use_bias=use_bias)


def _norm_swish(x: jax.Array) -> jax.Array:
    """GroupNorm (32 groups) and swish; call it inside a compact method only."""
    return nn.swish(GroupNorm()(x))


def average_pool(x: jax.Array) -> jax.Array:
    """Means (B, ceil(H/2), ceil(W/2), C) over 2x2 pixels; at an odd edge, over the existing ones.

    Computed by slices: the release divides by sums of ones, for which XLA folds image-sized
    constants during most of an encoder's compilation time.
    """
    _, h, w, _ = x.shape
    x = jnp.pad(x, ((0, 0), (0, h % 2), (0, w % 2), (0, 0)))
    top, bottom = x[:, ::2], x[:, 1::2]
    total = top[:, :, ::2] + top[:, :, 1::2] + bottom[:, :, ::2] + bottom[:, :, 1::2]
    rows, columns = (np.minimum(2.0, n - np.arange(0, n, 2)) for n in (h, w))
    return total * (1.0 / np.outer(rows, columns))[..., None].astype(x.dtype)


class ResBlock(nn.Module):
    """Two norm-swish-conv stages on (B, H, W, C_in), giving (B, H, W, filters).

    If the channel count changes, the released code applies its 1x1 "shortcut" to the *output*
    of the second convolution and drops the block's input; the released weights need exactly this.
    """

    filters: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        residual = x
        x = _conv(self.filters, use_bias=False)(_norm_swish(x))
        x = _conv(self.filters, use_bias=False)(_norm_swish(x))
        if residual.shape[-1] != self.filters:
            residual = _conv(self.filters, width=1, use_bias=False)(x)
        return named(x + residual, "batch")


class Encoder(nn.Module):
    """Images (B, H, W, 3) in [0, 1] -> latents (B, H/f, W/f, embedding_dim).

    f = 2 ** (len(channel_multipliers) - 1). Sides that f does not divide are rounded up: the
    average pooling is SAME, and an edge window divides by its number of real pixels. With
    `drops_odd_edges` they are rounded down instead.
    """

    filters: int
    channel_multipliers: Sequence[int]
    num_res_blocks: int
    embedding_dim: int
    drops_odd_edges: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = _conv(self.filters, use_bias=False)(x)
        for level, multiplier in enumerate(self.channel_multipliers):
            for _ in range(self.num_res_blocks):
                x = ResBlock(self.filters * multiplier)(x)
            if level < len(self.channel_multipliers) - 1:
                if self.drops_odd_edges:
                    x = x[:, : x.shape[1] // 2 * 2, : x.shape[2] // 2 * 2]
                x = average_pool(x)
        for _ in range(self.num_res_blocks):
            x = ResBlock(x.shape[-1])(x)
        return _conv(self.embedding_dim, width=1)(_norm_swish(x))


class Decoder(nn.Module):
    """Quantized latents (B, h, w, embedding_dim) -> images (B, f*h, f*w, 3).

    The result nominally lies in [0, 1] and is not clipped.
    """

    filters: int
    channel_multipliers: Sequence[int]
    num_res_blocks: int
    out_channels: int = 3

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = _conv(self.filters * self.channel_multipliers[-1])(x)
        for _ in range(self.num_res_blocks):
            x = ResBlock(x.shape[-1])(x)
        for level, multiplier in reversed(list(enumerate(self.channel_multipliers))):
            for _ in range(self.num_res_blocks):
                x = ResBlock(self.filters * multiplier)(x)
            if level > 0:
                x = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
                x = _conv(self.filters * multiplier)(x)
        return _conv(self.out_channels)(_norm_swish(x))


def squared_distances(latents: jax.Array, codebook: jax.Array) -> jax.Array:
    """Squared Euclidean distances of latents (..., d) to codebook (K, d) -> (..., K).

    Computed without rounding the factors, which would make another code the nearest.
    """
    latent_norm = jnp.sum(latents**2, axis=-1, keepdims=True)
    code_norm = jnp.sum(codebook**2, axis=-1)
    products = jnp.matmul(2 * latents, codebook.T, precision=jax.lax.Precision.HIGHEST)
    return latent_norm - products + code_norm


class Quantizer(nn.Module):
    """Nearest codebook entry, by squared Euclidean distance; the codes are not normalized."""

    codebook_size: int
    embedding_dim: int

    def setup(self):
        init = nn.initializers.variance_scaling(1.0, "fan_in", "uniform")
        self.codebook = self.param("codebook", init, (self.codebook_size, self.embedding_dim))

    def __call__(self, latents: jax.Array) -> jax.Array:
        """Latents (..., d) -> token ids (...) in [0, K)."""
        distances = squared_distances(latents, self.codebook)
        return jnp.argmin(distances, axis=-1).astype(jnp.int32)

    def lookup(self, tokens: jax.Array) -> jax.Array:
        """Token ids (...) in [0, K) -> codebook rows (..., d)."""
        return jnp.take(self.codebook, tokens, axis=0)


class Tokenizer(nn.Module):
    """Base of every VQGAN: uses its `encode`, `decode` and `quantizer`.

    A subclass has the field `channel_multipliers`, one per level.
    """

    # Fields that follow from the data; a pretraining config has the others.
    from_data: ClassVar[tuple[str, ...]] = ()
    # Names of the parameters that only `decode` uses.
    decoder_parts: ClassVar[tuple[str, ...]] = ("decoder",)
    # Whether tokens form a grid over the image; if not, h is 1 and w is N wherever they are (h, w).
    is_spatial: ClassVar[bool] = True

    @property
    def downsampling(self) -> int:
        """Pixels per token along each side."""
        return 2 ** (len(self.channel_multipliers) - 1)

    @nn.nowrap
    def token_shape(self, image_size: int) -> tuple[int, int]:
        """Returns h and w of the tokens of a square image."""
        return (image_size // self.downsampling,) * 2

    @nn.nowrap
    def takes(self, image_size: int) -> bool:
        """Tells whether it can tokenize square images of a side."""
        return image_size % self.downsampling == 0

    @nn.nowrap
    def arranged(self, tokens: jax.Array) -> jax.Array:
        """Visual tokens (B, N) of square images -> (B, h, w), as `detokenize` takes them."""
        side = math.isqrt(tokens.shape[-1])
        return tokens.reshape(-1, side, side)

    @nn.nowrap
    def comparable(self, vectors: jax.Array) -> jax.Array:
        """Returns latents or stored codes (..., d) as the quantizer compares them."""
        return vectors

    def tokenize(self, images: jax.Array) -> jax.Array:
        """Images (B, H, W, 3) in [0, 1] -> token ids (B, h, w) in [0, K)."""
        return self.quantizer(self.encode(images))

    def codes(self, tokens: jax.Array) -> jax.Array:
        """Token ids (B, h, w) in [0, K) -> codes (B, h, w, d), which `decode` takes."""
        return self.quantizer.lookup(tokens)

    def detokenize(self, tokens: jax.Array) -> jax.Array:
        """Token ids (B, h, w) in [0, K) -> images (B, H, W, 3), not clipped."""
        return self.decode(self.codes(tokens))

    def __call__(
        self, images: jax.Array, quantization: jax.Array | float = 1.0
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Reconstructs images with a straight-through gradient past the quantizer.

        Args:
          images: (B, H, W, 3) in [0, 1].
          quantization: 1, or 0 to reconstruct from the unquantized latents.

        Returns:
          Reconstructions (B, H, W, 3), `comparable` latents (B, h, w, d), token ids (B, h, w).
        """
        codes, latents, tokens = self.quantized(images, quantization)
        return self.decode(codes), latents, tokens

    def quantized(
        self, images: jax.Array, quantization: jax.Array | float = 1.0
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Returns what `decode` takes, (B, h, w, d), instead of reconstructions; see `__call__`."""
        latents = self.comparable(self.encode(images))
        tokens = self.quantizer(latents)
        error = self.codes(tokens) - latents
        straight_through = latents + quantization * jax.lax.stop_gradient(error)
        return straight_through, latents, tokens


class VQGAN(Tokenizer):
    """The tokenizer; the defaults are MaskGIT's at 256 px (factor 16, 1024 codes).

    `drops_odd_edges`: pooling drops the last of an odd number of rows or columns, as in PyTorch,
    instead of averaging what there is. Sides that `downsampling` divides have none.
    """

    from_data = ("drops_odd_edges",)

    filters: Size = 128
    channel_multipliers: Sequence[Size] = (1, 1, 2, 2, 4)
    num_res_blocks: DepthOrZero = 2
    embedding_dim: Size = 256
    codebook_size: Count = 1024
    drops_odd_edges: bool = False

    def setup(self):
        shape = (self.filters, self.channel_multipliers, self.num_res_blocks)
        self.encoder = Encoder(*shape, self.embedding_dim, self.drops_odd_edges)
        self.decoder = Decoder(*shape)
        self.quantizer = Quantizer(self.codebook_size, self.embedding_dim)

    def encode(self, images: jax.Array) -> jax.Array:
        """Images (B, H, W, 3) in [0, 1] -> latents (B, h, w, d), before quantization."""
        with exact_products():  # Tokens must be the same on every device.
            return self.encoder(images)

    def decode(self, quantized: jax.Array) -> jax.Array:
        """Codebook vectors (B, h, w, d) -> images (B, H, W, 3), not clipped."""
        return self.decoder(quantized)
