"""Intra-LPIPS as published for few-shot generation: diversity around the training images."""

import contextlib
from collections.abc import Sequence

import numpy as np

from vpt_gen.errors import UserError
from vpt_gen.evaluation import perceptual_diversity
from vpt_gen.evaluation.figures import Figure, Value
from vpt_gen.evaluation.image_sets import ImageSet
from vpt_gen.evaluation.metrics.metric import Metric
from vpt_gen.evaluation.perceptual_diversity import first_of_classes
from vpt_gen.evaluation.yardstick import Measured, Yardstick, numbers_in

MAX_IMAGES = 1000
# Of a class, and of all classes: their pictures are held in memory, 400 MB at 256x256.
MAX_EXAMPLES, MAX_EXAMPLES_IN_ALL = 100, 2000


class IntraLpips(Metric):
    """Against the training images, of which there are few (arXiv 2104.06820).

    Of a class-conditional generator, each class is measured with its own training images.
    """

    figures = (
        Figure(
            "intra_lpips",
            "higher",
            "Intra-LPIPS of few-shot generation: mean perceptual distance of images that are "
            "nearest to one training image; 0 if all are copies of these.",
            "intra-LPIPS",
            copied=False,
        ),
    )
    on_request = True

    def pictured(self, images: ImageSet) -> np.ndarray:
        classes = len(np.unique(images.labels))
        return first_of_classes(images.labels, -(-MAX_IMAGES // max(classes, 1)))

    def measure(self, yardstick: Yardstick, generated: Measured) -> Sequence[Value]:
        lpips = perceptual_diversity.required(yardstick.lpips)
        examples = _examples(yardstick)
        known = yardstick.pictures(examples, np.ones(len(examples), bool))
        chosen = self.pictured(generated.images)
        made = generated.pictures_of(chosen)
        side = perceptual_diversity.common_side(made, lpips.net.backbone)

        def around(pictures: Sequence[np.ndarray], images: ImageSet, marks: np.ndarray):
            groups = numbers_in(examples, images, images.labels[marks]), examples.labels
            return perceptual_diversity.intra_lpips(
                lpips, pictures, known, side, groups, images.name
            )

        found = around(made, generated.images, chosen)
        details = {
            **perceptual_diversity.about(lpips, side),
            "images": len(made),
            "training_images": str(examples),
            "images_of_clusters": found.sizes,
            "most_images_of_a_cluster": perceptual_diversity.MAX_CLUSTER,
        }
        floor = None
        if examples is yardstick.train:
            marks = self.pictured(yardstick.reference)
            real = yardstick.pictures(yardstick.reference, marks)
            with contextlib.suppress(UserError):  # Too few held-out images.
                floor = around(real, yardstick.reference, marks).mean
                details["floor_of"] = f"{len(real):,} of {yardstick.reference}"
        return [Value(found.mean, found.std, floor, details)]


def _examples(yardstick: Yardstick) -> ImageSet:
    """Returns the training images; raises UserError if they are not known, or many."""
    examples, reference = yardstick.train, yardstick.reference
    if examples is None and reference.trained_on == len(reference):
        examples = reference  # Nothing is held out.
    if examples is None:
        raise UserError("Intra-LPIPS needs the training images; give --train with --reference.")
    most = np.bincount(examples.labels).max()
    for holder, count, limit in (
        ("a class has", most, MAX_EXAMPLES),
        ("there are", len(examples), MAX_EXAMPLES_IN_ALL),
    ):
        if count > limit:
            raise UserError(
                f"Intra-LPIPS is for few-shot generation, but {holder} {count:,} training images; "
                f"at most {limit:,} are compared."
            )
    return examples
