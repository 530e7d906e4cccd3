"""The feature space of DINOv2 ViT-L/14, for FD-DINOv2 and all other metrics (arXiv 2306.04675)."""

import functools
import pathlib

import jax.numpy as jnp

from vpt_gen.checkpoints.dinov2 import load_dinov2
from vpt_gen.evaluation.features import FeatureSpace
from vpt_gen.nets import resize

SIDE = 224
_FEATURE = "class_token"
# Of ImageNet, for images in [0, 1].
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def dinov2_space(
    path: str | pathlib.Path, side: int = SIDE, num_heads: int | None = None
) -> FeatureSpace:
    """Makes the space; images are prepared as `dgm-eval` does.

    Args:
      path: of the weights, see `checkpoints.dinov2`.
      side: to which images are resized, pixels.
      num_heads: of the net; of smaller ones than the published, for tests.

    Raises:
      UserError: see `load_dinov2`.
    """
    pretrained = load_dinov2(path, side, num_heads)

    def apply(params, images):
        images = (images / 255.0 - jnp.array(_MEAN)) / jnp.array(_DEVIATION)
        return {_FEATURE: pretrained.net.apply({"params": params}, images)}

    return FeatureSpace(
        name="dinov2",
        digest=pretrained.digest,
        dims={_FEATURE: pretrained.net.width},
        main=_FEATURE,
        near=_FEATURE,
        classes=_FEATURE,
        resize=f"Pillow's bicubic to {side}x{side}, 8 bits",
        params=pretrained.params,
        prepare=functools.partial(resize.pillow_bicubic, side=side),
        apply=apply,
    )
