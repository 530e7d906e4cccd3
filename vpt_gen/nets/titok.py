"""TiTok: an image -> a short sequence of discrete visual tokens -> the image.

Source: TiTok (arXiv 2406.07550), bytedance/1d-tokenizer `modeling/titok.py` and
`modeling/modules/blocks.py`.

A transformer reads patches and N learned positions; the latents are what it leaves at these. A
second one reads the codes and an empty grid, and leaves the image there: as pixels of each patch,
or, in the first published files, as weights of the codes of a VQGAN, whose decoder follows. A token
describes no place of the image, so that tokens form a row of N: (B, 1, N).
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from vpt_gen.nets.layers import Dense
from vpt_gen.nets.llamagen_vqgan import UnitQuantizer, unit_length
from vpt_gen.nets.plain_layers import PlainLayer, kernel_init
from vpt_gen.nets.precision import exact_products
from vpt_gen.nets.vqgan import Decoder as PixelDecoder
from vpt_gen.nets.vqgan import Quantizer, Tokenizer
from vpt_gen.ranges import Count, CountOrZero, Depth, DepthOrZero, Size

_MLP_FACTOR = 4  # Widths of MLPs, relative to the transformer's.
_table_init = nn.initializers.normal(0.02)


class Transformer(nn.Module):
    """(B, L, W) -> (B, L, W): a norm, then layers."""

    num_layers: int
    num_heads: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        width = x.shape[-1]
        x = nn.LayerNorm(epsilon=1e-5, name="first_norm")(x)
        for number in range(self.num_layers):
            x = PlainLayer(self.num_heads, _MLP_FACTOR * width, name=f"layer_{number}")(x)
        return x


def _table(rows: int, width: int, name: str) -> jax.Array:
    """A learned table (1, rows, width); call it inside a compact method only."""
    return nn.Embed(rows, width, embedding_init=_table_init, name=name).embedding[None]


class Encoder(nn.Module):
    """Images (B, H, H, 3) in [0, 1] -> latents (B, 1, N, d).

    The first row of `position_embeddings` is a class token, which no image fills. With
    `mixes_latents`, the last product takes a channel of a token from a place of the block (N, W)
    of all: channel c of token n is its number c * N + n in memory. Published weights were trained
    so.
    """

    patch_size: int
    width: int
    num_layers: int
    num_heads: int
    num_tokens: int
    embedding_dim: int
    mixes_latents: bool

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        size, width, count = (self.patch_size,) * 2, self.width, self.num_tokens
        x = nn.Conv(width, size, size, padding="VALID", name="patches")(images)
        x = x.reshape(len(x), -1, width)
        places = _table(x.shape[1] + 1, width, "position_embeddings")
        latents = _table(count, width, "latent_embeddings")
        first, latents = (_repeated(part, len(x)) for part in (places[:, :1], latents))
        x = jnp.concatenate([first, x + places[:, 1:], latents], axis=1)
        x = Transformer(self.num_layers, self.num_heads, name="transformer")(x)[:, -count:]
        x = nn.LayerNorm(epsilon=1e-5, name="last_norm")(x)
        if self.mixes_latents:
            x = x.reshape(-1, width, count).swapaxes(1, 2)
        return Dense(self.embedding_dim, kernel_init, name="latents_out")(x)[:, None]


class Decoder(nn.Module):
    """Codes (B, 1, N, d) -> features (B, h, h, W) of the image.

    The first row of `position_embeddings` is a class token, which no code fills.
    """

    side: int
    width: int
    num_layers: int
    num_heads: int

    @nn.compact
    def __call__(self, codes: jax.Array) -> jax.Array:
        b, _, count, _ = codes.shape
        x = Dense(self.width, kernel_init, name="latents_in")(codes[:, 0])
        x = x + _table(count, self.width, "latent_embeddings")
        places = _table(self.side**2 + 1, self.width, "position_embeddings")
        x = jnp.concatenate([_repeated(places, b), x], axis=1)
        x = Transformer(self.num_layers, self.num_heads, name="transformer")(x)
        x = nn.LayerNorm(epsilon=1e-5, name="last_norm")(x[:, 1:-count])
        return x.reshape(b, self.side, self.side, self.width)


def _repeated(x: jax.Array, count: int) -> jax.Array:
    return jnp.broadcast_to(x, (count, *x.shape[1:]))


class PatchPixels(nn.Module):
    """Features (B, h, h, W) -> images (B, h * p, h * p, 3): patches of pixels, smoothed."""

    patch_size: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        b, side, _, _ = x.shape
        p = self.patch_size
        x = Dense(p * p * 3, kernel_init, name="pixels_out")(x)
        x = x.reshape(b, side, side, p, p, 3).swapaxes(2, 3).reshape(b, side * p, side * p, 3)
        return nn.Conv(3, (3, 3), name="smoothing")(x)


class CodePixels(nn.Module):
    """Features (B, h, h, W) -> images: weighted codes of a VQGAN, which decodes their sum."""

    width: int
    codebook_size: int
    embedding_dim: int
    filters: int
    channel_multipliers: Sequence[int]
    num_res_blocks: int

    def setup(self):
        self.hidden = Dense(2 * self.width, kernel_init)
        self.code_logits = Dense(self.codebook_size, kernel_init)
        self.quantizer = Quantizer(self.codebook_size, self.embedding_dim)
        self.decoder = PixelDecoder(self.filters, self.channel_multipliers, self.num_res_blocks)

    def logits(self, x: jax.Array) -> jax.Array:
        """Features (B, h, h, W) -> logits (B, h, h, K) of the VQGAN's codes."""
        return self.code_logits(jnp.tanh(self.hidden(x)))

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.decoder(nn.softmax(self.logits(x)) @ self.quantizer.codebook)


class TiTok(Tokenizer):
    """The tokenizer; the defaults are the published `tokenizer_titok_l32`.

    Attributes:
      image_size: pixels of a side; others do not fit the tables of positions.
      patch_size: p, pixels of a patch's side.
      num_tokens: N.
      embedding_dim: d.
      codebook_size: K.
      encoder_width: of the encoder.
      encoder_layers: of the encoder.
      encoder_heads: divides its width.
      decoder_width: of the decoder.
      decoder_layers: of the decoder.
      decoder_heads: divides its width.
      unit_codes: the decoder takes codes of length 1, and the nearest is that by direction.
      mixes_latents: see `Encoder`.
      pixel_codes: codes of the VQGAN that follows; 0 if pixels come from the decoder, and the
        following fields are then without effect.
      pixel_dim: length of its codes.
      filters: see `nets.vqgan.Decoder`, as the next two.
      channel_multipliers: per level, so that a place of the grid becomes 2 ** (levels - 1) pixels.
      num_res_blocks: per level.
    """

    from_data = ("mixes_latents",)
    is_spatial = False

    image_size: Count = 256
    patch_size: Size = 16
    num_tokens: Count = 32
    embedding_dim: Size = 12
    codebook_size: Count = 4096
    encoder_width: Size = 1024
    encoder_layers: Depth = 24
    encoder_heads: Size = 16
    decoder_width: Size = 1024
    decoder_layers: Depth = 24
    decoder_heads: Size = 16
    unit_codes: bool = True
    mixes_latents: bool = True
    pixel_codes: CountOrZero = 1024
    pixel_dim: Size = 256
    filters: Size = 128
    channel_multipliers: Sequence[Size] = (1, 1, 2, 2, 4)
    num_res_blocks: DepthOrZero = 2

    def setup(self):
        self.encoder = Encoder(
            self.patch_size,
            self.encoder_width,
            self.encoder_layers,
            self.encoder_heads,
            self.num_tokens,
            self.embedding_dim,
            self.mixes_latents,
        )
        kind = UnitQuantizer if self.unit_codes else Quantizer
        self.quantizer = kind(self.codebook_size, self.embedding_dim)
        side = self.image_size // self.patch_size
        self.decoder = Decoder(side, self.decoder_width, self.decoder_layers, self.decoder_heads)
        self.pixels = self._pixels()

    def _pixels(self) -> nn.Module:
        if not self.pixel_codes:
            return PatchPixels(self.patch_size)
        return CodePixels(
            self.decoder_width,
            self.pixel_codes,
            self.pixel_dim,
            self.filters,
            self.channel_multipliers,
            self.num_res_blocks,
        )

    @property
    def downsampling(self) -> int:
        """Pixels that divide a side: all of them, as a token has no place in the image."""
        return self.image_size

    @nn.nowrap
    def token_shape(self, image_size: int) -> tuple[int, int]:
        return 1, self.num_tokens

    @nn.nowrap
    def takes(self, image_size: int) -> bool:
        return image_size == self.image_size

    @nn.nowrap
    def arranged(self, tokens: jax.Array) -> jax.Array:
        return tokens.reshape(-1, 1, tokens.shape[-1])

    @nn.nowrap
    def comparable(self, vectors: jax.Array) -> jax.Array:
        return unit_length(vectors) if self.unit_codes else vectors

    def encode(self, images: jax.Array) -> jax.Array:
        """Images (B, H, H, 3) in [0, 1] -> latents (B, 1, N, d), before quantization."""
        with exact_products():  # Tokens must be the same on every device.
            return self.encoder(images)

    def decode(self, quantized: jax.Array) -> jax.Array:
        """Codes (B, 1, N, d), as of `comparable` -> images (B, H, H, 3), not clipped."""
        return self.pixels(self.decoder(quantized))

    def predict_codes(
        self, images: jax.Array, quantization: jax.Array | float = 1.0
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Predicts the VQGAN's codes of images from their tokens, if `pixel_codes` is positive.

        Args:
          images: (B, H, H, 3) in [0, 1].
          quantization: 1, or 0 to predict from the latents before quantization.

        Returns:
          Logits (B, h, h, pixel_codes), `comparable` latents (B, 1, N, d), token ids (B, 1, N).
        """
        codes, latents, tokens = self.quantized(images, quantization)
        return self.pixels.logits(self.decoder(codes)), latents, tokens
