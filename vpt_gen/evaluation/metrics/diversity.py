"""Diversity inside a class, in features and by LPIPS."""

from collections.abc import Sequence

from vpt_gen.errors import UserError
from vpt_gen.evaluation import neighbors, perceptual_diversity
from vpt_gen.evaluation.figures import Figure, Value
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


class IntraLpips(Metric):
    """By LPIPS (arXiv 1801.03924), over a few images of each class."""

    figures = (
        Figure(
            "intra_lpips",
            "neither",
            "Mean perceptual distance (LPIPS) between two images of a class: best if equal to that "
            "of real images.",
            "intra-class LPIPS",
        ),
    )

    def measure(self, yardstick: Yardstick, generated: Measured) -> Sequence[Value]:
        lpips = yardstick.lpips
        if lpips is None:
            raise UserError(
                "Intra-LPIPS needs the weights of LPIPS in --weights_dir; "
                "vpt_gen/checkpoints/perceptual.py lists the files."
            )
        yardstick.check_classes(generated)
        real = yardstick.real_with_pictures
        side = perceptual_diversity.common_side(generated.pictures, lpips.net.backbone)
        value, floor = (
            perceptual_diversity.intra_lpips(
                lpips, of.pictures, of.picture_labels, side, of.images.name
            )
            for of in (generated, real)
        )
        details = {
            "lpips": lpips.net.backbone,
            "lpips_digest": lpips.digest,
            "resize": f"antialiased bilinear to {side}x{side}",
            "images": len(generated.pictures),
            "floor_of": f"{len(real.pictures):,} of {yardstick.real}",
        }
        return [Value(value, None, floor, details)]
