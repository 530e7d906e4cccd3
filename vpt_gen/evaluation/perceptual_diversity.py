"""Intra-LPIPS: diversity of the images of a class, by a learned perceptual distance."""

import functools
import itertools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from vpt_gen.checkpoints.backbone import PretrainedNet
from vpt_gen.checkpoints.perceptual import load_perceptual, perceptual_files
from vpt_gen.errors import UserError
from vpt_gen.machine.progress import track
from vpt_gen.nets import resize
from vpt_gen.nets.lpips import MIN_SIDE, NETS

MAX_SIDE = 256
MAX_PAIRS = 2000
MAX_IMAGES = 10  # of a class
_BATCH = 16  # pairs


def find_perceptual(weights_dir: str) -> PretrainedNet | None:
    """Returns LPIPS on VGG16 if its weights exist, or else on AlexNet; None without either.

    Raises:
      UserError: damaged weights.
    """
    for backbone in NETS:
        if perceptual_files(weights_dir, backbone):
            return load_perceptual(weights_dir, backbone)
    return None


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


def intra_lpips(
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
        raise UserError("Intra-LPIPS needs a class with two images or more.")
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
