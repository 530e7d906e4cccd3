"""The feature space of the photos source's classifier, which ships with the package."""

import functools

from vpt_gen.checkpoints.backbone import PretrainedNet
from vpt_gen.evaluation.features import FeatureSpace
from vpt_gen.nets import resize

SIDE = 32
_FEATURE = "pooled"


def photos_space(classifier: PretrainedNet) -> FeatureSpace:
    """Makes the space: activations after the last stage, averaged over the image, before the head.

    A Frechet distance in it is not a FID. Of larger images it sees what is left at 32x32.

    Args:
      classifier: a `nets.classifier.Classifier` with its variables.
    """
    net = classifier.net

    def apply(variables, images):
        stages = net.apply(variables, images / 255.0, method="features")
        return {_FEATURE: stages[-1].mean(axis=(1, 2))}

    return FeatureSpace(
        name="photos",
        digest=classifier.digest,
        dims={_FEATURE: net.widths[-1]},
        main=_FEATURE,
        near=_FEATURE,
        classes=_FEATURE,
        resize=f"antialiased bilinear to {SIDE}x{SIDE}, not rounded",
        params=classifier.params,
        prepare=functools.partial(resize.antialiased, side=SIDE),
        apply=apply,
    )
