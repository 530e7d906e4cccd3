"""The feature space of CLIP ViT-L/14 at 336 pixels, for CMMD (arXiv 2401.09603) and others."""

import pathlib

import jax.numpy as jnp

from vpt_gen.checkpoints.clip import load_clip
from vpt_gen.evaluation.features import FeatureSpace
from vpt_gen.nets import resize

_FEATURE = "embedding"
# Of CLIP's training images in [0, 1].
_MEAN = (0.48145466, 0.4578275, 0.40821073)
_DEVIATION = (0.26862954, 0.26130258, 0.27577711)


def clip_space(path: str | pathlib.Path, num_heads: int | None = None) -> FeatureSpace:
    """Makes the space; images are prepared as CMMD's program does, embeddings have length 1.

    Args:
      path: of the weights, see `checkpoints.clip`.
      num_heads: of the net; of smaller ones than the published, for tests.

    Raises:
      UserError: see `load_clip`.
    """
    pretrained = load_clip(path, num_heads)
    net, params = pretrained.net, pretrained.params
    side = net.patch * round((len(params["positions"]) - 1) ** 0.5)

    def prepare(images, sizes):
        return resize.pillow_bicubic(*resize.center_squares(images, sizes), side)

    def apply(params, images):
        images = (images / 255.0 - jnp.array(_MEAN)) / jnp.array(_DEVIATION)
        embeddings = net.apply({"params": params}, images)
        return {_FEATURE: embeddings / jnp.linalg.norm(embeddings, axis=-1, keepdims=True)}

    return FeatureSpace(
        name="clip",
        digest=pretrained.digest,
        dims={_FEATURE: net.joint_width},
        main=_FEATURE,
        near=_FEATURE,
        classes=_FEATURE,
        resize=f"center square, Pillow's bicubic to {side}x{side}, 8 bits",
        params=params,
        prepare=prepare,
        apply=apply,
    )
