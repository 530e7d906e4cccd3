"""Real images as the yardstick of generated ones: features, a classifier, and their own figures."""

import dataclasses
import functools

import numpy as np

from vpt_gen.checkpoints.backbone import PretrainedNet
from vpt_gen.errors import UserError
from vpt_gen.evaluation import (
    figures,
    neighbours,
    perceptual_diversity,
)
from vpt_gen.evaluation.classifier import FeatureClassifier
from vpt_gen.evaluation.feature_cache import features_of
from vpt_gen.evaluation.features import Extractor, Features
from vpt_gen.evaluation.figures import Found, Value
from vpt_gen.evaluation.image_sets import ImageSet, tapped
from vpt_gen.evaluation.perceptual_diversity import intra_lpips


@dataclasses.dataclass(frozen=True)
class Measured:
    """A set of images and its features, or those of a part of it."""

    images: ImageSet
    features: Features

    @property
    def labels(self) -> np.ndarray:
        """(m,) class of each image whose rows were kept."""
        return self.images.labels[self.features.indices]

    def __str__(self) -> str:
        return f"{len(self.features.indices):,} {self.images.name}"


@dataclasses.dataclass(frozen=True)
class Yardstick:
    """Measures sets of images against real ones.

    Attributes:
      extractor: of the feature space.
      reference: the real images to compare with.
      train: those that the prompts were tuned on, where they are others than the reference; None
        where they are not known. Without them halves of the reference make the floors and the
        classifier, and there is no memorisation rate.
      judge: real images to learn class agreement from and to take floors of, where they are not
        those trained on: these may be few, and a classifier of few agrees with what copies them.
      seed: of the draws of real images.
      lpips: perceptual distance; None where its weights are not at hand.
    """

    extractor: Extractor
    reference: ImageSet
    train: ImageSet | None
    seed: int
    lpips: PretrainedNet | None
    judge: ImageSet | None = None

    def measure(self, images: ImageSet) -> tuple[Found, Measured]:
        """All figures of generated images, by one pass over them, and their features."""
        compared: list[np.ndarray] = []
        chosen = perceptual_diversity.choose(images.labels) & (self.lpips is not None)
        generated = self.features_of(
            dataclasses.replace(images, stream=lambda: tapped(images.stream(), chosen, compared))
        )
        found = self._distances(generated)
        found.take("class_agreement", lambda: [self._agreement(generated)])
        found.take("memorisation_rate", lambda: [self._memorisation(generated)])
        found.take("intra_class_diversity", lambda: [self._diversity(generated)])
        found.take("intra_lpips", lambda: [self._intra_lpips(generated, compared, chosen)])
        return found, generated

    def features_of(self, images: ImageSet) -> Measured:
        """A set with its features."""
        return Measured(images, features_of(self.extractor, images))

    @functools.cached_property
    def real(self) -> Measured:
        """The reference."""
        return self.features_of(self.reference)

    @functools.cached_property
    def _sides(self) -> tuple[Measured, Measured]:
        """Two sets of real images without a common one: to fit to, and to try with."""
        if fitted := self.judge or self.train:
            return self.features_of(fitted), self.real
        a, b = figures.draw(self.real.features, len(self.real.features.indices) // 2, self.seed)
        return Measured(self.reference, a), Measured(self.reference, b)

    @functools.cached_property
    def classifier(self) -> FeatureClassifier:
        """Trained on real images.

        Raises:
          UserError: see `FeatureClassifier.fit`.
        """
        space, (fitted, _) = self.extractor.space, self._sides
        fit = FeatureClassifier.fit_pixels if space.classes == "pixels" else FeatureClassifier.fit
        return fit(fitted.features.rows[space.classes], fitted.labels)

    def agreement(self, images: Measured) -> float:
        """Share of images in which the classifier sees their class.

        Raises:
          UserError: classes that it does not know, or see `FeatureClassifier.fit`.
        """
        classifier, labels = self.classifier, _numbers_in(self._sides[0].images, images)
        return classifier.agreement(images.features.rows[self.extractor.space.classes], labels)

    def _distances(self, generated: Measured) -> Found:
        """The figures that need no classes, with their floors."""
        count = len(generated.features.indices)
        found = figures.compare(self.extractor.space, generated.features, self.real.features)
        if count not in self._floors:  # They are the same for all that training measures.
            self._floors[count] = self._floors_of(count)
        floors, floor_of = self._floors[count]
        for name, value in found.values.items():
            if floor := floors.get(name):
                details = {"floor_of": floor_of, "floor_seed": self.seed}
                if size := floor.details.get("subset_size"):
                    details["floor_subset_size"] = size
                found.values[name] = dataclasses.replace(
                    value, floor=floor.value, details={**value.details, **details}
                )
        return found

    @functools.cached_property
    def _floors(self) -> dict[int, tuple[dict[str, Value], str]]:
        return {}

    def _floors_of(self, count: int) -> tuple[dict[str, Value], str]:
        """Figures of real images in the generated ones' place, as many where there are so many."""
        fitted, tried = self._sides
        drawn, _ = figures.draw(fitted.features, count, self.seed)
        floors = figures.compare(self.extractor.space, drawn, tried.features).values
        return floors, f"{Measured(fitted.images, drawn)} against {tried}"

    def _agreement(self, generated: Measured) -> Value:
        space, (fitted, tried) = self.extractor.space, self._sides
        value, real = self.agreement(generated), self.agreement(tried)
        details = {"feature": space.classes, "classifier": self.classifier.description}
        details |= {"classifier_trained_on": str(fitted), "floor_of": str(tried)}
        return Value(value, None, real, details)

    def _memorisation(self, generated: Measured) -> Value:
        if self.train is None:
            raise UserError(
                "A memorisation rate needs training images and others that were held out from "
                "them: config.data.holdout above 0, or --train beside --reference."
            )
        known = self.features_of(self.train)
        samples, train, held_out = (
            x.features.rows[self.extractor.space.near] for x in (generated, known, self.real)
        )
        result = neighbours.memorisation_rate(samples, train, held_out)
        details = {"feature": self.extractor.space.near, "threshold": result.threshold}
        details |= {"floor_of": "new real images, by construction"}
        details |= {"neighbours_among": str(known), "held_out": str(self.real)}
        return Value(result.rate, None, result.nominal, details)

    def _diversity(self, generated: Measured) -> Value:
        self._check_classes(generated)
        value, real = (
            neighbours.intra_class_diversity(x.features.rows[self.extractor.space.main], x.labels)
            for x in (generated, self.real)
        )
        details = {"feature": self.extractor.space.main, "floor_of": str(self.real)}
        return Value(value, None, real, details)

    def _intra_lpips(self, generated: Measured, images: list, chosen: np.ndarray) -> Value:
        if self.lpips is None:
            raise UserError(
                "Intra-LPIPS needs the weights of LPIPS in --weights_dir: "
                "vpt_gen/checkpoints/perceptual.py says which files."
            )
        self._check_classes(generated)
        side = perceptual_diversity.common_side(images, self.lpips.net.backbone)
        real, real_chosen = self._real_pictures
        value, floor = (
            intra_lpips(self.lpips, pictures, of.images.labels[which], side, of.images.name)
            for of, pictures, which in (
                (generated, images, chosen),
                (self.real, real, real_chosen),
            )
        )
        details = {"lpips": self.lpips.net.backbone, "lpips_digest": self.lpips.digest}
        details |= {"resize": f"antialiased bilinear to {side}x{side}", "images": len(images)}
        return Value(value, None, floor, {**details, "floor_of": f"{len(real):,} of {self.real}"})

    @functools.cached_property
    def _real_pictures(self) -> tuple[list[np.ndarray], np.ndarray]:
        """Images of each class of the reference for LPIPS, and which they are."""
        pictures: list[np.ndarray] = []
        chosen = perceptual_diversity.choose(self.reference.labels)
        for _ in tapped(self.reference.stream(), chosen, pictures):
            if len(pictures) == chosen.sum():
                break
        return pictures, chosen

    def _check_classes(self, generated: Measured) -> None:
        """Raises UserError where the images have other classes than the real ones.

        Two flat folders have one class each, called as it may.
        """
        if max(len(x.class_names) for x in (generated.images, self.reference)) > 1:
            _numbers_in(self.reference, generated)


def _numbers_in(known: ImageSet, images: Measured) -> np.ndarray:
    """The class (m,) of each image, in another set's numbers.

    Raises:
      UserError: classes that the other set has not.
    """
    numbers = {name: number for number, name in enumerate(known.class_names)}
    names, used = images.images.class_names, np.unique(images.labels)
    unknown = [names[number] for number in used if names[number] not in numbers]
    if unknown:
        raise UserError(
            f"Class {unknown[0]!r} of the {images.images.name} is none of the {known.name}: sort "
            "them into one sub-folder a class, named alike."
        )
    translation = np.zeros(len(names), np.int64)
    translation[used] = [numbers[names[number]] for number in used]
    return translation[images.labels]
