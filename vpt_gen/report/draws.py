"""The images that a page shows or measures: all are known before any is drawn.

So several processes can draw them together, before the first one makes the page.
"""

import dataclasses

import numpy as np

from vpt_gen.report import conditions
from vpt_gen.report.likeness import num_source_classes
from vpt_gen.report.marquee import Schedule, make_schedules
from vpt_gen.runs import likeness
from vpt_gen.runs.generation import Generation, without_marquee
from vpt_gen.runs.opened import TunedRun

_FILMS = 4
_MARQUEE_PAIRS = 10


@dataclasses.dataclass(frozen=True)
class Draws:
    """What to draw for a page.

    Attributes:
      classes: (n,) that the page shows.
      grid: images of each of them.
      films: images whose order of decoding is shown.
      pairs: (m, 2, 2), prompts of a marquee; none if the run has no pair.
      schedules: of the marquees of the pairs; none without pairs.
      marquees: the same pairs under each schedule.
      alike: images in which prompts are compared with the source's classes; None if they are not.
    """

    classes: np.ndarray
    grid: Generation
    films: Generation
    pairs: np.ndarray
    schedules: list[Schedule]
    marquees: list[Generation]
    alike: Generation | None

    @property
    def all(self) -> list[Generation]:
        """Everything to draw."""
        return [self.grid, self.films, *self.marquees, *([self.alike] if self.alike else [])]


def draws_of(run: TunedRun, labels: np.ndarray, num: int, seed: int) -> Draws:
    """Returns what to draw for a page of a run.

    Args:
      run: the opened run.
      labels: (n,) of its training images.
      num: images per class, and per pair of prompts and marquee schedule.
      seed: of all images, and of the choice of classes.
    """
    classes = conditions.draw_classes(labels, seed)
    wanted = conditions.class_conditions(run, classes, num)[:, None]
    pairs, schedules = np.zeros((0, 2, 2), np.int32), []
    alike = None
    if run.has_prompts:
        pairs = conditions.prompt_pairs(run, classes[:_MARQUEE_PAIRS])
        schedules = make_schedules(run) if len(pairs) else []
        if run.token_sampler.method.num_classes and num_source_classes(run):
            alike = likeness.images_for(run, classes, seed)
    bank = pairs.repeat(num, axis=0)
    marquees = [
        Generation(run, bank, schedule.weights, {"name": schedule.name}, seed)
        for schedule in schedules
    ]
    grid, films = (without_marquee(run, x, seed) for x in (wanted, wanted[::num][:_FILMS]))
    return Draws(classes, grid, films, pairs, schedules, marquees, alike)
