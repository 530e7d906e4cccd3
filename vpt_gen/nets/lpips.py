"""LPIPS: a learned perceptual distance between images, on features of VGG16.

Source: Zhang et al., arXiv 1801.03924; PyPI `lpips` 0.1.4 with net='vgg'. Its weights are read by
`vpt_gen.checkpoints.perceptual`.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

# (width, number of convolutions) of the stages; the last activation of each is compared.
STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
# Four poolings halve the sides; below this nothing is left to compare.
MIN_SIDE = 16
# Means and deviations of ImageNet's channels, for images in [-1, 1].
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)


class VGG16(nn.Module):
    """Normalised images (B, H, W, 3) -> the last activation of each of the five stages."""

    @nn.compact
    def __call__(self, x: jax.Array) -> list[jax.Array]:
        features = []
        for stage, (width, depth) in enumerate(STAGES):
            if stage:
                x = nn.max_pool(x, (2, 2), strides=(2, 2))
            for _ in range(depth):
                x = nn.relu(nn.Conv(width, (3, 3))(x))
            features.append(x)
        return features


class LPIPS(nn.Module):
    """Two batches of images (B, H, W, 3) in [0, 1] -> distances (B,), 0 for equal images.

    H and W are at least `MIN_SIDE`. Dropout, which the distance was fitted with, is left out.
    """

    @nn.compact
    def contributions(self, a: jax.Array, b: jax.Array) -> jax.Array:
        """The share (B, 5) of each stage; their sum is the distance."""
        if min(a.shape[1:3]) < MIN_SIDE:
            raise ValueError(f"LPIPS needs sides of {MIN_SIDE} pixels or more, not {a.shape[1:3]}.")
        vgg = VGG16(name="vgg")
        pairs = zip(vgg(_standardize(a)), vgg(_standardize(b)), strict=True)
        shares = []
        for stage, (f, g) in enumerate(pairs):
            weights = self.param(f"lin{stage}", nn.initializers.ones, f.shape[-1:])
            squares = (_unit_length(f) - _unit_length(g)) ** 2
            shares.append(jnp.mean(squares @ weights, axis=(1, 2)))
        return jnp.stack(shares, axis=-1)

    def __call__(self, a: jax.Array, b: jax.Array) -> jax.Array:
        return self.contributions(a, b).sum(axis=-1)


def distance(params: Any, a: jax.Array, b: jax.Array) -> jax.Array:
    """`LPIPS` with its parameters as an ordinary argument."""
    return LPIPS().apply({"params": params}, a, b)


def _standardize(images: jax.Array) -> jax.Array:
    return (images * 2.0 - 1.0 - jnp.array(_SHIFT)) / jnp.array(_SCALE)


def _unit_length(features: jax.Array) -> jax.Array:
    # Where no feature is active the root has no derivative, but ReLU's gradient there is 0.
    return features / (jnp.linalg.norm(features, axis=-1, keepdims=True) + 1e-10)
