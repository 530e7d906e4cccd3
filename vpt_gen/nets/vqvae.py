"""VQ-VAE: a tokenizer without norms for small images, which a CPU trains in hours.

Source: van den Oord et al., arXiv 1711.00937: residual blocks of a 3x3 and a 1x1 convolution, and
no normalization. GroupNorm of few channels removes their means, and with them the colors of an
image. Downsampling moves pixels into channels (arXiv 1609.05158), so that no convolution runs at
the full resolution.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax

from vpt_gen.nets.layout import named
from vpt_gen.nets.precision import exact_products
from vpt_gen.nets.vqgan import Quantizer, Tokenizer


def _conv(filters: int, width: int = 3) -> nn.Conv:
    return nn.Conv(filters, (width, width))


def space_to_depth(x: jax.Array) -> jax.Array:
    """(B, H, W, C) -> (B, H/2, W/2, 4C)."""
    b, h, w, c = x.shape
    x = x.reshape(b, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(b, h // 2, w // 2, 4 * c)


def depth_to_space(x: jax.Array) -> jax.Array:
    """The inverse of `space_to_depth`: (B, H, W, 4C) -> (B, 2H, 2W, C)."""
    b, h, w, c = x.shape
    x = x.reshape(b, h, w, 2, 2, c // 4).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(b, 2 * h, 2 * w, c // 4)


class _ResBlock(nn.Module):
    """Adds swish-conv-swish-conv to (B, H, W, C)."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        filters = x.shape[-1]
        residual = x
        x = _conv(filters)(nn.swish(x))
        return named(residual + _conv(filters, width=1)(nn.swish(x)), "batch")


class _Encoder(nn.Module):
    widths: Sequence[int]
    num_res_blocks: int
    embedding_dim: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for width in self.widths:
            x = _conv(width)(space_to_depth(x))
            for _ in range(self.num_res_blocks):
                x = _ResBlock()(x)
        return _conv(self.embedding_dim, width=1)(nn.swish(x))


class _Decoder(nn.Module):
    widths: Sequence[int]
    num_res_blocks: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = _conv(self.widths[-1])(x)
        for width in (*reversed(self.widths[:-1]), 3):
            for _ in range(self.num_res_blocks):
                x = _ResBlock()(x)
            x = depth_to_space(_conv(4 * width)(nn.swish(x)))
        return x


class VQVAE(Tokenizer):
    """Tokenizer with f = 2 ** len(widths); images have sides that f divides.

    Attributes:
      widths: channels after each halving of the resolution.
      num_res_blocks: at each resolution.
      embedding_dim: d, of latents and codes.
      codebook_size: K.
    """

    widths: Sequence[int] = (64, 160)
    num_res_blocks: int = 2
    embedding_dim: int = 16
    codebook_size: int = 1024

    def setup(self):
        self.encoder = _Encoder(self.widths, self.num_res_blocks, self.embedding_dim)
        self.decoder = _Decoder(self.widths, self.num_res_blocks)
        self.quantizer = Quantizer(self.codebook_size, self.embedding_dim)

    @property
    def downsampling(self) -> int:
        """Pixels per token along each side."""
        return 2 ** len(self.widths)

    def encode(self, images: jax.Array) -> jax.Array:
        """Images (B, H, W, 3) in [0, 1] -> latents (B, h, w, d), before quantization."""
        with exact_products():  # Tokens must be the same on every device.
            return self.encoder(images)

    def decode(self, quantized: jax.Array) -> jax.Array:
        """Codebook vectors (B, h, w, d) -> images (B, H, W, 3), not clipped."""
        return self.decoder(quantized)
