"""Real images as a tokenizer gives them back: the ceiling of whatever is built on it."""

import dataclasses
import itertools
from collections.abc import Iterator

import jax
import numpy as np
from jax.sharding import Mesh

from vpt_gen import sharding
from vpt_gen.checkpoints.backbone import PretrainedNet
from vpt_gen.data.images import to_uint8
from vpt_gen.evaluation.image_sets import ImageSet


def batches(
    tokenizer: PretrainedNet, images: Iterator[np.ndarray], batch_size: int, mesh: Mesh
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Images, what the tokenizer makes of them, and their tokens, batch by batch.

    Args:
      tokenizer: a VQGAN.
      images: uint8 (H, W, 3) or batches (B, H, W, 3), of sides that its tokens divide.
      batch_size: images at a time; the last batch has what is left.
      mesh: devices.

    Yields:
      uint8 (b, H, W, 3), uint8 (b, H, W, 3) and int32 (b, N).
    """

    def reconstruct(params, x):
        images, _, tokens = tokenizer.net.apply({"params": params}, x)
        return images, tokens.reshape(len(x), -1)

    reconstruct = jax.jit(reconstruct, out_shardings=sharding.replicated(mesh))
    single = (x for item in images for x in (item if item.ndim == 4 else item[None]))
    while batch := list(itertools.islice(single, batch_size)):
        # The last is filled up, so that one compilation serves all.
        filled = np.stack(batch + batch[-1:] * (batch_size - len(batch)))
        made, tokens = reconstruct(tokenizer.params, filled / np.float32(255.0))
        count = len(batch)
        yield filled[:count], to_uint8(made)[:count], np.asarray(tokens)[:count]


def reconstructed(
    tokenizer: PretrainedNet, images: ImageSet, batch_size: int, mesh: Mesh
) -> ImageSet:
    """A set of real images as the tokenizer gives them back; see `batches`."""

    def stream() -> Iterator[np.ndarray]:
        return (made for _, made, _ in batches(tokenizer, images.stream(), batch_size, mesh))

    return dataclasses.replace(
        images, name="reconstructed images", stream=stream, record={}, digest=""
    )
