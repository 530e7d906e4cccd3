"""Memorization: whether generated images are copies of training images."""

from collections.abc import Sequence

from vpt_gen.errors import UserError
from vpt_gen.evaluation import neighbors
from vpt_gen.evaluation.figures import Figure, Value
from vpt_gen.evaluation.metrics.metric import Metric
from vpt_gen.evaluation.yardstick import Measured, Yardstick


class Memorization(Metric):
    """Against the training images, with held-out ones as the floor; see `memorization_rate`."""

    figures = (
        Figure(
            "memorization_rate",
            "lower",
            "Share of images that are closer to a training image than almost all held-out images "
            "are; only the excess over the floor counts.",
            copied=False,
        ),
    )

    def measure(self, yardstick: Yardstick, generated: Measured) -> Sequence[Value]:
        if yardstick.train is None:
            raise UserError(
                "A memorization rate needs training images and others that were held out from "
                "them: set config.data.holdout above 0, or give --train with --reference."
            )
        known, near = yardstick.features_of(yardstick.train), yardstick.extractor.space.near
        result = neighbors.memorization_rate(
            *(x.features.rows[near] for x in (generated, known, yardstick.real))
        )
        details = {
            "feature": near,
            "threshold": result.threshold,
            "floor_of": "new real images, by construction"
            if result.nominal is not None
            else "not known: held-out images tie at the threshold",
            "held_out_copies_left_out": result.copies,
            "neighbors_among": str(known),
            "held_out": str(yardstick.real),
        }
        return [Value(result.rate, None, result.nominal, details)]
