"""Inception Score (arXiv 1606.03498)."""

from collections.abc import Sequence

from vpt_gen.evaluation import distances
from vpt_gen.evaluation.features import Features, FeatureSpace
from vpt_gen.evaluation.figures import Figure, Value
from vpt_gen.evaluation.metrics.metric import Distance

SPLITS = 10


class InceptionScore(Distance):
    """Needs generated images only; the floor is the score of real images."""

    figures = (
        Figure(
            "inception_score",
            "higher",
            "Inception Score: whether each image is of one ImageNet class, and all are of many.",
            "Inception Score",
            copied=False,
        ),
    )

    def fits(self, space: str) -> bool:
        return space == "inception"

    def compare(self, space: FeatureSpace, images: Features, real: Features) -> Sequence[Value]:
        del real
        assert space.logits is not None  # Inception has these logits.
        mean, std = distances.inception_score(images.rows[space.logits], splits=SPLITS)
        details = {"splits": SPLITS, "shuffle_seed": distances.SEED, "feature": space.logits}
        return [Value(mean, std, details=details)]
