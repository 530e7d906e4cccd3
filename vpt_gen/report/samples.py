"""Section: samples of each class, the training images nearest to them, and real ones."""

import dataclasses

import numpy as np

from vpt_gen.evaluation.image_sets import counted
from vpt_gen.evaluation.neighbors import Memorization, memorization_rate
from vpt_gen.nets.prompt_generator import NO_INSTANCE
from vpt_gen.report.html import (
    Node,
    h,
    picture,
    section,
    strip,
)
from vpt_gen.report.real import RealImages


@dataclasses.dataclass(frozen=True)
class SampleGrid:
    """Generated images and the real ones to compare with.

    Attributes:
      conditions: (n, 2) of the images: class, and training image or `NO_INSTANCE`.
      images: (n, H, W, 3) in [0, 1].
      distances: (n,) to the nearest training image.
      nearest: (n, R, R, 3) that training image.
      prompted_by: (n, R, R, 3) the training image whose prompt was used; None without one.
      held_out: class -> held-out real images (m, R, R, 3).
      held_out_name: what they are called.
      memorization: its rate and ratios; None if nothing is held out.
    """

    conditions: np.ndarray
    images: np.ndarray
    distances: np.ndarray
    nearest: np.ndarray
    prompted_by: np.ndarray | None
    held_out: dict[int, np.ndarray]
    held_out_name: str
    memorization: Memorization | None


def make_grid(
    real: RealImages, conditions: np.ndarray, images: np.ndarray, count: int, seed: int
) -> SampleGrid:
    """Finds the training images nearest to one image for each condition (n, 2).

    Args:
      real: the run and its images.
      conditions: see `conditions.class_conditions`.
      images: (n, H, W, 3) in [0, 1] of these conditions.
      count: held-out images per class.
      seed: of the draw of held-out images.
    """
    rows = real.rows(images)
    found = real.nearest(rows)
    by_instance = conditions[0, 1] != NO_INSTANCE
    memorization = None
    if real.held_out_rows is not None:
        near = real.extractor.space.near
        sets = (rows, real.train_rows, real.held_out_rows)
        memorization = memorization_rate(*(x[near] for x in sets))
    return SampleGrid(
        conditions,
        images,
        found.distances,
        real.pictures(real.train, found.indices),
        real.pictures(real.train, conditions[:, 1]) if by_instance else None,
        _held_out(real, np.unique(conditions[:, 0]), count, seed),
        real.held_out_name,
        memorization,
    )


def _held_out(real: RealImages, classes: np.ndarray, count: int, seed: int):
    """Draws up to `count` held-out images per class by seed, of classes that have any."""
    drawn: dict[int, np.ndarray] = {}
    if real.held_out is None:
        return drawn
    for c in classes.tolist():
        members = np.flatnonzero(real.held_out.labels == c)
        chosen = np.random.default_rng([seed, c]).permutation(members)[:count]
        if len(chosen):
            drawn[c] = real.pictures(real.held_out, chosen)
    return drawn


def samples_section(grid: SampleGrid, class_names: list[str], seed: int, searched: str) -> Node:
    """Makes one block per class.

    Args:
      grid: images to show.
      class_names: of all classes.
      seed: of the images.
      searched: which training images were searched for neighbors, in words.
    """
    classes = list(dict.fromkeys(grid.conditions[:, 0].tolist()))
    return section(
        "samples",
        "Samples",
        h(
            "p",
            f"Unselected: the first images of seed {seed}. Under each is the nearest training "
            f"image. {searched}",
        ),
        h("p", f"Shown: {len(classes)} of {len(class_names)} classes, drawn by the seed.")
        if len(classes) < len(class_names)
        else None,
        _memorization(grid.memorization),
        *(_class_block(grid, c, class_names[c]) for c in classes),
    )


def _memorization(found: Memorization | None) -> Node:
    if found is None:
        return h(
            "p",
            "The number is the distance between the two; a copy would be at 0. A threshold for "
            "copies needs held-out images, which this run does not have (config.data.holdout).",
        )
    return h(
        "p",
        "The number is its distance relative to that of the next four training images. A copy "
        "would be at 0, a new image is somewhat below 1. Of these "
        f"{len(found.flagged):,} samples {found.flagged.sum():,} ({found.rate:.0%}) are below "
        f"{found.threshold:.2f} and framed. {_expected(found)}",
    )


def _expected(found: Memorization) -> str:
    """Says how many new real images would be framed, if that is known, and what does not count."""
    said = "How many new real images would be is not known, as some of them are equally close."
    if found.nominal is not None:
        said = f"Of new real images {found.nominal:.0%} would be; far more is memorization."
    if found.copies:
        left_out = counted(found.copies, "held-out images")
        said += f" The threshold leaves out exact copies of training images: {left_out}."
    return said


def _class_block(grid: SampleGrid, class_id: int, name: str) -> Node:
    rows = np.flatnonzero(grid.conditions[:, 0] == class_id)
    found = grid.memorization
    nearness = grid.distances if found is None else found.ratios
    flagged = set() if found is None else set(np.flatnonzero(found.flagged))
    beside = [
        h(
            "figure.near" if i in flagged else "figure",
            picture(grid.nearest[i], f"training image nearest to sample {j} of {name}"),
            h("figcaption", f"{nearness[i]:.2f}"),
        )
        for j, i in enumerate(rows)
    ]
    made = [picture(grid.images[i], f"sample {j} of {name}") for j, i in enumerate(rows)]
    strips = [strip("generated", made), strip("nearest training image", beside)]
    if grid.prompted_by is not None:
        given = [
            picture(grid.prompted_by[i], f"training image {grid.conditions[i, 1]}") for i in rows
        ]
        strips.insert(0, strip("prompt of", given))
    if class_id in grid.held_out:
        alt = f"{grid.held_out_name.removesuffix('s')} of {name}"
        real = [picture(x, alt) for x in grid.held_out[class_id]]
        strips.append(strip(grid.held_out_name, real, columns=len(made)))
    return h("div.block", h("h3", h("span.quiet", "class"), f" {name}"), *strips)


def hero(grid: SampleGrid, class_names: list[str]) -> Node:
    """Shows the first sample of each class."""
    _, first = np.unique(grid.conditions[:, 0], return_index=True)
    cells = []
    for i in first:
        name = class_names[grid.conditions[i, 0]]
        cells.append(
            h("figure", picture(grid.images[i], f"generated: {name}"), h("figcaption", name))
        )
    return h("div.tiles.hero", *cells)
