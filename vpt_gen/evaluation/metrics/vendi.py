"""Vendi score (arXiv 2210.02410): how many different images there are, in effect."""

from collections.abc import Sequence

import numpy as np
import scipy.linalg

from vpt_gen.evaluation.distances import checked
from vpt_gen.evaluation.features import Features, FeatureSpace
from vpt_gen.evaluation.figures import Figure, Value
from vpt_gen.evaluation.metrics.cmmd import unit_length
from vpt_gen.evaluation.metrics.metric import Distance

_ROWS = 1024


class Vendi(Distance):
    """Needs generated images only; the floor is the score of as many real ones, if there are."""

    figures = (
        Figure(
            "vendi",
            "neither",
            "Vendi score: the number of different images, in effect; best if equal to that of as "
            "many real images.",
            "Vendi score",
            copied=False,
        ),
    )
    on_request = True
    grows = True

    def compare(self, space: FeatureSpace, images: Features, real: Features) -> Sequence[Value]:
        del real
        details = {"feature": space.main, "similarity": "cosine", "order": 1}
        return [Value(vendi(images.rows[space.main]), details=details)]


def vendi(rows: np.ndarray) -> float:
    """Returns the exponential of the entropy of the eigenvalues of the cosine similarity / n.

    It is 1 for equal rows, and n for orthogonal ones. It grows with n: compare equal numbers.

    Args:
      rows: features (n, d).

    Raises:
      UserError: fewer than two rows, or values that are not finite.
    """
    rows, _ = checked(rows, rows)
    eigenvalues = scipy.linalg.eigvalsh(_products(rows) / len(rows))
    shares = eigenvalues[eigenvalues > 0.0]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _products(rows: np.ndarray) -> np.ndarray:
    """Inner products of rows, or of columns: both have the same eigenvalues, save zeros."""
    count, width = rows.shape
    if count <= width:
        rows = unit_length(rows)
        return rows @ rows.T
    total = np.zeros((width, width))
    for start in range(0, count, _ROWS):
        part = unit_length(rows[start : start + _ROWS])
        total += part.T @ part
    return total
