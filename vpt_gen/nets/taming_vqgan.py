"""The Taming Transformers VQGAN: image -> grid of discrete visual tokens -> image.

Source: Taming Transformers (arXiv 2012.09841), CompVis/taming-transformers
`taming/modules/diffusionmodules/model.py` and `taming/models/vqgan.py`. Modules are named as there,
with an underscore for the dot. It differs from MaskGIT's (`nets/vqgan.py`) in its biases,
attention blocks, strided convolutions, real shortcuts, and in 1x1 convolutions around the codebook.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from vpt_gen.nets.group_norm import GroupNorm
from vpt_gen.nets.layout import named
from vpt_gen.nets.precision import exact_products
from vpt_gen.nets.vqgan import Quantizer, Tokenizer
from vpt_gen.ranges import Count, DepthOrZero, Size


def _conv(channels: int, name: str, width: int = 3) -> nn.Conv:
    return nn.Conv(channels, (width, width), padding=width // 2, name=name)


def _norm(name: str) -> GroupNorm:
    return GroupNorm(name=name)


class ResnetBlock(nn.Module):
    """Two norm-swish-conv stages and a shortcut: (B, H, W, C_in) -> (B, H, W, channels)."""

    channels: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        hidden = _conv(self.channels, "conv1")(nn.swish(_norm("norm1")(x)))
        hidden = _conv(self.channels, "conv2")(nn.swish(_norm("norm2")(hidden)))
        if x.shape[-1] != self.channels:
            x = _conv(self.channels, "nin_shortcut", width=1)(x)
        return named(x + hidden, "batch")


class AttentionBlock(nn.Module):
    """Single-head attention over all positions of a feature map (B, H, W, C), added to it."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        batch, height, width, channels = x.shape
        normed = _norm("norm")(x)
        query, key, value = (
            _conv(channels, name, width=1)(normed).reshape(batch, height * width, 1, channels)
            for name in ("q", "k", "v")
        )
        attended = jax.nn.dot_product_attention(query, key, value).reshape(x.shape)
        return named(x + _conv(channels, "proj_out", width=1)(attended), "batch")


class Downsample(nn.Module):
    """3x3 convolution of stride 2, padded with zeros on the right and at the bottom only."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        padding = ((0, 1), (0, 1))
        return nn.Conv(x.shape[-1], (3, 3), strides=2, padding=padding, name="conv")(x)


class Upsample(nn.Module):
    """Doubles the sides by nearest neighbor, then a 3x3 convolution."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
        return _conv(x.shape[-1], "conv")(x)


def _middle(x: jax.Array) -> jax.Array:
    """Block, attention, block; call it inside a compact method only."""
    x = ResnetBlock(x.shape[-1], name="mid_block_1")(x)
    x = AttentionBlock(name="mid_attn_1")(x)
    return ResnetBlock(x.shape[-1], name="mid_block_2")(x)


class Encoder(nn.Module):
    """Images (B, H, W, 3) in [-1, 1] -> features (B, H/f, W/f, out_channels)."""

    filters: int
    channel_multipliers: Sequence[int]
    num_res_blocks: int
    attention_levels: Sequence[int]
    out_channels: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = _conv(self.filters, "conv_in")(x)
        for level, multiplier in enumerate(self.channel_multipliers):
            for block in range(self.num_res_blocks):
                x = ResnetBlock(self.filters * multiplier, name=f"down_{level}_block_{block}")(x)
                if level in self.attention_levels:
                    x = AttentionBlock(name=f"down_{level}_attn_{block}")(x)
            if level < len(self.channel_multipliers) - 1:
                x = Downsample(name=f"down_{level}_downsample")(x)
        x = _middle(x)
        return _conv(self.out_channels, "conv_out")(nn.swish(_norm("norm_out")(x)))


class Decoder(nn.Module):
    """Features (B, h, w, C) -> images (B, f*h, f*w, 3), nominally in [-1, 1], not clipped.

    Levels keep the release's numbers: 0 is the full resolution and comes last.
    """

    filters: int
    channel_multipliers: Sequence[int]
    num_res_blocks: int
    attention_levels: Sequence[int]

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = _conv(self.filters * self.channel_multipliers[-1], "conv_in")(x)
        x = _middle(x)
        for level, multiplier in reversed(list(enumerate(self.channel_multipliers))):
            for block in range(self.num_res_blocks + 1):
                x = ResnetBlock(self.filters * multiplier, name=f"up_{level}_block_{block}")(x)
                if level in self.attention_levels:
                    x = AttentionBlock(name=f"up_{level}_attn_{block}")(x)
            if level > 0:
                x = Upsample(name=f"up_{level}_upsample")(x)
        return _conv(3, "conv_out")(nn.swish(_norm("norm_out")(x)))


class TamingVQGAN(Tokenizer):
    """The tokenizer; the defaults are the published ImageNet one (factor 16, 16384 codes).

    Attributes:
      filters: channels of the first convolution.
      channel_multipliers: of `filters`, one per level.
      num_res_blocks: blocks per level in the encoder; the decoder has one more.
      attention_levels: levels, 0 the full resolution, whose blocks are followed by attention.
      latent_channels: between encoder and codebook (`z_channels`).
      embedding_dim: d, of a code.
      codebook_size: K.
    """

    filters: Size = 128
    channel_multipliers: Sequence[Size] = (1, 1, 2, 2, 4)
    num_res_blocks: DepthOrZero = 2
    attention_levels: Sequence[DepthOrZero] = (4,)
    latent_channels: Size = 256
    embedding_dim: Size = 256
    codebook_size: Count = 16384

    quantizer_class = Quantizer

    def setup(self):
        shape = (
            self.filters,
            self.channel_multipliers,
            self.num_res_blocks,
            self.attention_levels,
        )
        self.encoder = Encoder(*shape, self.latent_channels)
        self.decoder = Decoder(*shape)
        self.quantizer = self.quantizer_class(self.codebook_size, self.embedding_dim)
        self.quant_conv = nn.Conv(self.embedding_dim, (1, 1))
        self.post_quant_conv = nn.Conv(self.latent_channels, (1, 1))

    def encode(self, images: jax.Array) -> jax.Array:
        """Images (B, H, W, 3) in [0, 1] -> latents (B, h, w, d), before quantization."""
        with exact_products():  # Tokens must be the same on every device.
            return self.quant_conv(self.encoder(2.0 * images - 1.0))

    def decode(self, quantized: jax.Array) -> jax.Array:
        """Codebook vectors (B, h, w, d) -> images (B, H, W, 3), not clipped."""
        return (self.decoder(self.post_quant_conv(quantized)) + 1.0) / 2.0
