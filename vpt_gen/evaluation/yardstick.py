"""Real images to compare generated ones with: features, a classifier, floors."""

import dataclasses
import functools

import numpy as np

from vpt_gen.checkpoints.backbone import PretrainedNet
from vpt_gen.data.names import name_key, numbers_of
from vpt_gen.errors import UserError
from vpt_gen.evaluation import perceptual_diversity
from vpt_gen.evaluation.classifier import FeatureClassifier
from vpt_gen.evaluation.feature_cache import features_of
from vpt_gen.evaluation.features import Extractor, Features
from vpt_gen.evaluation.figures import Value
from vpt_gen.evaluation.image_sets import ImageSet, tapped


@dataclasses.dataclass(frozen=True)
class Measured:
    """A set of images and its features, or those of a part of it.

    Attributes:
      images: the set.
      features: of its images, or of a part.
      pictures: uint8 (H, W, 3), of the images for perceptual distances; see `pictured`.
    """

    images: ImageSet
    features: Features
    pictures: list[np.ndarray] = dataclasses.field(default_factory=list)

    @property
    def labels(self) -> np.ndarray:
        """(m,) class of each image whose rows were kept."""
        return self.images.labels[self.features.indices]

    @property
    def picture_labels(self) -> np.ndarray:
        """Class of each of `pictures`."""
        return self.images.labels[pictured(self.images)]

    def __str__(self) -> str:
        return f"{len(self.features.indices):,} {self.images.name}"


def pictured(images: ImageSet) -> np.ndarray:
    """Marks the images (n,) of a set for perceptual distances."""
    return perceptual_diversity.choose(images.labels)


@dataclasses.dataclass(frozen=True)
class Yardstick:
    """Real images, their features, and what is computed from them once for all metrics.

    Attributes:
      extractor: of the feature space.
      reference: the real images to compare with.
      train: the training images, if they differ from the reference; None if they are not known.
        Without them, halves of the reference give the floors and the classifier, and there is no
        memorization rate.
      judge: real images for the classifier and the floors, if not the training images: these may be
        few, and a classifier of few images agrees with copies of them.
      seed: of the draws of real images.
      lpips: perceptual distance; None without its weights.
    """

    extractor: Extractor
    reference: ImageSet
    train: ImageSet | None
    seed: int
    lpips: PretrainedNet | None
    judge: ImageSet | None = None

    def features_of(self, images: ImageSet) -> Measured:
        """Measures the features of a set."""
        return Measured(images, features_of(self.extractor, images))

    @functools.cached_property
    def real(self) -> Measured:
        """The reference."""
        return self.features_of(self.reference)

    @functools.cached_property
    def sides(self) -> tuple[Measured, Measured]:
        """Two disjoint sets of real images: to fit, and to test."""
        if fitted := self.judge or self.train:
            return self.features_of(fitted), self.real
        a, b = draw(self.real.features, len(self.real.features.indices) // 2, self.seed)
        return Measured(self.reference, a), Measured(self.reference, b)

    @functools.cached_property
    def classifier(self) -> FeatureClassifier:
        """Trained on real images.

        Raises:
          UserError: see `FeatureClassifier.fit`.
        """
        space, (fitted, _) = self.extractor.space, self.sides
        fit = FeatureClassifier.fit_pixels if space.classes == "pixels" else FeatureClassifier.fit
        return fit(fitted.features.rows[space.classes], fitted.labels)

    def agreement(self, images: Measured) -> float:
        """Returns the share of images of which the classifier predicts the class.

        Raises:
          UserError: unknown classes, or see `FeatureClassifier.fit`.
        """
        classifier, labels = self.classifier, _numbers_in(self.sides[0].images, images)
        return classifier.agreement(images.features.rows[self.extractor.space.classes], labels)

    @functools.cached_property
    def floors(self) -> dict[tuple[str, int], list[Value | None]]:
        """(metric, count) -> floors; the same for all measurements of a training run."""
        return {}

    def real_against_real(self, count: int) -> tuple[Measured, Measured]:
        """`count` real images, or as many as there are, and others to compare them with."""
        fitted, tried = self.sides
        drawn, _ = draw(fitted.features, count, self.seed)
        return Measured(fitted.images, drawn), tried

    @functools.cached_property
    def real_with_pictures(self) -> Measured:
        """The reference, with its pictures."""
        pictures: list[np.ndarray] = []
        chosen = pictured(self.reference)
        for _ in tapped(self.reference.stream(), chosen, pictures):
            if len(pictures) == chosen.sum():
                break
        return dataclasses.replace(self.real, pictures=pictures)

    def check_classes(self, images: Measured) -> None:
        """Raises UserError if the images have other classes than the real ones.

        Two flat folders have one class each, whatever its name is.
        """
        if max(len(x.class_names) for x in (images.images, self.reference)) > 1:
            _numbers_in(self.reference, images)


def draw(features: Features, count: int, seed: int) -> tuple[Features, Features]:
    """`count` of the images whose rows were kept, at random, and the others."""
    order = np.random.default_rng(seed).permutation(len(features.indices))
    return _part(features, np.sort(order[:count])), _part(features, np.sort(order[count:]))


def _part(features: Features, chosen: np.ndarray) -> Features:
    rows = {name: rows[chosen] for name, rows in features.rows.items()}
    return Features(len(chosen), {}, rows, features.indices[chosen])


def _numbers_in(known: ImageSet, images: Measured) -> np.ndarray:
    """The class (m,) of each image, in another set's numbers.

    Raises:
      UserError: classes that the other set has not.
    """
    numbers = numbers_of(known.class_names)
    names, used = list(map(name_key, images.images.class_names)), np.unique(images.labels)
    unknown = [names[number] for number in used if names[number] not in numbers]
    if unknown:
        raise UserError(
            f"Class {unknown[0]!r} of the {images.images.name} is none of the {known.name}: sort "
            "them into one sub-folder per class, named alike."
        )
    translation = np.zeros(len(names), np.int64)
    translation[used] = [numbers[names[number]] for number in used]
    return translation[images.labels]
