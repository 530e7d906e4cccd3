"""Pictures of runs: samples with real images, with the nearest of these, and marquees."""

import numpy as np

from vpt_gen.errors import UserError
from vpt_gen.images import grids
from vpt_gen.report.conditions import prompt_pairs
from vpt_gen.report.marquee import make_schedules
from vpt_gen.report.real import RealImages
from vpt_gen.runs.generation import plain_generation
from vpt_gen.runs.opened import TunedRun
from vpt_gen.runs.samples import draw

_REAL = "real"


def check_label(label: str) -> None:
    """Raises UserError if a run's label is that of the rows of real images."""
    if label == _REAL:
        raise UserError(f"--run={label}=...: this is the label of the real images; give another.")


def first_samples(run: TunedRun, num: int, seed: int) -> np.ndarray:
    """Draws the first images (classes, num, H, W, 3) of each class, in [0, 1]."""
    num_classes = len(run.facts["class_names"])
    generation = plain_generation(run, np.arange(num_classes).repeat(num), seed)
    images = generation.samples().images
    return images.reshape(num_classes, num, *images.shape[1:])


def side_by_side(
    names: list[str], drawn: dict[str, np.ndarray], real: RealImages | None
) -> np.ndarray:
    """Makes the picture: for each class a row of real images, if given, and one per run.

    Args:
      names: of the classes.
      drawn: label of a run (see `check_label`) -> its `first_samples`.
      real: the images that a run was trained on.
    """
    rows = {}
    for number, name in enumerate(names):
        if real:
            num = next(iter(drawn.values())).shape[1]
            shown = np.flatnonzero(real.train.labels == number)[:num]
            rows[f"{name}, {_REAL}"] = real.pictures(real.train, shown)
        rows |= {f"{name}, {label}": images[number] for label, images in drawn.items()}
    return grids.labeled_rows(rows)


def nearest_picture(names: list[str], drawn: np.ndarray, real: RealImages) -> np.ndarray:
    """Makes the picture: for each class a row of samples, and a row of the training images nearest.

    Nearest by the features in which a report finds them.

    Args:
      names: of the classes.
      drawn: `first_samples` of a run.
      real: the images that it was trained on.
    """
    rows = {}
    for name, images in zip(names, drawn, strict=True):
        rows[f"{name}, generated"] = images
        found = real.nearest(real.rows(images))
        rows[f"{name}, nearest"] = real.pictures(real.train, found.indices)
    return grids.labeled_rows(rows)


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
        samples = draw(run.sampler, run.params, pairs, seed, schedule.weights)
        rows[schedule.name] = samples.images
    return grids.labeled_rows(rows)
