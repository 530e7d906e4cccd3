"""LPIPS: a learned perceptual distance between images, on features of VGG16 or AlexNet.

Source: Zhang et al., arXiv 1801.03924; PyPI `lpips` 0.1.4, version 0.1 of its weights, which are
read by `vpt_gen.checkpoints.perceptual`.
"""

from collections.abc import Sequence
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp

# (width, number of convolutions) of VGG16's stages; the last activation of each is compared.
STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
# Means and deviations of ImageNet's channels, for images in [-1, 1].
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)


class VGG16(nn.Module):
    """Normalized images (B, H, W, 3) -> the last activation of each of the five stages."""

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


class AlexNet(nn.Module):
    """Normalized images (B, H, W, 3) -> the activations of the five convolutions.

    torchvision's AlexNet: the one-column network of arXiv 1404.5997.
    """

    @nn.compact
    def __call__(self, x: jax.Array) -> list[jax.Array]:
        def activate(x, width, side, padding, stride=1):
            return nn.relu(nn.Conv(width, (side, side), stride, padding=padding)(x))

        features = [activate(x, 64, 11, padding=2, stride=4)]
        features.append(activate(_shrink(features[-1]), 192, 5, padding=2))
        features.append(activate(_shrink(features[-1]), 384, 3, padding=1))
        features.append(activate(features[-1], 256, 3, padding=1))
        features.append(activate(features[-1], 256, 3, padding=1))
        return features


NETS = {"vgg": VGG16, "alex": AlexNet}
# Smallest sides in pixels; below them the poolings leave nothing to compare.
MIN_SIDE = {"vgg": 16, "alex": 31}


class LPIPS(nn.Module):
    """Two batches of images (B, H, W, 3) in [0, 1] -> distances (B,), 0 for equal images.

    H and W are at least `MIN_SIDE[backbone]`. Dropout, used when the distance was fitted, is off.

    Attributes:
      backbone: of `NETS`.
    """

    backbone: str = "vgg"

    @nn.compact
    def contributions(self, a: jax.Array, b: jax.Array) -> jax.Array:
        """Returns the share (B, 5) of each stage; their sum is the distance."""
        smallest = MIN_SIDE[self.backbone]
        if min(a.shape[1:3]) < smallest:
            raise ValueError(f"LPIPS needs sides of {smallest} pixels or more, not {a.shape[1:3]}.")
        net = NETS[self.backbone](name=self.backbone)
        pairs = zip(net(_standardize(a)), net(_standardize(b)), strict=True)
        shares = []
        for stage, (f, g) in enumerate(pairs):
            weights = self.param(f"lin{stage}", nn.initializers.ones, f.shape[-1:])
            squares = (_unit_length(f) - _unit_length(g)) ** 2
            shares.append(jnp.mean(squares @ weights, axis=(1, 2)))
        return jnp.stack(shares, axis=-1)

    def __call__(self, a: jax.Array, b: jax.Array) -> jax.Array:
        return self.contributions(a, b).sum(axis=-1)


def distance(params: Any, a: jax.Array, b: jax.Array) -> jax.Array:
    """Computes `LPIPS` on VGG16, with its parameters as an argument."""
    return cast(jax.Array, LPIPS().apply({"params": params}, a, b))


def activations(backbone: str, params: Any, images: jax.Array) -> list[jax.Array]:
    """Images (B, H, W, 3) in [0, 1] -> the activations that `between` compares, of each stage.

    Args:
      backbone: of `NETS`.
      params: of `LPIPS`.
      images: of `MIN_SIDE[backbone]` pixels or more.
    """
    net = NETS[backbone]()
    features = net.apply({"params": params[backbone]}, _standardize(images))
    return [_unit_length(stage) for stage in cast(list[jax.Array], features)]


def between(params: Any, a: Sequence[jax.Array], b: Sequence[jax.Array]) -> jax.Array:
    """Returns the distances (B,) that `LPIPS` gives the images of two sets of `activations`."""
    stages = enumerate(zip(a, b, strict=True))
    means = [(((f - g) ** 2) @ params[f"lin{stage}"]).mean((-2, -1)) for stage, (f, g) in stages]
    return jnp.stack(means, axis=-1).sum(axis=-1)


def _standardize(images: jax.Array) -> jax.Array:
    return (images * 2.0 - 1.0 - jnp.array(_SHIFT)) / jnp.array(_SCALE)


def _shrink(features: jax.Array) -> jax.Array:
    return nn.max_pool(features, (3, 3), strides=(2, 2))


def _unit_length(features: jax.Array) -> jax.Array:
    # If no feature is active the root has no derivative, but ReLU's gradient there is 0.
    return features / (jnp.linalg.norm(features, axis=-1, keepdims=True) + 1e-10)
