"""Class agreement: whether a classifier predicts the requested class."""

from collections.abc import Sequence

from vpt_gen.evaluation.figures import Figure, Value
from vpt_gen.evaluation.metrics.metric import Metric
from vpt_gen.evaluation.yardstick import Measured, Yardstick


class ClassAgreement(Metric):
    """The classifier is trained on real images; its accuracy on others is the floor."""

    figures = (
        Figure(
            "class_agreement",
            "higher",
            "Share of images whose requested class a classifier trained on real ones predicts.",
        ),
    )

    def measure(self, yardstick: Yardstick, generated: Measured) -> Sequence[Value]:
        fitted, tried = yardstick.sides
        value, real = yardstick.agreement(generated), yardstick.agreement(tried)
        details = {
            "feature": yardstick.extractor.space.classes,
            "classifier": yardstick.classifier.description,
            "classifier_trained_on": str(fitted),
            "floor_of": str(tried),
        }
        return [Value(value, None, real, details)]
