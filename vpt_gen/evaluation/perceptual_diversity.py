"""Diversity of images by a learned perceptual distance, LPIPS: of a class, or around examples."""

import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vpt_gen.checkpoints.backbone import PretrainedNet
from vpt_gen.checkpoints.perceptual import load_perceptual, perceptual_files
from vpt_gen.errors import UserError
from vpt_gen.machine import distributed
from vpt_gen.machine.progress import track
from vpt_gen.nets import resize
from vpt_gen.nets.lpips import MIN_SIDE, NETS, activations, between

MAX_SIDE = 256
MAX_PAIRS = 2000
MAX_IMAGES = 10  # of a class
MAX_CLUSTER = 50  # images around one example
_BATCH = 16  # pairs
_BLOCK = 8  # images
_HELD = 4  # blocks of examples


def find_perceptual(weights_dir: str) -> PretrainedNet | None:
    """Returns LPIPS on VGG16 if its weights exist, or else on AlexNet; None without either.

    All processes call this together.

    Raises:
      UserError: damaged weights, or, in all processes, weights that only some of them see. With
        them, they would keep other pictures, and look for the features in another folder.
    """
    backbone = next((name for name in NETS if perceptual_files(weights_dir, name)), None)
    lpips = load_perceptual(weights_dir, backbone) if backbone else None
    found = lpips is not None
    distributed.wait_long()
    if not (distributed.all_agree(found) or distributed.all_agree(not found)):
        raise UserError(
            f"Only some hosts see weights of LPIPS in {weights_dir}: name a folder that all of "
            "them see, or one that holds none, by --weights_dir or config.evaluation.weights_dir."
        )
    return lpips


def required(lpips: PretrainedNet | None) -> PretrainedNet:
    """Returns the distance; raises UserError if there are no weights of it."""
    if lpips is None:
        raise UserError(
            "The weights of LPIPS are not in --weights_dir; vpt_gen/checkpoints/perceptual.py "
            "lists the files."
        )
    return lpips


def about(lpips: PretrainedNet, side: int) -> dict[str, Any]:
    """Returns the part of a protocol that says how images are compared."""
    return {
        "lpips": lpips.net.backbone,
        "lpips_digest": lpips.digest,
        "resize": f"antialiased bilinear to {side}x{side}",
    }


def first_of_classes(labels: np.ndarray, count: int) -> np.ndarray:
    """Marks the images (n,) that are among the first `count` of their class, in order."""
    chosen = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        chosen[np.flatnonzero(labels == label)[:count]] = True
    return chosen


def choose(labels: np.ndarray) -> np.ndarray:
    """Marks the images (n,) to compare: the first 2 to 10 of each class, for about 2,000 pairs."""
    classes = len(np.unique(labels))
    fits = [k for k in range(2, MAX_IMAGES + 1) if classes * k * (k - 1) // 2 <= MAX_PAIRS]
    return first_of_classes(labels, max(fits, default=2))


def common_side(images: Sequence[np.ndarray], backbone: str) -> int:
    """Returns the side at which images are compared: their shorter one, within the net's limits."""
    shortest = min(min(image.shape[:2]) for image in images)
    return int(np.clip(shortest, MIN_SIDE[backbone], MAX_SIDE))


def mean_of_pairs(
    lpips: PretrainedNet, images: Sequence[np.ndarray], labels: np.ndarray, side: int, name: str
) -> float:
    """Returns the mean LPIPS of all pairs of images of a class, averaged over the classes.

    Args:
      lpips: net and parameters.
      images: n of them, uint8 (H, W, 3), of any sizes.
      labels: (n,); classes with one image do not count.
      side: pixels to which images are resized.
      name: of the set, for the progress bar.

    Raises:
      UserError: no class has two images.
    """
    pairs = [
        pair
        for label in np.unique(labels)
        for pair in itertools.combinations(np.flatnonzero(labels == label).tolist(), 2)
    ]
    if not pairs:
        raise UserError("Intra-class LPIPS needs a class with two images or more.")
    squares = np.stack([np.asarray(_square(image, side)) for image in images])

    @jax.jit
    def distance(params, a, b):
        with jax.default_matmul_precision("highest"):  # As for features.
            return lpips.net.apply({"params": params}, a, b)

    found = []
    with track(total=len(pairs), label=f"LPIPS of {name}") as bar:
        for start in range(0, len(pairs), _BATCH):
            rows = [pairs[i % len(pairs)] for i in range(start, start + _BATCH)]  # Padded.
            a, b = np.array(rows).T
            count = min(_BATCH, len(pairs) - start)
            found += np.asarray(distance(lpips.params, squares[a], squares[b]))[:count].tolist()
            bar.update(count)
    classes = labels[np.array(pairs)[:, 0]]
    distances = np.array(found)
    return float(np.mean([distances[classes == label].mean() for label in np.unique(classes)]))


@functools.partial(jax.jit, static_argnums=1)
def _resized(image: jax.Array, side: int) -> jax.Array:
    size = jnp.array([image.shape[:2]])
    return resize.antialiased(image[None], size, side)[0] / 255.0


def _square(image: np.ndarray, side: int) -> np.ndarray:
    """An image (H, W, 3) uint8 -> (side, side, 3) in [0, 1], antialiased bilinear."""
    if image.shape[:2] == (side, side):
        return image / np.float32(255.0)
    return _resized(image, side)


class IntraLpips(NamedTuple):
    """Mean and population standard deviation over the clusters, and the sizes of all clusters."""

    mean: float
    std: float
    sizes: list[int]


def intra_lpips(
    lpips: PretrainedNet,
    images: Sequence[np.ndarray],
    examples: Sequence[np.ndarray],
    side: int,
    groups: tuple[np.ndarray, np.ndarray] | None = None,
    name: str = "images",
) -> IntraLpips:
    """Returns the intra-LPIPS of few-shot generation (arXiv 2104.06820).

    Each image belongs to the cluster of the example at the smallest LPIPS. The figure is the mean
    LPIPS of all pairs of images in a cluster, averaged over the clusters with two images or more;
    of a cluster of more than 50, the first 50 count. It is 0 for copies of the examples.

    Args:
      lpips: net and parameters.
      images: n generated ones, uint8 (H, W, 3), of any sizes.
      examples: k images that the generator was trained on.
      side: pixels to which all are resized.
      groups: classes (n,) of the images and (k,) of the examples: images only belong to examples of
        their class. None for one class.
      name: of the images, for the progress bar.

    Raises:
      UserError: no cluster has two images.
    """
    of_images, of_examples = groups or (np.zeros(len(images)), np.zeros(len(examples)))
    stages = Stages(lpips, side)
    clusters: list[list[int]] = []
    with track(total=len(images), label=f"LPIPS of {name} from examples") as bar:
        for group in np.unique(of_examples):
            mine = np.flatnonzero(of_images == group).tolist()
            known = np.flatnonzero(of_examples == group).tolist()
            distances = stages.distances([images[i] for i in mine], [examples[i] for i in known])
            nearest = distances.argmin(axis=1)
            for example in range(len(known)):
                around = itertools.compress(mine, nearest == example)
                clusters.append(list(around)[:MAX_CLUSTER])
            bar.update(len(mine))
    means = []
    for cluster in track(clusters, total=len(clusters), label=f"LPIPS in clusters of {name}"):
        if len(cluster) > 1:
            pictures = [images[i] for i in cluster]
            upper = np.triu_indices(len(cluster), 1)
            means.append(stages.distances(pictures, pictures)[upper].mean())
    if not means:
        raise UserError("Intra-LPIPS needs two images or more that are nearest to one example.")
    return IntraLpips(float(np.mean(means)), float(np.std(means)), [len(c) for c in clusters])


class Stages:
    """LPIPS of many pairs, for which the net sees each image a few times, and not once per pair.

    Activations of 32 images of the second set are held while the net sees those of the first, 8 at
    a time. 8 images of 256x256 take 270 MB of activations.
    """

    def __init__(self, lpips: PretrainedNet, side: int):
        """`side` as in `intra_lpips`."""
        self._side, self._params, self._backbone = side, lpips.params, lpips.net.backbone

    def distances(self, a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> np.ndarray:
        """Returns the LPIPS (n, m) of all pairs; if both are the same, only above the diagonal."""
        found = np.zeros((len(a), len(b)))
        for start in range(0, len(b), _HELD * _BLOCK):
            held = list(self._blocks(b, start, min(start + _HELD * _BLOCK, len(b))))
            of_a = self._blocks(a, 0, start if a is b else len(a))
            for rows, theirs in itertools.chain(of_a, held if a is b else ()):
                for columns, ours in held:
                    if a is b and columns.start < rows.start:
                        continue
                    block = np.asarray(_all_between(self._params, theirs, ours))
                    size = rows.stop - rows.start, columns.stop - columns.start
                    found[rows, columns] = block[: size[0], : size[1]]
        return found

    def _blocks(
        self, images: Sequence[np.ndarray], first: int, end: int
    ) -> Iterator[tuple[slice, list[jax.Array]]]:
        """Yields activations of the images from `first` to `end`, and which these are."""
        for start in range(first, end, _BLOCK):
            part = images[start : min(start + _BLOCK, end)]
            padded = [*part, *itertools.repeat(part[-1], _BLOCK - len(part))]
            squares = np.stack([np.asarray(_square(image, self._side)) for image in padded])
            found = _activations(self._backbone, self._params, squares)
            yield slice(start, start + len(part)), found


@functools.partial(jax.jit, static_argnums=0)
def _activations(backbone: str, params: Any, images: jax.Array) -> list[jax.Array]:
    with jax.default_matmul_precision("highest"):  # As for features.
        return activations(backbone, params, images)


@jax.jit
def _all_between(params: Any, a: list[jax.Array], b: list[jax.Array]) -> jax.Array:
    """Distances (n, m) of activations of n and m images; one of `a` in turn, to save memory."""
    with jax.default_matmul_precision("highest"):
        return jax.lax.map(lambda one: between(params, one, b), a)
