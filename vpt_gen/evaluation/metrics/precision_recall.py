"""Fidelity and diversity separately: precision and recall, density and coverage."""

from collections.abc import Sequence

from vpt_gen.evaluation import distances
from vpt_gen.evaluation.features import Features, FeatureSpace
from vpt_gen.evaluation.figures import Figure, Value
from vpt_gen.evaluation.metrics.metric import Distance

PRECISION_K, DENSITY_K = 3, 5


class PrecisionRecall(Distance):
    """arXiv 1904.06991."""

    figures = (
        Figure(
            "precision", "higher", "Share of generated images that lie among real ones: fidelity."
        ),
        Figure(
            "recall", "higher", "Share of real images that lie among generated ones: diversity."
        ),
    )

    def compare(self, space: FeatureSpace, images: Features, real: Features) -> Sequence[Value]:
        sets = images.rows[space.main], real.rows[space.main]
        details = {"feature": space.main, "k": PRECISION_K}
        both = distances.precision_recall(*sets, k=PRECISION_K)
        return [Value(share, details=details) for share in both]


class DensityCoverage(Distance):
    """arXiv 2002.09797."""

    figures = (
        Figure(
            "density",
            "higher",
            "How densely real images lie around generated ones, 1 for real: fidelity.",
        ),
        Figure(
            "coverage",
            "higher",
            "Share of real images with a generated one near them: diversity, no lost class.",
        ),
    )

    def compare(self, space: FeatureSpace, images: Features, real: Features) -> Sequence[Value]:
        sets = images.rows[space.main], real.rows[space.main]
        details = {"feature": space.main, "k": DENSITY_K}
        both = distances.density_coverage(*sets, k=DENSITY_K)
        return [Value(value, details=details) for value in both]
