"""Pictures of a study: figures with error bars, and a row of samples for each variant."""

import importlib.util
import io
import pathlib
from collections.abc import Mapping

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from vpt_gen.data.batches import open_sources
from vpt_gen.evaluation import report
from vpt_gen.evaluation.image_sets import real_sets
from vpt_gen.images import grids
from vpt_gen.study.results import (
    LAST,
    Results,
    check_strip,
    result_folders,
)
from vpt_gen.study.runs import Runs, distance_of


def shown_figures(study: ConfigDict) -> tuple[str, ...]:
    """Returns the figures on pages; results.csv has all."""
    rest = ("coverage", "intra_class_diversity", "memorization_rate")
    return ("class_agreement", distance_of(study), *rest)


def label_of(study: ConfigDict, variant: str, checkpoint: str = LAST) -> str:
    """Returns a variant's label."""
    label = study.variants[variant].label or variant
    return label if checkpoint == LAST else f"{label}, {checkpoint} checkpoint"


def shots_label(shots: int) -> str:
    """Formats a number of training images."""
    return f"{shots} per class" if shots else "all images"


def can_plot() -> bool:
    """Whether matplotlib is installed; a study needs it only for its plots."""
    return importlib.util.find_spec("matplotlib") is not None


def figures_plot(study: ConfigDict, results: Results, dataset: str) -> np.ndarray:
    """Plots all shown figures of a data set: one row per variant, one color per number of shots.

    Points are medians over seeds, bars their spread, dashed lines the values of real images. Needs
    matplotlib; see `can_plot`.
    """
    from matplotlib import colormaps, ticker
    from matplotlib.figure import Figure

    keys = [row.key for row in results.rows if row.cell.group.dataset == dataset]
    rows = sorted(
        {(variant, checkpoint) for _, variant, checkpoint in keys},
        key=lambda row: (list(study.variants).index(row[0]), row[1] != LAST),
    )
    names = shown_figures(study)
    figure = Figure(figsize=(2.6 * len(names) + 2, 0.42 * len(rows) + 1.6), layout="constrained")
    axes = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    colors = colormaps["viridis"](np.linspace(0.05, 0.85, len(study.shots)))
    for axis, name in zip(axes, names, strict=True):
        for number, (shots, color) in enumerate(zip(study.shots, colors, strict=True)):
            shift = 0.5 * ((number + 0.5) / len(study.shots) - 0.5)
            _points(axis, results, name, dataset, shots, rows, shift, color)
            if floor := results.floors(name, dataset, shots):
                axis.axvline(floor.median, color=color, linestyle="--", linewidth=1, zorder=0)
        axis.set_title(report.label(name), fontsize=10)
        axis.grid(axis="x", color="0.9")
        axis.set_axisbelow(True)
        axis.margins(x=0.06)
        axis.spines[["top", "right"]].set_visible(False)
    if study.samples.features in ("tokenizer", "photos"):
        axis = axes[names.index(distance_of(study))]
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_formatter(ticker.NullFormatter())
    axes[0].set_yticks(range(len(rows)), [label_of(study, *row) for row in rows])
    axes[0].set_ylim(len(rows) - 0.5, -0.5)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    return _drawn(figure)


def _points(axis, results: Results, name, dataset, shots, rows, shift, color) -> None:
    """Plots the medians and spreads of one figure at one number of shots, in their rows."""
    found = {
        (variant, checkpoint): spread
        for (group, variant, checkpoint), spread in results.spreads(name).items()
        if (group.dataset, group.shots) == (dataset, shots)
    }
    there = [(y, found[row]) for y, row in enumerate(rows) if row in found]
    medians = np.array([spread.median for _, spread in there])
    bars = [
        medians - [spread.low for _, spread in there],
        np.array([spread.high for _, spread in there]) - medians,
    ]
    axis.errorbar(
        medians,
        [y + shift for y, _ in there],
        xerr=bars if there else None,
        fmt="o",
        markersize=4,
        elinewidth=1.4,
        color=color,
        label=shots_label(shots),
    )


def _drawn(figure) -> np.ndarray:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110)
    return np.asarray(Image.open(file).convert("RGB"))


def samples_picture(
    study: ConfigDict, runs: Runs, folder: pathlib.Path, results: Results, dataset: str, shots: int
) -> np.ndarray | None:
    """Draws a row of unselected images per variant, the first of each class, of its first seed.

    Above them are the first real images that they are compared with; None if no variant is done.
    """
    rows: dict[str, np.ndarray] = {}
    seed = study.seeds[0]
    for row in results.rows:
        cell, group = row.cell, row.cell.group
        if (group.dataset, group.shots, cell.seed) != (dataset, shots, seed):
            continue
        place = result_folders(study, folder, cell)[row.checkpoint]
        check_strip(place)
        if (strip := grids.read_strip(place)) is not None:
            rows[label_of(study, cell.variant, row.checkpoint)] = strip
    if not rows:
        return None
    return grids.labeled_rows({"real": _real_strip(study, runs, dataset), **rows})


def _real_strip(study: ConfigDict, runs: Runs, dataset: str) -> np.ndarray:
    config = runs.base(next(iter(study.variants)), dataset)
    train, held_out = open_sources(config)
    # Folders without a split may have no held-out images, whatever the config says.
    real = real_sets(config, train, held_out)[0]
    chosen = grids.in_strip(real.labels)
    pictures = real.pictures(chosen)
    by_class = np.argsort(real.labels[chosen], kind="stable")
    return np.stack([pictures[i] for i in by_class]) / np.float32(255.0)


def pictures(
    study: ConfigDict, runs: Runs, folder: pathlib.Path, results: Results
) -> Mapping[str, np.ndarray]:
    """Returns all pictures of a study, by name; without plots if matplotlib is missing."""
    drawn = {}
    for dataset in study.datasets:
        if can_plot() and any(row.cell.group.dataset == dataset for row in results.rows):
            drawn[f"{dataset}_figures"] = figures_plot(study, results, dataset)
        for shots in study.shots:
            grid = samples_picture(study, runs, folder, results, dataset, shots)
            if grid is not None:
                drawn[f"{dataset}_{shots or 'all'}_samples"] = grid
    return drawn
