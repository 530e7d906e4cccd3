"""Features of images: the feature spaces, and one pass over a stream of images.

Images enter as uint8, as they lie in files: a FID between images that were never rounded is
another number. Floating images in [0, 1] become uint8 by `data.images.to_uint8`.
"""

import collections
import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from vpt_gen.checkpoints.backbone import PretrainedNet
from vpt_gen.checkpoints.inception import load_inception
from vpt_gen.errors import UserError
from vpt_gen.evaluation import canvases
from vpt_gen.evaluation.accumulators import Moments, Reservoir
from vpt_gen.machine import sharding
from vpt_gen.machine.progress import track
from vpt_gen.nets import inception, resize

MAX_KEPT = 50_000
PIXEL_SIDE = 32
LAYOUT_SIDE = 4
_IN_FLIGHT = 2  # Batches in flight on the devices while the host prepares the next.


@dataclasses.dataclass(frozen=True)
class FeatureSpace:
    """A net that turns images into vectors, in which sets of images are compared.

    Attributes:
      name: of the space, in names of figures.
      digest: SHA-256 of its weights.
      dims: name of a feature -> its width.
      main: the feature for distances.
      near: the feature for nearest images.
      classes: the feature for classifiers.
      resize: how images are resized to the net's size, in words, for the record.
      params: of the net.
      prepare: (images (B, H, W, 3), sizes (B, 2)) -> images of the net's size; see `nets.resize`.
      apply: (params, prepared images) -> {name: (B, width)}.
      logits: the feature for the Inception Score; None if there is none.
    """

    name: str
    digest: str
    dims: Mapping[str, int]
    main: str
    near: str
    classes: str
    resize: str
    params: Any
    prepare: Callable[[jax.Array, jax.Array], jax.Array]
    apply: Callable[[Any, jax.Array], dict[str, jax.Array]]
    logits: str | None = None

    @property
    def needed(self) -> tuple[str, ...]:
        """The features that figures need."""
        names = (self.main, self.near, self.classes, self.logits)
        return tuple(dict.fromkeys(name for name in names if name))


def inception_space(path: str | pathlib.Path) -> FeatureSpace:
    """Makes the space of FID, KID, Inception Score and precision/recall.

    Args:
      path: of the weights, see `checkpoints.inception`; `obtain_inception` finds the published
        ones.

    Raises:
      UserError: see `load_inception`.
    """
    pretrained = load_inception(path)
    return FeatureSpace(
        name="inception",
        digest=pretrained.digest,
        dims=inception.FEATURES,
        main="2048",
        near="2048",
        classes="2048",
        resize=f"TensorFlow 1 bilinear to {inception.SIDE}x{inception.SIDE}, not rounded",
        params=pretrained.params,
        prepare=functools.partial(resize.tf1_bilinear, side=inception.SIDE),
        apply=lambda params, images: pretrained.net.apply({"params": params}, images),
        logits="logits_unbiased",
    )


def tokenizer_space(tokenizer: PretrainedNet, side: int) -> FeatureSpace:
    """Makes the space of a tokenizer's encoder, which needs no download of weights.

    The main feature is the mean and the standard deviation of each latent channel over the image,
    before quantization. A Frechet distance in it is not a FID. As these statistics discard spatial
    layout, nearest images are found by the latents on a grid of 4x4, and classes by the pixels of a
    32x32 copy, in [0, 1]. Latents without places in the image are not shrunk: all of them count.

    Args:
      tokenizer: of the kinds `checkpoints.backbone.TOKENIZERS`.
      side: pixels of the images that the encoder sees; for the shipped demo tokenizer 32.

    Raises:
      UserError: a tokenizer without places in the image, for images of another size.
    """
    if not (tokenizer.net.is_spatial or tokenizer.net.takes(side)):
        raise UserError(
            f"The tokenizer for features takes images of {tokenizer.net.downsampling} pixels only, "
            f"not of {side}: choose another one with config.evaluation.tokenizer."
        )

    def apply(params, images):
        latents = tokenizer.net.apply({"params": params}, images / 255.0, method="encode")
        pooled = [latents.mean(axis=(1, 2)), latents.std(axis=(1, 2))]
        return {
            "latents": jax.numpy.concatenate(pooled, axis=-1),
            "layout": _shrunk(latents, LAYOUT_SIDE) if is_spatial else _flat(latents),
            "pixels": _shrunk(images, PIXEL_SIDE) / 255.0,
        }

    width, is_spatial = tokenizer.net.embedding_dim, tokenizer.net.is_spatial
    h, w = tokenizer.net.token_shape(side)
    return FeatureSpace(
        name="tokenizer",
        digest=tokenizer.digest,
        dims={
            "latents": 2 * width,
            "layout": (LAYOUT_SIDE**2 if is_spatial else h * w) * width,
            "pixels": PIXEL_SIDE**2 * 3,
        },
        main="latents",
        near="layout",
        classes="pixels",
        resize=f"antialiased bilinear to {side}x{side}, not rounded",
        params=tokenizer.params,
        prepare=functools.partial(resize.antialiased, side=side),
        apply=apply,
    )


def _flat(x: jax.Array) -> jax.Array:
    return x.reshape(len(x), -1)


def _shrunk(images: jax.Array, side: int) -> jax.Array:
    """Images (B, H, W, C), antialiased to a square -> (B, side * side * C)."""
    b, _, _, channels = images.shape
    return jax.image.resize(images, (b, side, side, channels), "linear").reshape(b, -1)


@dataclasses.dataclass(frozen=True)
class Features:
    """The result of one pass over a set of images.

    Attributes:
      count: images seen.
      moments: feature -> its mean (d,) and covariance (d, d), float64, of all images.
      rows: feature -> (m, d) float32 of the images kept; m = count up to the cap.
      indices: (m,) indices in the stream of the images kept, ascending.
      pictures: index of an image -> the image, uint8 (H, W, 3), of those asked for.
    """

    count: int
    moments: Mapping[str, tuple[np.ndarray, np.ndarray]]
    rows: Mapping[str, np.ndarray]
    indices: np.ndarray
    pictures: Mapping[int, np.ndarray] = dataclasses.field(default_factory=dict)


class Extractor:
    """A feature space on devices; use one for all sets, as it compiles once."""

    def __init__(self, space: FeatureSpace, mesh: Mesh, batch_size: int = 64):
        """Places the parameters.

        Args:
          space: all its features are computed, which costs no more than the last one.
          mesh: devices; the images of a batch are split evenly.
          batch_size: images at a time, rounded up to a multiple of the devices.
        """
        self.space = space
        self.batch_size = -(-batch_size // mesh.size) * mesh.size
        self._parts = mesh.size
        self._split, whole = sharding.split_batch(mesh), sharding.replicated(mesh)
        self._params = jax.device_put(space.params, whole)
        # Two programs: only the small one depends on the size of the images.
        self._prepare = jax.jit(space.prepare, out_shardings=self._split)
        self._apply = jax.jit(self._exactly, out_shardings=whole)

    def stream(self, images: Iterable[np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        """Computes features of images, batch by batch, in the order of the images.

        Args:
          images: uint8, each a picture (H, W, 3) or a batch (B, H, W, 3), of any sizes. All
            processes must pass the same.

        Yields:
          {name: (n, width)} float32, n = `batch_size` but for the last.

        Raises:
          ValueError: images of another type or shape.
        """
        pending: collections.deque = collections.deque()
        count, squares = 0, []
        for group, is_last in canvases.groups(images, self.batch_size):
            count += len(group)
            squares.append(self._squares(group))
            if is_last:
                batch = squares[0] if len(squares) == 1 else jax.numpy.concatenate(squares)
                pending.append((count, self._apply(self._params, self._filled(batch))))
                count, squares = 0, []
            if len(pending) > _IN_FLIGHT:
                yield _fetch(*pending.popleft())
        for count, features in pending:
            yield _fetch(count, features)

    def _exactly(self, params: Any, images: jax.Array) -> dict[str, jax.Array]:
        # The lower default precision of accelerators would change the third digit of a distance.
        with jax.default_matmul_precision("highest"):
            return self.space.apply(params, images)

    def _squares(self, group: list[np.ndarray]) -> jax.Array:
        """Pictures -> (n, side, side, 3)."""
        size = canvases.room_for(group, self.batch_size, self._parts)
        filled = group + group[-1:] * (size - len(group))
        squares = self._prepare(*jax.device_put(canvases.lay(filled), self._split))
        return squares if size == len(group) else squares[: len(group)]

    def _filled(self, squares: jax.Array) -> jax.Array:
        """Pads to a whole batch, split evenly over the devices."""
        rows = np.minimum(np.arange(self.batch_size), len(squares) - 1)
        return squares if len(squares) == len(rows) else jax.device_put(squares[rows], self._split)

    def collect(
        self,
        batches: Iterable[dict[str, np.ndarray]],
        *,
        moments: Sequence[str] = (),
        keep: Sequence[str] = (),
        max_kept: int = MAX_KEPT,
        seed: int = 0,
        total: int | None = None,
        label: str = "",
    ) -> Features:
        """Collects all that the metrics of a set of images need, in one pass.

        Memory is bounded: 8 d^2 bytes per feature in `moments`, 4 d * max_kept bytes per feature in
        `keep` (2048: at most 410 MB by default; logits: 200 MB).

        Args:
          batches: of features, those of `stream`.
          moments: features whose mean and covariance are computed, for FID.
          keep: features whose rows are kept, for KID, Inception Score, precision and recall.
          max_kept: maximal number of rows kept; of a longer stream, a uniform random subset.
          seed: of that subset.
          total: number of images, if known, for the progress bar.
          label: of the bar.

        Raises:
          UserError: no images, too few for a covariance, or a feature that the space lacks.
        """
        dims = self.space.dims
        for name in (*moments, *keep):
            if name not in dims:
                raise UserError(
                    f"The {self.space.name} space has no feature {name!r}; it has "
                    f"{', '.join(dims)}."
                )
        running = {name: Moments(dims[name]) for name in moments}
        reservoir = Reservoir({name: dims[name] for name in keep}, max_kept, seed)
        count = 0
        with track(total=total, label=label or f"{self.space.name} features") as bar:
            for batch in batches:
                for name, accumulator in running.items():
                    accumulator.update(batch[name])
                reservoir.update({name: batch[name] for name in keep})
                size = len(batch[self.space.main])
                count += size
                bar.update(size)
        if not count:
            raise UserError("There are no images to compare; check the folder or the data.")
        rows, indices = reservoir.finish()
        return Features(count, {n: m.finish() for n, m in running.items()}, rows, indices)


def _fetch(count: int, features: dict[str, jax.Array]) -> dict[str, np.ndarray]:
    return {name: rows[:count] for name, rows in jax.device_get(features).items()}
