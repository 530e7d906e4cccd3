"""The StyleGAN-type discriminator that MaskGIT trains its VQGAN against.

Source: google-research/maskgit `maskgit/nets/discriminator.py`. No minibatch statistics, no
spectral norm.
"""

from collections.abc import Mapping
from typing import cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core import FrozenDict

from vpt_gen.nets.layout import named

RELEASED_WIDTHS: Mapping[int, int] = FrozenDict(
    {4: 512, 8: 512, 16: 512, 32: 512, 64: 256, 128: 128, 256: 64}
)
_BLUR = (1 / 8, 3 / 8, 3 / 8, 1 / 8)


def scaled_widths(filters: int) -> FrozenDict:
    """Scales the released widths so that the widest is `filters`."""
    widest = max(RELEASED_WIDTHS.values())
    return FrozenDict(
        {r: max(1, width * filters // widest) for r, width in RELEASED_WIDTHS.items()}
    )


def _leaky_relu(x: jax.Array) -> jax.Array:
    return nn.leaky_relu(x, 0.2)


def blur_downsample(x: jax.Array) -> jax.Array:
    """Halves the even sides of (B, H, W, C) with the separable filter [1, 3, 3, 1] / 8.

    Computed by slices: XLA's grouped convolutions, and above all their second derivatives in the R1
    penalty, are slow on CPUs.
    """
    for axis in (1, 2):
        padding = [(0, 0)] * 4
        padding[axis] = (1, 1)
        padded, end = jnp.pad(x, padding), x.shape[axis] - 1
        taps = (
            weight * jax.lax.slice_in_dim(padded, k, k + end, stride=2, axis=axis)
            for k, weight in enumerate(_BLUR)
        )
        x = cast(jax.Array, sum(taps))
    return x


class ResBlock(nn.Module):
    """Halves the resolution: (B, H, W, C) -> (B, H/2, W/2, filters).

    The branch is blurred after its first activation, the shortcut before its 1x1 convolution; the
    shortcut is created second and so is `Conv_1` in the released parameter tree.
    """

    filters: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        branch = blur_downsample(_leaky_relu(nn.Conv(x.shape[-1], (3, 3))(x)))
        shortcut = nn.Conv(self.filters, (1, 1), use_bias=False)(blur_downsample(x))
        branch = _leaky_relu(nn.Conv(self.filters, (3, 3))(branch))
        return named((shortcut + branch) / jnp.sqrt(2.0), "batch")


class Discriminator(nn.Module):
    """Square images (B, R, R, 3) in [0, 1] -> one logit each (B, 1); high means real.

    `widths` gives the channel count at each power of two from the largest that is at most R, down
    to 4. The sides are halved as often as that power is, so that 48 pixels become 24, 12 and 6.
    """

    widths: Mapping[int, int] = RELEASED_WIDTHS

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        resolution = 1 << (images.shape[1].bit_length() - 1)
        x = _leaky_relu(nn.Conv(self.widths[resolution], (3, 3))(images))
        while resolution > 4:
            resolution //= 2
            x = ResBlock(self.widths[resolution])(x)
        x = _leaky_relu(nn.Conv(self.widths[4], (3, 3))(x))
        x = named(x.reshape(x.shape[0], -1), "batch")
        x = named(_leaky_relu(nn.Dense(self.widths[4])(x)), "batch")
        return nn.Dense(1)(x)
