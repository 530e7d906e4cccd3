"""MIND: the Monge Inception Distance (arXiv 2605.06797), a sliced Wasserstein distance."""

from collections.abc import Sequence

import numpy as np

from vpt_gen.evaluation.distances import SEED, checked
from vpt_gen.evaluation.features import Features, FeatureSpace
from vpt_gen.evaluation.figures import Figure, Value
from vpt_gen.evaluation.metrics.metric import Distance

DIRECTIONS = 1000
_AT_ONCE = 64  # directions, so that 50,000 images take 26 MB of projections


class Mind(Distance):
    """Steady from 5,000 images on; published for Inception's features."""

    figures = (
        Figure(
            "mind",
            "lower",
            "Monge Inception Distance (MIND): how far the features' projections are apart, on "
            "average over directions; steady with fewer images than the Frechet distance.",
            "MIND",
        ),
    )
    on_request = True

    def compare(self, space: FeatureSpace, images: Features, real: Features) -> Sequence[Value]:
        a, b = images.rows[space.main], real.rows[space.main]
        details = {
            "feature": space.main,
            "directions": DIRECTIONS,
            "images_of_each": min(len(a), len(b)),
            "seed": SEED,
        }
        return [Value(mind(a, b), details=details)]


def mind(a: np.ndarray, b: np.ndarray, *, directions: int = DIRECTIONS, seed: int = SEED) -> float:
    """Returns the MIND of features (n, d), (m, d).

    Random rows of the larger set are left out, so that both are of one size.

    Args:
      a: features.
      b: features.
      directions: number of random directions.
      seed: of the directions and of what is left out.

    Raises:
      UserError: fewer than two rows, rows of two widths, or values that are not finite.
    """
    a, b = checked(a, b)
    random, count = np.random.default_rng(seed), min(len(a), len(b))
    a, b = (x if len(x) == count else x[random.permutation(len(x))[:count]] for x in (a, b))
    drawn = random.standard_normal((directions, a.shape[1]))
    return sliced_wasserstein(a, b, drawn / np.linalg.norm(drawn, axis=1, keepdims=True))


def sliced_wasserstein(a: np.ndarray, b: np.ndarray, directions: np.ndarray) -> float:
    """Returns 3 d times the mean squared 2-Wasserstein distance of projections.

    Args:
      a: features (n, d).
      b: features (n, d), as many.
      directions: unit vectors (M, d).
    """
    total = 0.0
    for start in range(0, len(directions), _AT_ONCE):
        axes = directions[start : start + _AT_ONCE].T.astype(a.dtype)
        ordered = [np.sort(x @ axes, axis=0) for x in (a, b)]
        total += float(np.square(ordered[0] - ordered[1], dtype=np.float64).sum())
    return 3.0 * a.shape[1] * total / (len(directions) * len(a))
