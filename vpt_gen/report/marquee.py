"""Section: fidelity against diversity as the prompt changes earlier or later in decoding."""

import dataclasses
from collections.abc import Iterable

import numpy as np

from vpt_gen.decode import marquee
from vpt_gen.decode.generate import num_stages
from vpt_gen.evaluation.neighbors import intra_class_diversity
from vpt_gen.nets.prompt_generator import NO_INSTANCE
from vpt_gen.report.charts import Series, chart
from vpt_gen.report.html import (
    Node,
    h,
    picture,
    section,
    strip,
    table,
)
from vpt_gen.report.real import RealImages, Rows
from vpt_gen.runs.opened import TunedRun

_SHOWN = 3  # Pairs with images on the page; the figures are of all pairs.


@dataclasses.dataclass(frozen=True)
class Schedule:
    """A schedule from the first prompt of a pair to the second: its names and W (T, 2)."""

    name: str
    short: str
    weights: np.ndarray


@dataclasses.dataclass(frozen=True)
class Figures:
    """Means over pairs, each with its standard error.

    Attributes:
      diversity: mean distance between two images of one pair.
      distance: to the nearest training image.
      agreement: share of images whose class a classifier predicts; nan if there is one class.
    """

    diversity: tuple[float, float]
    distance: tuple[float, float]
    agreement: tuple[float, float]


@dataclasses.dataclass(frozen=True)
class MarqueeStudy:
    """The same pairs of prompts under every schedule.

    Attributes:
      pairs: (n, 2, 2) start and end of an image: class, and training image or none.
      schedules: from the second prompt only to the first only.
      images: for each schedule (n, m, H, W, 3): m images of each pair, of the same keys.
      figures: of each schedule.
      real: figures of held-out images, with classes instead of pairs; None if there are none.
      real_name: what these images are called.
      starts: (n, R, R, 3) the training image that a pair starts from; None without one.
    """

    pairs: np.ndarray
    schedules: list[Schedule]
    images: list[np.ndarray]
    figures: list[Figures]
    real: Figures | None
    real_name: str
    starts: np.ndarray | None


def make_schedules(run: TunedRun) -> list[Schedule]:
    """Makes schedules: the second prompt only, then later and later changes, the first only."""
    sampler = run.token_sampler
    stages = num_stages(sampler.transformer, sampler.num_tokens, sampler.options)
    cutoffs = sorted({max(1, round(stages * share)) for share in (0.1, 0.25, 0.5, 1.0)})
    first, second = _ends(run)
    return [
        Schedule(f"{second} alone", second, marquee.constant(stages, 2, 1)),
        *(Schedule(f"cutoff {c}", str(c), marquee.instance_to_class(stages, c)) for c in cutoffs),
        Schedule(f"{first} alone", first, marquee.constant(stages, 2, 0)),
    ]


def _ends(run: TunedRun) -> tuple[str, str]:
    """Names the two prompts of a pair."""
    method = run.token_sampler.method
    if not method.num_instances:
        return "other class", "own class"
    return ("image", "class") if method.num_classes else ("first image", "second image")


def study(
    real: RealImages,
    pairs: np.ndarray,
    schedules: list[Schedule],
    drawn: Iterable[np.ndarray],
) -> MarqueeStudy:
    """Measures images of pairs (n, 2, 2) under every schedule.

    Args:
      real: the run and its images.
      pairs: of prompts.
      schedules: see `make_schedules`.
      drawn: for each schedule images (n * m, H, W, 3), m of each pair.
    """
    made, figures = [], []
    for images in drawn:
        count = len(images) // len(pairs)
        groups = np.arange(len(pairs)).repeat(count)
        figures.append(_figures(real, real.rows(images), groups, pairs[groups, -1, 0]))
        made.append(images.reshape(len(pairs), count, *images.shape[1:]))
    starts = pairs[:, 0, 1]
    return MarqueeStudy(
        pairs,
        schedules,
        made,
        figures,
        _of_held_out(real, np.unique(pairs[:, 1, 0])),
        real.held_out_name,
        real.pictures(real.train, starts) if (starts != NO_INSTANCE).all() else None,
    )


def _figures(real: RealImages, rows: Rows, groups: np.ndarray, class_ids: np.ndarray) -> Figures:
    """Computes the figures of images from features and classes; a group is of one pair."""
    space = real.extractor.space
    distances = real.nearest(rows).distances
    right = np.full(len(groups), np.nan)
    if real.classifier is not None:
        right = real.classifier.model.predict(rows[space.classes]) == class_ids
    parts = [groups == group for group in np.unique(groups)]
    # A group of one image has no diversity.
    several = [part for part in parts if part.sum() > 1]
    return Figures(
        _mean([intra_class_diversity(rows[space.main][part], groups[part]) for part in several]),
        _mean([distances[part].mean() for part in parts]),
        _mean([right[part].mean() for part in parts]),
    )


def _mean(values: list[float]) -> tuple[float, float]:
    """Returns the mean and its standard error."""
    if len(values) < 2:
        return (float(np.mean(values)) if values else float("nan")), float("nan")
    return float(np.mean(values)), float(np.std(values, ddof=1) / len(values) ** 0.5)


def _of_held_out(real: RealImages, classes: np.ndarray) -> Figures | None:
    if (held_out_rows := real.held_out_rows) is None:
        return None
    chosen = np.isin(real.held_out_labels, classes)
    labels = real.held_out_labels[chosen]
    rows = {name: values[chosen] for name, values in held_out_rows.items()}
    return _figures(real, rows, labels, labels) if len(labels) else None


def marquee_section(found: MarqueeStudy | None, class_names: list[str]) -> Node:
    """Makes charts, a table, and strips of images; a sentence if there is no pair."""
    title = "Fidelity against diversity"
    if found is None:
        return section(
            "marquee", title, h("p", "These prompts have only one class, so there are no pairs.")
        )
    rows = [
        [schedule.name, *map(_with_error, dataclasses.astuple(figures))]
        for schedule, figures in zip(found.schedules, found.figures, strict=True)
    ]
    if found.real:
        rows.append([found.real_name, *map(_with_error, dataclasses.astuple(found.real))])
    head = ["schedule", "diversity", "distance to training", "right class"]
    return section(
        "marquee",
        title,
        h("p", _what(found)),
        h("div.charts", *_charts(found)),
        table(head, rows),
        h("p.quiet", _how(found)),
        *(_pair_block(found, i, class_names) for i in range(min(_SHOWN, len(found.pairs)))),
    )


def _what(found: MarqueeStudy) -> str:
    if found.starts is None:
        way = "from the prompt of another class to its own"
    elif (found.pairs[:, 1, 1] == NO_INSTANCE).all():
        way = "from the prompt of one training image to that of its class"
    else:
        way = "from the prompt of one training image to that of another of its class"
    return (
        f"A marquee changes the prompt while an image is decoded: here {way}. The cutoff is the "
        "stage (iteration, or row of tokens) at which the second prompt has full weight; before, "
        "its weight rises with the square of the stage. In the charts a point is named by its "
        "cutoff, or by the prompt used throughout. All start from the same noise. The weights are "
        "our reading of the paper's idea."
    )


def _how(found: MarqueeStudy) -> str:
    pairs, count = found.images[0].shape[:2]
    return (
        f"{pairs} pairs of prompts with {count} images each; means and standard errors over the "
        f"pairs. Diversity: mean distance between two images of a pair (of {found.real_name}: of a "
        "class). Distance to training: to the nearest training image. Right class: share of images "
        "of which a classifier that is trained on the training images predicts the class of the "
        "second prompt. Distances are in the features in which nearest images are found."
    )


def _with_error(figure: tuple[float, float]) -> str:
    mean, error = figure
    if np.isnan(mean):
        return "–"
    return (
        f"{mean:.3g}" if np.isnan(error) else f"{mean:.3g}\u00a0±\u00a0{error:.1g}"
    )  # Not broken at the end of a line.


def _charts(found: MarqueeStudy) -> list[Node]:
    charts = [_tradeoff(found, "distance", "distance to the nearest training image")]
    if not np.isnan(found.figures[0].agreement[0]):
        charts.append(_tradeoff(found, "agreement", "right class"))
    return charts


def _tradeoff(found: MarqueeStudy, name: str, label: str) -> Node:
    """Draws a measure of fidelity against diversity, for the schedules and for real images."""
    series = [
        Series(
            "schedules",
            [f.diversity[0] for f in found.figures],
            [getattr(f, name)[0] for f in found.figures],
            labels=[s.name for s in found.schedules],
            notes=[s.short for s in found.schedules],
        )
    ]
    if found.real:
        series.append(
            Series(
                found.real_name,
                [found.real.diversity[0]],
                [getattr(found.real, name)[0]],
                color="var(--second)",
                shape=3,
                line=False,
                size=5,
            )
        )
    return chart(series, label.capitalize(), "diversity")


def _pair_block(found: MarqueeStudy, i: int, class_names: list[str]) -> Node:
    (start_class, start), (end_class, end) = found.pairs[i].tolist()
    first, second = (
        f"class {class_names[c]}"
        if x == NO_INSTANCE
        else f"training image {x} of class {class_names[c]}"
        for c, x in ((start_class, start), (end_class, end))
    )
    strips = []
    if found.starts is not None:
        image = picture(found.starts[i], first)
        strips.append(strip("starts from", [image], columns=found.images[0].shape[1]))
    for schedule, images in zip(found.schedules, found.images, strict=True):
        cells = [picture(x, f"{first} to {second}, {schedule.name}") for x in images[i]]
        strips.append(strip(schedule.name, cells))
    return h("div.block", h("h3", f"From {first} to {second}"), *strips)
