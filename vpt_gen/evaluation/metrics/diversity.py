"""Diversity inside a class, in features and by LPIPS."""

from collections.abc import Sequence

import numpy as np

from vpt_gen.evaluation import neighbors, perceptual_diversity
from vpt_gen.evaluation.figures import Figure, Value
from vpt_gen.evaluation.image_sets import ImageSet
from vpt_gen.evaluation.metrics.metric import Metric
from vpt_gen.evaluation.yardstick import Measured, Yardstick


class IntraClassDiversity(Metric):
    """In the feature for distances; the floor is the diversity of real images."""

    figures = (
        Figure(
            "intra_class_diversity",
            "neither",
            "Mean distance between two images of a class: best if equal to that of real images.",
        ),
    )

    def measure(self, yardstick: Yardstick, generated: Measured) -> Sequence[Value]:
        yardstick.check_classes(generated)
        main = yardstick.extractor.space.main
        value, real = (
            neighbors.intra_class_diversity(x.features.rows[main], x.labels)
            for x in (generated, yardstick.real)
        )
        return [Value(value, None, real, {"feature": main, "floor_of": str(yardstick.real)})]


class IntraClassLpips(Metric):
    """By LPIPS (arXiv 1801.03924), over all pairs of a few images of each class."""

    figures = (
        Figure(
            "intra_class_lpips",
            "neither",
            "Mean perceptual distance (LPIPS) between two images of a class: best if equal to that "
            "of real images.",
            "intra-class LPIPS",
        ),
    )

    def pictured(self, images: ImageSet) -> np.ndarray:
        return perceptual_diversity.choose(images.labels)

    def measure(self, yardstick: Yardstick, generated: Measured) -> Sequence[Value]:
        lpips = perceptual_diversity.required(yardstick.lpips)
        yardstick.check_classes(generated)
        real = yardstick.reference
        chosen, known = self.pictured(generated.images), self.pictured(real)
        made = generated.pictures_of(chosen)
        others = yardstick.pictures(real, known)
        side = perceptual_diversity.common_side(made, lpips.net.backbone)
        value, floor = (
            perceptual_diversity.mean_of_pairs(lpips, pictures, labels, side, name)
            for pictures, labels, name in (
                (made, generated.images.labels[chosen], generated.images.name),
                (others, real.labels[known], real.name),
            )
        )
        details = {
            **perceptual_diversity.about(lpips, side),
            "images": len(made),
            "floor_of": f"{len(others):,} of {yardstick.real}",
        }
        return [Value(value, None, floor, details)]
