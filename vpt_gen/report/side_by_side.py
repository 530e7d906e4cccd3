"""Pictures of runs: samples with real images, with the nearest of these, and marquees."""

import numpy as np

from vpt_gen.errors import UserError
from vpt_gen.images import grids
from vpt_gen.report.conditions import prompt_pairs
from vpt_gen.report.marquee import make_schedules
from vpt_gen.report.real import open_real
from vpt_gen.runs.generation import plain_generation
from vpt_gen.runs.opened import TunedRun


def side_by_side(
    runs: dict[str, TunedRun], num: int, seed: int, with_real: bool = True
) -> np.ndarray:
    """Makes the picture: for each class a row of real images, if requested, and one per run."""
    first = next(iter(runs.values()))
    names = first.facts["class_names"]
    drawn = {label: _drawn(run, num, seed) for label, run in runs.items()}
    real, rows = open_real(first) if with_real else None, {}
    for number, name in enumerate(names):
        if real:
            shown = np.flatnonzero(real.train.labels == number)[:num]
            rows[f"{name}, real"] = real.pictures(real.train, shown)
        rows |= {f"{name}, {label}": images[number] for label, images in drawn.items()}
    return grids.labeled_rows(rows)


def nearest_picture(run: TunedRun, num: int, seed: int) -> np.ndarray:
    """Makes the picture: for each class a row of samples, and a row of the training images nearest.

    Nearest by the features in which a report finds them.
    """
    real, rows = open_real(run), {}
    for name, images in zip(run.facts["class_names"], _drawn(run, num, seed), strict=True):
        rows[f"{name}, generated"] = images
        found = real.nearest(real.rows(images))
        rows[f"{name}, nearest"] = real.pictures(real.train, found.indices)
    return grids.labeled_rows(rows)


def _drawn(run: TunedRun, num: int, seed: int) -> np.ndarray:
    """Draws the first images (classes, num, H, W, 3) of each class."""
    num_classes = len(run.facts["class_names"])
    generation = plain_generation(run, np.arange(num_classes).repeat(num), seed)
    images = generation.samples().images
    return images.reshape(num_classes, num, *images.shape[1:])


def marquee_picture(run: TunedRun, seed: int) -> np.ndarray:
    """Draws the same keys with later and later changes of the prompt, one column per class.

    Raises:
      UserError: a run without prompts, or with one condition only.
    """
    classes = np.arange(len(run.facts["class_names"]))
    if not run.has_prompts or not len(pairs := prompt_pairs(run, classes)):
        raise UserError(f"{run.workdir} has only one prompt: leave --marquee out.")
    rows = {}
    for schedule in make_schedules(run):
        rows[schedule.name] = run.sampler.sample(run.params, pairs, seed, schedule.weights).images
    return grids.labeled_rows(rows)
