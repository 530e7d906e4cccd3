"""Inception Score (arXiv 1606.03498)."""

from collections.abc import Sequence

from vpt_gen.evaluation import distances
from vpt_gen.evaluation.features import Features, FeatureSpace
from vpt_gen.evaluation.figures import Figure, Value
from vpt_gen.evaluation.metrics.metric import Distance

SPLITS = 10


class InceptionScore(Distance):
    """Of images alone; that of real images is its floor."""

    figures = (
        Figure(
            "inception_score",
            "higher",
            "Inception Score: are the images of one ImageNet class each, and of many in all?",
            "Inception Score",
        ),
    )

    def fits(self, space: str) -> bool:
        return space == "inception"

    def compare(self, space: FeatureSpace, images: Features, real: Features) -> Sequence[Value]:
        del real
        assert space.logits is not None  # Inception has them.
        mean, std = distances.inception_score(images.rows[space.logits], splits=SPLITS)
        details = {"splits": SPLITS, "shuffle_seed": distances.SEED, "feature": space.logits}
        return [Value(mean, std, details=details)]
