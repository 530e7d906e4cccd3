"""Data copying: are generated images closer to training images than new images are?

AuthPct (authenticity, arXiv 2102.08921) and C_T (arXiv 2004.05675), with the settings of `dgm-eval`
(arXiv 2306.04675).
"""

from collections.abc import Sequence

import numpy as np

from vpt_gen.errors import UserError
from vpt_gen.evaluation.distances import SEED, checked
from vpt_gen.evaluation.features import Features, FeatureSpace
from vpt_gen.evaluation.figures import Figure, Value
from vpt_gen.evaluation.metrics.metric import AgainstTraining
from vpt_gen.evaluation.neighbors import nearest
from vpt_gen.evaluation.pairwise import is_nearer, neighbor_radii

CELLS, COMPONENTS, FEWEST = 3, 64, 20


class Authenticity(AgainstTraining):
    """The share of images that are not suspiciously close to a training image."""

    figures = (
        Figure(
            "authpct",
            "neither",
            "Percentage of images that are farther from the nearest training image than that is "
            "from another one (AuthPct): below that of real images for copies, above it for images "
            "unlike any.",
            "AuthPct",
            copied=False,
        ),
    )
    on_request = True

    def compare(
        self, space: FeatureSpace, images: Features, train: Features, held_out: Features
    ) -> Sequence[Value]:
        del held_out
        near = space.near
        return [Value(authpct(images.rows[near], train.rows[near]), details={"feature": near})]


class DataCopying(AgainstTraining):
    """A rank test in cells of the training images; 0 for new real images."""

    figures = (
        Figure(
            "c_t",
            "neither",
            "Data-copying test (C_T): below 0 if images are closer to training images than "
            "held-out ones are, above 0 if they are farther.",
            "C_T",
            copied=False,
        ),
    )
    on_request = True

    def compare(
        self, space: FeatureSpace, images: Features, train: Features, held_out: Features
    ) -> Sequence[Value]:
        near = space.near
        value = c_t(*(x.rows[near] for x in (images, train, held_out)))
        details = {
            "feature": f"{near}, at most {COMPONENTS} principal components",
            "cells": CELLS,
            "cells_seed": SEED,
            "fewest_images_of_a_cell": FEWEST + 1,
        }
        return [Value(value, details=details)]


def authpct(generated: np.ndarray, train: np.ndarray) -> float:
    """Returns AuthPct, 0 to 100, of features (n, d) against those of training images (m, d).

    An image is authentic if its nearest training image has another training image nearer to it.

    Raises:
      UserError: no generated or fewer than two training images.
    """
    generated, train = checked(generated, train, (1, 2))
    found = nearest(generated, train)
    authentic = is_nearer(neighbor_radii(train, 1)[found.indices], found.distances)
    return 100.0 * float(authentic.mean())


def c_t(generated: np.ndarray, train: np.ndarray, held_out: np.ndarray) -> float:
    """Returns the data-copying statistic C_T of features (n, d), (m, d), (h, d).

    Features of more than 64 columns are reduced to 64 principal components of the training images,
    which k-means divides into three cells. In each, the distances of generated and held-out images
    to the nearest training image are compared by a rank test; its z scores are averaged over the
    cells with more than 20 generated images, weighted by their held-out images.

    Raises:
      UserError: too few images, or scikit-learn is not installed.
    """
    checked(generated, held_out, (1, 1))
    generated, train = checked(generated, train, (1, CELLS))
    sets = _reduced(generated, train, np.asarray(held_out))
    cells = _cells(*sets)
    scores, weights = [], []
    for cell in range(CELLS):
        made, known, real = (x[of == cell] for x, of in zip(sets, cells, strict=True))
        if not (len(known) and len(real)):
            raise UserError("C_T needs held-out images in each of its three cells; use more.")
        if len(made) > FEWEST:
            scores.append(rank_score(nearest(made, known)[0], nearest(real, known)[0]))
            weights.append(len(real))
    if not scores:
        raise UserError(f"C_T needs more than {FEWEST} generated images in one of its cells.")
    return float(np.average(scores, weights=weights))


def rank_score(a: np.ndarray, b: np.ndarray) -> float:
    """Returns the z score of Mann and Whitney's U of numbers (m,), (n,); below 0 if `a` is smaller.

    With the continuity correction of the published test.
    """
    from scipy.stats import rankdata  # Half a second, which programs that do not measure save.

    m, n = len(a), len(b)
    ranks = rankdata(np.concatenate([a, b]))
    u = ranks[:m].sum() - m * (m + 1) / 2
    return float((u - (m * n / 2 - 0.5)) / np.sqrt(m * n * (m + n + 1) / 12))


def _reduced(generated, train, held_out) -> list[np.ndarray]:
    if train.shape[1] <= COMPONENTS:
        return [generated, train, held_out]
    center = train.mean(axis=0, dtype=np.float64)
    _, axes = np.linalg.eigh(np.cov(train, rowvar=False))  # Ascending.
    return [(x - center) @ axes[:, : -COMPONENTS - 1 : -1] for x in (generated, train, held_out)]


def _cells(generated, train, held_out) -> list[np.ndarray]:
    """Returns the cell of each row of the sets."""
    try:
        from sklearn.cluster import KMeans
    except ImportError as error:
        raise UserError(
            "C_T needs scikit-learn; install it with `pip install -e .[demo]`."
        ) from error
    fitted = KMeans(CELLS, n_init=10, random_state=SEED).fit(train)
    return [fitted.predict(x) for x in (generated, train, held_out)]
