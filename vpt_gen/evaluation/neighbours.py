"""Nearest real images: are samples copies of training images, and how different are they?"""

from typing import NamedTuple

import numpy as np

from vpt_gen.errors import UserError
from vpt_gen.evaluation.pairwise import distance_blocks

NOMINAL = 0.05


class Nearest(NamedTuple):
    """For each query its nearest reference: how far (n,) float64, and which (n,)."""

    distances: np.ndarray
    indices: np.ndarray


def nearest(queries: np.ndarray, references: np.ndarray) -> Nearest:
    """The nearest of the references (m, d) for each query (n, d), Euclidean; of equals the first.

    Raises:
      UserError: no references.
    """
    if not len(references):
        raise UserError("There are no images to look for neighbours in.")
    found = Nearest(np.empty(len(queries)), np.empty(len(queries), np.int64))
    for rows, distances in distance_blocks(queries, references):
        found.indices[rows] = distances.argmin(axis=1)
        found.distances[rows] = distances.min(axis=1)
    return found


class Memorisation(NamedTuple):
    """What `memorisation_rate` finds.

    Attributes:
      rate: share of the samples that are flagged.
      nominal: the share expected of new real images; a rate near it means no memorisation.
      threshold: distance to the nearest training image below which a sample is flagged.
      flagged: (n,) which samples are.
      nearest: the nearest training image of each sample.
    """

    rate: float
    nominal: float
    threshold: float
    flagged: np.ndarray
    nearest: Nearest


def memorisation_rate(
    samples: np.ndarray, train: np.ndarray, held_out: np.ndarray, *, nominal: float = NOMINAL
) -> Memorisation:
    """Share of samples nearer to a training image than real held-out images are.

    A sample is flagged where its distance to its nearest training image is below that of all but
    the nearest `nominal` of the held-out images.

    Args:
      samples: features (n, d).
      train: features (m, d) of what the generator was trained on.
      held_out: features (h, d) of real images of the same kind that it was not trained on.
      nominal: the share of new real images that would be flagged.

    Raises:
      UserError: one of the sets is empty.
    """
    for name, rows in (("samples", samples), ("held-out images", held_out)):
        if not len(rows):
            raise UserError(f"A memorisation rate needs {name}, here are none.")
    # Of h + 1 exchangeable distances each is the k-th smallest with the same probability, so a new
    # one lies below the k-th of the h others with probability k / (h + 1).
    rank = max(1, int(nominal * (len(held_out) + 1)))
    threshold = np.sort(nearest(held_out, train).distances)[rank - 1]
    found = nearest(samples, train)
    flagged = found.distances < threshold
    return Memorisation(
        float(flagged.mean()), rank / (len(held_out) + 1), float(threshold), flagged, found
    )


def intra_class_diversity(features: np.ndarray, class_ids: np.ndarray) -> float:
    """Mean Euclidean distance between two images of a class, averaged over the classes.

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
