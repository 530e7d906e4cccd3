"""A small residual classifier of images, whose activations also serve as features.

The blocks are those of arXiv 1603.05027 (norm and activation first), with its batch normalization.
"""

from collections.abc import Sequence
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from vpt_gen.nets.layout import named
from vpt_gen.ranges import DepthOrZero, Size

# Weight of the old statistics in an update: those of the last hundred batches or so.
MOMENTUM = 0.97


def _norm(x: jax.Array, train: bool) -> jax.Array:
    """BatchNorm and ReLU; call it inside a compact method only."""
    return nn.relu(nn.BatchNorm(use_running_average=not train, momentum=MOMENTUM)(x))


class Block(nn.Module):
    """Two norm-ReLU-conv stages on (B, H, W, C_in), giving (B, H, W, width)."""

    width: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        branch = nn.Conv(self.width, (3, 3), use_bias=False)(_norm(x, train))
        branch = nn.Conv(self.width, (3, 3), use_bias=False)(_norm(branch, train))
        if x.shape[-1] != self.width:
            x = nn.Conv(self.width, (1, 1), use_bias=False)(x)
        return named(x + branch, "batch")


class Classifier(nn.Module):
    """Images (B, H, W, 3) in [0, 1] -> one logit per class (B, C).

    Its variables are `params` and `batch_stats`, the running statistics; in training
    (`train=True`) those of the batch are used, and `batch_stats` is mutable.

    Attributes:
      num_classes: C.
      widths: channels of each stage; every stage but the first halves the sides.
      blocks_per_stage: residual blocks in a stage.
    """

    # Fields that follow from the data; a pretraining config has the others.
    from_data = ("num_classes",)

    num_classes: int
    widths: Sequence[Size] = (32, 64, 128, 256)
    blocks_per_stage: DepthOrZero = 1

    @nn.compact
    def features(self, images: jax.Array, train: bool = False) -> list[jax.Array]:
        """Returns the normalized activations (B, H / 2^k, W / 2^k, widths[k]) after each stage."""
        x = nn.Conv(self.widths[0], (3, 3), use_bias=False)(images * 4.0 - 2.0)
        stages = []
        for stage, width in enumerate(self.widths):
            if stage:
                x = nn.avg_pool(x, (2, 2), strides=(2, 2))
            for _ in range(self.blocks_per_stage):
                x = Block(width)(x, train)
            stages.append(_norm(x, train))
        return stages

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        pooled = self.features(images, train)[-1].mean(axis=(1, 2))
        return nn.Dense(self.num_classes, name="head")(pooled)


def feature_distance(net: Classifier, variables, a: jax.Array, b: jax.Array) -> jax.Array:
    """Returns the perceptual distance (B,) of images (B, H, W, 3) in [0, 1]; 0 for equal images.

    As LPIPS without its learned weights (arXiv 1801.03924): mean squared differences of the
    features, normalized to unit length at each position, summed over the stages.
    """

    def unit_features(images):
        stages: Any = net.apply(variables, images, method="features")
        return [x * jax.lax.rsqrt(jnp.sum(x * x, -1, keepdims=True) + 1e-6) for x in stages]

    pairs = zip(unit_features(a), unit_features(b), strict=True)
    stages = (jnp.mean(jnp.sum((f - g) ** 2, axis=-1), axis=(1, 2)) for f, g in pairs)
    return cast(jax.Array, sum(stages))
