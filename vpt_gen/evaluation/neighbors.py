"""Nearest real images: whether samples are copies of training images, and their diversity."""

import hashlib
from typing import NamedTuple

import numpy as np

from vpt_gen.errors import UserError
from vpt_gen.evaluation.pairwise import distance_blocks, is_as_near, is_nearer

NOMINAL = 0.05
_NEIGHBORS = 5  # the nearest training image, and four to compare with


class Nearest(NamedTuple):
    """The nearest reference of each query: its distance (n,) float64 and its index (n,)."""

    distances: np.ndarray
    indices: np.ndarray


def nearest(queries: np.ndarray, references: np.ndarray) -> Nearest:
    """Finds the nearest reference (m, d) of each query (n, d), Euclidean; of ties the first.

    Raises:
      UserError: no references.
    """
    if not len(references):
        raise UserError("There are no images to search for neighbors.")
    found = Nearest(np.empty(len(queries)), np.empty(len(queries), np.int64))
    for rows, distances in distance_blocks(queries, references):
        found.indices[rows] = _first_nearest(distances)
        found.distances[rows] = distances.min(axis=1)
    return found


class Memorization(NamedTuple):
    """The result of `memorization_rate`.

    Attributes:
      rate: share of flagged samples.
      nominal: the share expected of new real images; a rate near it means no memorization. None if
        held-out images tie at the threshold: it is then somewhere below.
      threshold: the ratio below which a sample is flagged.
      flagged: (n,) which samples are.
      ratios: (n,) distance to the nearest training image over that to the next ones.
      nearest: the nearest training image of each sample.
      copies: held-out images left out of the threshold, as they are exact copies of training ones.
    """

    rate: float
    nominal: float | None
    threshold: float
    flagged: np.ndarray
    ratios: np.ndarray
    nearest: Nearest
    copies: int


def memorization_rate(
    samples: np.ndarray, train: np.ndarray, held_out: np.ndarray, *, nominal: float = NOMINAL
) -> Memorization:
    """Returns the share of samples that are closer to a training image than held-out images are.

    Closeness is relative to the neighborhood: the distance to the nearest training image over the
    mean distance to the next four (as in arXiv 2301.13188), 0 for a copy and somewhat below 1 for a
    new image. A plain distance would only find copies where training images are dense. A sample is
    flagged if its ratio is below that of all but the lowest `nominal` of the held-out images
    (comparison with held-out images: arXiv 2004.05675). Repeated training images count once, and
    held-out images that are exact copies of training images do not count: they are not new.

    So held-out images, and any generator as good as real images, get the nominal rate: that is the
    false-positive floor, and only the excess counts. A generator of copies gets 1. Copies whose
    features differ from the original's by more than those of neighbors are missed, as are changed
    copies of an image that the training set contains in five versions or more.

    Args:
      samples: features (n, d).
      train: features (m, d) of the generator's training images, two or more different ones.
      held_out: features (h, d) of real images of the same kind that it was not trained on. Below 19
        the nominal rate cannot be reached; it is then 1 / (h + 1).
      nominal: the share of new real images that may be flagged.

    Raises:
      UserError: no samples, no held-out images but copies, or fewer than two training images.
    """
    for what, rows, fewest in (
        ("sample", samples, 1),
        ("held-out image", held_out, 1),
        ("training images", train, 2),
    ):
        if len(rows) < fewest:
            raise UserError(f"A memorization rate needs at least {fewest} {what}, not {len(rows)}.")
    different = _different(train)
    if len(different) < 2:
        raise UserError("A memorization rate needs two different training images; all are equal.")
    train = train[different]
    held_out_ratios = np.sort(_ratios(held_out, train)[0])
    new = held_out_ratios[held_out_ratios > 0.0]
    if not len(new):
        raise UserError(
            "A memorization rate needs held-out images that are not training images, but all "
            f"{len(held_out):,} are exact copies of these."
        )
    # Of h + 1 exchangeable ratios each is the k-th smallest with the same probability, so a new
    # one lies below the k-th of the h others with probability k / (h + 1), unless some are equal.
    rank = max(1, int(nominal * (len(new) + 1) + 1e-9))
    threshold = new[rank - 1]
    ties = np.count_nonzero(is_as_near(new, threshold) & ~is_nearer(new, threshold))
    ratios, found = _ratios(samples, train)
    flagged = is_nearer(ratios, threshold) | (ratios == 0.0)
    return Memorization(
        rate=float(flagged.mean()),
        nominal=rank / (len(new) + 1) if ties == 1 else None,
        threshold=float(threshold),
        flagged=flagged,
        ratios=ratios,
        nearest=found._replace(indices=different[found.indices]),
        copies=len(held_out) - len(new),
    )


def _different(rows: np.ndarray) -> np.ndarray:
    """Returns the numbers of rows (n, d) that equal no earlier one, ascending."""
    first: dict[bytes, int] = {}
    for number, row in enumerate(np.ascontiguousarray(rows)):
        first.setdefault(hashlib.blake2b(row, digest_size=16).digest(), number)
    return np.fromiter(first.values(), np.int64)


def _ratios(queries: np.ndarray, train: np.ndarray) -> tuple[np.ndarray, Nearest]:
    """See `memorization_rate`: ratios (n,), and the nearest training images."""
    ratios = np.empty(len(queries))
    found = Nearest(np.empty(len(queries)), np.empty(len(queries), np.int64))
    count = min(_NEIGHBORS, len(train))
    for rows, distances in distance_blocks(queries, train):
        found.indices[rows] = _first_nearest(distances)
        first, *others = np.sort(np.partition(distances, count - 1, axis=1)[:, :count], axis=1).T
        found.distances[rows] = first
        ratios[rows] = np.divide(
            first, np.mean(others, axis=0), out=np.zeros_like(first), where=first > 0
        )
    return ratios, found


def _first_nearest(distances: np.ndarray) -> np.ndarray:
    """Returns the column (n,) of the smallest of distances (n, m), of ties the first."""
    return is_as_near(distances, distances.min(axis=1, keepdims=True)).argmax(axis=1)


def intra_class_diversity(features: np.ndarray, class_ids: np.ndarray) -> float:
    """Returns the mean Euclidean distance of two images of a class, averaged over classes.

    Args:
      features: (n, d).
      class_ids: (n,); classes with one image do not count.

    Raises:
      UserError: no class has two images.
    """
    means = []
    for class_id in np.unique(class_ids):
        rows = features[class_ids == class_id]
        if len(rows) > 1:
            total = sum(distances.sum() for _, distances in distance_blocks(rows, rows))
            means.append(total / (len(rows) * (len(rows) - 1)))
    if not means:
        raise UserError("Diversity inside a class needs a class with two images or more.")
    return float(np.mean(means))
