"""Real images to compare generated ones with: features, a classifier, floors."""

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np

from vpt_gen.checkpoints.backbone import PretrainedNet
from vpt_gen.data.names import name_key, numbers_of
from vpt_gen.errors import UserError
from vpt_gen.evaluation.classifier import FeatureClassifier
from vpt_gen.evaluation.feature_cache import features_of, from_cache
from vpt_gen.evaluation.features import Extractor, Features
from vpt_gen.evaluation.figures import Value
from vpt_gen.evaluation.image_sets import ImageSet, counted
from vpt_gen.evaluation.shared_features import SharedFeatures
from vpt_gen.machine import distributed


@dataclasses.dataclass(frozen=True)
class Measured:
    """A set of images and its features, or those of a part of it.

    Attributes:
      images: the set.
      features: of its images, or of a part.
    """

    images: ImageSet
    features: Features

    @property
    def labels(self) -> np.ndarray:
        """(m,) class of each image whose rows were kept."""
        return self.images.labels[self.features.indices]

    @property
    def pictures(self) -> Mapping[int, np.ndarray]:
        """Number of an image -> the image, uint8 (H, W, 3), of those that metrics need."""
        return self.features.pictures

    def pictures_of(self, chosen: np.ndarray) -> list[np.ndarray]:
        """Returns the images that `chosen` (n,) marks, all of which were kept."""
        return [self.pictures[number] for number in np.flatnonzero(chosen).tolist()]

    def __str__(self) -> str:
        return counted(len(self.features.indices), self.images.name)


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
      also: figures to measure beside those that are always measured; see `Metric.on_request`.
      seed: of the draws of real images.
      lpips: perceptual distance; None without its weights.
      shared: where several processes put the features of the sets; see `extract_together`.
    """

    extractor: Extractor
    reference: ImageSet
    train: ImageSet | None
    seed: int
    lpips: PretrainedNet | None
    judge: ImageSet | None = None
    also: frozenset[str] = frozenset()
    shared: SharedFeatures | None = None

    def features_of(self, images: ImageSet, pictured: np.ndarray | None = None) -> Measured:
        """Measures the features of a set, and keeps the images `pictured` (n,) themselves."""
        return Measured(images, features_of(self.extractor, images, pictured, self.shared))

    def extract_together(self, generated: ImageSet, pictured: np.ndarray) -> None:
        """Extracts the features of all sets that figures compare.

        All processes call this together; only the first needs its cache, and measures then.

        Args:
          generated: the images to measure.
          pictured: (n,) bool, those that are kept themselves.
        """
        assert self.shared is not None
        self.shared.extract(self.extractor, generated, pictured)
        for images in filter(None, (self.reference, self.train, self.judge)):
            cached = distributed.is_first() and from_cache(self.extractor, images) is not None
            if not distributed.first_tells(np.array(cached)):
                self.shared.extract(self.extractor, images, np.zeros(len(images), bool))

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
        feature, (fitted, _) = self.extractor.space.classes, self.sides
        rows = fitted.features.rows[feature]
        return FeatureClassifier.fit_feature(feature, rows, fitted.labels)

    def agreement(self, images: Measured) -> float:
        """Returns the share of images of which the classifier predicts the class.

        Raises:
          UserError: unknown classes, or see `FeatureClassifier.fit`.
        """
        classifier = self.classifier
        labels = numbers_in(self.sides[0].images, images.images, images.labels)
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
    def _pictures(self) -> dict[tuple[str, str, bytes], list[np.ndarray]]:
        return {}

    def pictures(self, images: ImageSet, chosen: np.ndarray) -> list[np.ndarray]:
        """Returns those of a set's real images that `chosen` (n,) marks, read once."""
        key = images.name, images.digest, chosen.tobytes()
        if key not in self._pictures:
            self._pictures[key] = images.pictures(chosen)
        return self._pictures[key]

    def check_classes(self, images: Measured) -> None:
        """Raises UserError if the images have other classes than the reference."""
        numbers_in(self.reference, images.images, images.labels)


def draw(features: Features, count: int, seed: int) -> tuple[Features, Features]:
    """`count` of the images whose rows were kept, at random, and the others."""
    order = np.random.default_rng(seed).permutation(len(features.indices))
    return _part(features, np.sort(order[:count])), _part(features, np.sort(order[count:]))


def _part(features: Features, chosen: np.ndarray) -> Features:
    rows = {name: rows[chosen] for name, rows in features.rows.items()}
    return Features(len(chosen), {}, rows, features.indices[chosen])


def numbers_in(known: ImageSet, images: ImageSet, labels: np.ndarray) -> np.ndarray:
    """Returns the classes (n,) of some images of a set, `labels`, in another set's numbers.

    Two flat folders have one class each, whatever its name is.

    Raises:
      UserError: classes that the other set has not.
    """
    if max(len(x.class_names) for x in (known, images)) == 1:
        return np.zeros(len(labels), np.int64)
    numbers = numbers_of(known.class_names)
    names, used = list(map(name_key, images.class_names)), np.unique(labels)
    unknown = [names[number] for number in used if names[number] not in numbers]
    if unknown:
        raise UserError(
            f"Class {unknown[0]!r} of the {images.name} is none of the {known.name}: sort "
            "them into one sub-folder per class, named alike."
        )
    translation = np.zeros(len(names), np.int64)
    translation[used] = [numbers[names[number]] for number in used]
    return translation[labels]
