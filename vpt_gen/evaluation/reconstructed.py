"""Real images reconstructed by a tokenizer: the best quality that it allows."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator

import jax
import numpy as np
from jax.sharding import Mesh

from vpt_gen.checkpoints.backbone import PretrainedNet
from vpt_gen.evaluation.image_sets import ImageSet, counted
from vpt_gen.images.codec import to_uint8
from vpt_gen.machine import sharding
from vpt_gen.machine.progress import track


@dataclasses.dataclass(frozen=True)
class Reconstruction:
    """Images and their reconstructions, all in memory.

    Attributes:
      given: uint8 (n, H, W, 3).
      made: uint8 (n, H, W, 3).
      tokens: int32 (n, N).
    """

    given: np.ndarray
    made: np.ndarray
    tokens: np.ndarray


def batches(
    tokenizer: PretrainedNet, images: Iterator[np.ndarray], batch_size: int, mesh: Mesh
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yields images, their reconstructions, and their tokens, batch by batch.

    Args:
      tokenizer: a VQGAN.
      images: uint8 (H, W, 3) or batches (B, H, W, 3), of sides that the tokenizer divides.
      batch_size: images at a time; the last batch may be smaller.
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
        # The last batch is padded, so that one compilation is enough.
        filled = np.stack(batch + batch[-1:] * (batch_size - len(batch)))
        made, tokens = reconstruct(tokenizer.params, filled / np.float32(255.0))
        count = len(batch)
        yield filled[:count], to_uint8(made)[:count], np.asarray(tokens)[:count]


def reconstruct(
    tokenizer: PretrainedNet, images: ImageSet, batch_size: int, mesh: Mesh
) -> Reconstruction:
    """Reconstructs all images of a set by one pass with a progress bar; see `batches`."""
    parts = []
    with track(total=len(images), label=images.name) as bar:
        for part in batches(tokenizer, images.stream(), batch_size, mesh):
            parts.append(part)
            bar.update(len(part[0]))
    return Reconstruction(*map(np.concatenate, zip(*parts, strict=True)))


def reconstructed(
    tokenizer: PretrainedNet, images: ImageSet, batch_size: int, mesh: Mesh
) -> ImageSet:
    """Returns the set of reconstructions of real images, computed each time it is streamed."""

    def stream(wanted: np.ndarray | None = None) -> Iterator[np.ndarray]:
        return (made for _, made, _ in batches(tokenizer, images.stream(wanted), batch_size, mesh))

    return given_back(images, stream)


def given_back(images: ImageSet, stream: Callable[..., Iterator[np.ndarray]]) -> ImageSet:
    """Returns a set of real images replaced by their reconstructions; see `ImageSet.stream`."""
    name, count = "reconstructed images", len(images)
    record = {"images": counted(count, name), "count": count, "reconstructed_from": images.record}
    # Without the source: these images are no copies of it.
    return dataclasses.replace(
        images, name=name, stream=stream, record=record, digest="", source=None, trained_on=0
    )
