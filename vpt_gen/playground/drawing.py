"""Draws what a page asks for, as `vpt_gen.sample` does."""

import dataclasses

import numpy as np

from vpt_gen.errors import UserError
from vpt_gen.images import grids
from vpt_gen.images.codec import to_uint8
from vpt_gen.playground.commands import sample_command
from vpt_gen.playground.settings import Settings
from vpt_gen.playground.shelf import Book, Shelf
from vpt_gen.runs.generation import Generation
from vpt_gen.runs.opened import TunedRun
from vpt_gen.runs.request import Marquee, requested
from vpt_gen.runs.samples import gather
from vpt_gen.runs.saved import file_names


@dataclasses.dataclass(frozen=True)
class Drawn:
    """What a page shows.

    Attributes:
      images: uint8 (H, W, 3), by the names of their files.
      order: the order in which their tokens were revealed, a uint8 picture, or None.
      command: repeats the images.
      given: other files that the command needs.
    """

    images: dict[str, np.ndarray]
    order: np.ndarray | None
    command: str
    given: dict[str, np.ndarray]


def draw(shelf: Shelf, checkpoint: str, step: int | None, settings: Settings) -> Drawn:
    """Draws images.

    Raises:
      UserError: settings out of their bounds, or that do not fit the run.
    """
    book, run = opened(shelf, checkpoint, step, settings)
    subjects = np.repeat(settings.subjects, settings.num).tolist()
    generation = generation_of(
        run, settings, *((subjects, []) if book.has_classes else ([], subjects))
    )
    samples = gather(generation.batches(), len(subjects))
    images, class_names = to_uint8(samples.images), list(run.facts["class_names"])
    order = None
    if run.sampler.has_tokens:
        order = grids.trace_grid(
            images / np.float32(255.0), samples.revealed_at, run.sampler.token_grid
        )
    command = sample_command(
        shelf.source(checkpoint, step),
        settings,
        class_names,
        book.has_classes,
        book.changed(settings.options),
    )
    names = file_names(generation.class_ids, class_names)
    return Drawn(dict(zip(names, images, strict=True)), order, command, {})


def opened(
    shelf: Shelf, checkpoint: str, step: int | None, settings: Settings
) -> tuple[Book, TunedRun]:
    """Returns a run, also with the decoding of some settings.

    Raises:
      UserError: settings out of their bounds, or that do not fit the run.
    """
    settings.check()
    book = shelf.take(checkpoint, step)
    count = len(book.subjects())
    starts = [] if settings.start is None else [settings.start]
    if any(number not in range(count) for number in (*settings.subjects, *starts)):
        raise UserError(f"{checkpoint} has {count} classes: reload the page.")
    return book, book.decoding(settings.options)


def generation_of(
    run: TunedRun, settings: Settings, classes: list[int], instances: list[int]
) -> Generation:
    """Returns the images of classes (n,), or of training images instead, to draw."""
    marquee = Marquee()
    if settings.start is not None:
        start = str(run.facts["class_names"][settings.start])
        marquee = Marquee("instance_to_class", (start,), settings.stages)
    return requested(run, classes, instances, marquee, settings.seed)
