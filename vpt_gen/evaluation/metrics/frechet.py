"""Frechet distance: FID in Inception's features, FD-DINOv2 in DINOv2's, and one for others."""

from collections.abc import Sequence

import numpy as np

from vpt_gen.evaluation import distances
from vpt_gen.evaluation.features import Features, FeatureSpace
from vpt_gen.evaluation.figures import Figure, Value
from vpt_gen.evaluation.metrics.metric import Distance


class _Frechet(Distance):
    def compare(self, space: FeatureSpace, images: Features, real: Features) -> Sequence[Value]:
        details = {"feature": space.main}
        return [Value(frechet(images, real, space.main), details=details)]


class Fid(_Frechet):
    """Frechet Inception Distance (arXiv 1706.08500)."""

    figures = (
        Figure(
            "fid",
            "lower",
            "Frechet Inception Distance of generated from real images.",
            "FID",
        ),
    )

    def fits(self, space: str) -> bool:
        return space == "inception"


class FdDinov2(_Frechet):
    """In the features that people's judgments agree with better (arXiv 2306.04675)."""

    figures = (
        Figure(
            "fd_dinov2",
            "lower",
            "Frechet distance of generated from real images in DINOv2's features (FD-DINOv2).",
            "FD-DINOv2",
        ),
    )

    def fits(self, space: str) -> bool:
        return space == "dinov2"


class FrechetDistance(_Frechet):
    """The same distance in other features, which has no name of its own."""

    figures = (
        Figure(
            "frechet",
            "lower",
            "Frechet distance of generated from real images in other features, as a tokenizer's; "
            "not a FID, and only comparable in the same feature space.",
            "Frechet distance",
        ),
    )

    def fits(self, space: str) -> bool:
        return space not in ("inception", "dinov2")


def name_in(space: str) -> str:
    """Returns the figure that is the Frechet distance in the feature space of this name."""
    kinds = Fid(), FdDinov2(), FrechetDistance()
    return next(kind.figures[0].name for kind in kinds if kind.fits(space))


def frechet(a: Features, b: Features, name: str) -> float:
    """Returns the Frechet distance over all images, including those whose rows were not kept.

    Raises:
      UserError: fewer than two images.
    """
    if all(len(x.rows[name]) == x.count for x in (a, b)):
        return distances.frechet(a.rows[name], b.rows[name])
    return distances.frechet_from_moments(*_moments(a, name), *_moments(b, name))


def _moments(features: Features, name: str) -> tuple[np.ndarray, np.ndarray]:
    if name in features.moments:
        return features.moments[name]
    rows = np.asarray(features.rows[name], np.float64)
    return rows.mean(axis=0), np.cov(rows, rowvar=False)
