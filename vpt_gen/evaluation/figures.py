"""The figures that a set of images is measured by: their names, what they mean, how they are taken.

Every figure that compares two sets is taken twice by the same code: of generated against real
images, and of real against real ones, which is its floor.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from vpt_gen.errors import UserError
from vpt_gen.evaluation import distances
from vpt_gen.evaluation.features import Features, FeatureSpace

KID_SUBSETS, KID_SUBSET_SIZE = 100, 1000
SPLITS = 10
PRECISION_K, DENSITY_K = 3, 5


@dataclasses.dataclass(frozen=True)
class Kind:
    """What a figure is: whether "lower", "higher" or "neither" is better, and what it says."""

    better: str
    meaning: str


KINDS = {
    "fid": Kind("lower", "Frechet Inception Distance: how far the generated images are from real."),
    "frechet": Kind(
        "lower",
        "Frechet distance of generated from real images in a tokenizer's features; not a FID, and "
        "comparable in the same feature space alone.",
    ),
    "kid": Kind(
        "lower",
        "Kernel distance (KID, unbiased): like the Frechet distance, and fair to small sets.",
    ),
    "inception_score": Kind(
        "higher", "Inception Score: are the images of one ImageNet class each, and of many in all?"
    ),
    "precision": Kind("higher", "Share of generated images that lie among real ones: fidelity."),
    "recall": Kind("higher", "Share of real images that lie among generated ones: diversity."),
    "density": Kind(
        "higher", "How densely real images lie around generated ones, 1 for real: fidelity."
    ),
    "coverage": Kind(
        "higher", "Share of real images with a generated one beside them: diversity, no lost class."
    ),
    "class_agreement": Kind(
        "higher",
        "Share of images in which a classifier trained on real ones sees the class asked for.",
    ),
    "memorisation_rate": Kind(
        "lower",
        "Share of images as near to one training image as few real held-out ones are; only what "
        "exceeds the floor counts.",
    ),
    "intra_class_diversity": Kind(
        "neither", "Mean distance between two images of a class: best where it is that of real."
    ),
    "intra_lpips": Kind(
        "neither",
        "Mean perceptual distance (LPIPS) between two images of a class: best where it is that of "
        "real.",
    ),
}
HIGHER_IS_BETTER = frozenset(name for name, kind in KINDS.items() if kind.better == "higher")


@dataclasses.dataclass(frozen=True)
class Value:
    """A figure as measured.

    Attributes:
      value: the figure.
      std: its standard deviation, where the way it is taken gives one.
      floor: what real images reach, where that can be measured.
      details: what belongs to its protocol alone, as JSON takes it.
    """

    value: float
    std: float | None = None
    floor: float | None = None
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Found:
    """Figures by name, and why others could not be taken."""

    values: dict[str, Value] = dataclasses.field(default_factory=dict)
    left_out: dict[str, str] = dataclasses.field(default_factory=dict)

    def take(self, names: str, measure: Callable[[], Sequence[Value]]) -> None:
        """Adds what `measure` gives under names (parted by spaces), or why it cannot."""
        try:
            self.values.update(zip(names.split(), measure(), strict=True))
        except UserError as error:
            self.left_out.update(dict.fromkeys(names.split(), str(error)))


def distance_name(space: FeatureSpace) -> str:
    """Only in Inception's features a Frechet distance is a FID."""
    return "fid" if space.name == "inception" else "frechet"


def names_in(space: str) -> list[str]:
    """The figures that there are in the feature space of this name."""
    missing = {"frechet"} if space == "inception" else {"fid", "inception_score"}
    return [name for name in KINDS if name not in missing]


def draw(features: Features, count: int, seed: int) -> tuple[Features, Features]:
    """`count` of the images whose rows were kept, at random, and the others."""
    order = np.random.default_rng(seed).permutation(len(features.indices))
    return _part(features, np.sort(order[:count])), _part(features, np.sort(order[count:]))


def _part(features: Features, chosen: np.ndarray) -> Features:
    rows = {name: rows[chosen] for name, rows in features.rows.items()}
    return Features(len(chosen), {}, rows, features.indices[chosen])


def compare(space: FeatureSpace, images: Features, real: Features) -> Found:
    """All figures that need no classes, of generated images (or others) against real ones."""
    found = Found()
    rows, real_rows = images.rows[space.main], real.rows[space.main]
    feature = {"feature": space.main}

    def kid():
        fewest = min(len(rows), len(real_rows))
        if fewest < 4:
            raise UserError(f"KID needs four images of each set or more, one has {fewest}.")
        # Whole sets as subsets would vary in nothing; the mean does not hang on their size.
        size = KID_SUBSET_SIZE if fewest >= KID_SUBSET_SIZE else fewest // 2
        mean, std = distances.kid(rows, real_rows, num_subsets=KID_SUBSETS, subset_size=size)
        details: dict[str, Any] = {
            "subsets": KID_SUBSETS,
            "subset_size": size,
            "subset_seed": distances.SEED,
        }
        details["kernel"] = f"(x.y / {rows.shape[1]} + 1)^3"
        return [Value(mean, std, details={**feature, **details})]

    def score():
        assert space.logits is not None
        mean, std = distances.inception_score(images.rows[space.logits], splits=SPLITS)
        details = {"splits": SPLITS, "shuffle_seed": distances.SEED, "feature": space.logits}
        return [Value(mean, std, details=details)]

    def pair(measure, k):
        return [Value(x, details={**feature, "k": k}) for x in measure(rows, real_rows, k=k)]

    found.take(
        distance_name(space),
        lambda: [Value(frechet(images, real, space.main), details=feature)],
    )
    found.take("kid", kid)
    if space.logits:
        found.take("inception_score", score)
    found.take("precision recall", lambda: pair(distances.precision_recall, PRECISION_K))
    found.take("density coverage", lambda: pair(distances.density_coverage, DENSITY_K))
    return found


def frechet(a: Features, b: Features, name: str) -> float:
    """The Frechet distance over all images, also those whose rows were not kept.

    Raises:
      UserError: fewer than two images.
    """
    if all(len(x.rows[name]) == x.count for x in (a, b)):
        return distances.frechet(a.rows[name], b.rows[name])
    return distances.frechet_from_moments(*_moments(a, name), *_moments(b, name))


def _moments(features: Features, name: str) -> tuple[np.ndarray, np.ndarray]:
    if name in features.moments:
        return features.moments[name]
    rows = np.asarray(features.rows[name], np.float64)
    return rows.mean(axis=0), np.cov(rows, rowvar=False)
