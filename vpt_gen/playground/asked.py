"""What the values of the page's controls ask for."""

from typing import Any

from vpt_gen.playground.settings import OPTIONS, Images, Settings, Stages
from vpt_gen.playground.shelf import Shelf
from vpt_gen.ranges import Seed, range_of

# The start of a marquee if there is none.
NO_CLASS = -1


def read(shelf: Shelf, values: tuple[Any, ...]) -> tuple[str, int | None, Settings]:
    """Returns the run, its step and the settings that controls ask for; they are not checked yet.

    Args:
      shelf: with the run.
      values: of `controls.Controls.all`.

    Raises:
      UserError: an unknown run.
    """
    checkpoint, step, subjects, num, seed, decoder, *options, start, stages = values
    own = shelf.take(checkpoint, step).options(decoder)
    chosen = {
        name: number_of(value, kind)
        for (name, (_, kind, _)), value in zip(OPTIONS.items(), options, strict=True)
        if name in own
    }
    settings = Settings(
        tuple(subjects),
        number_of(num, Images),
        number_of(seed, Seed),
        tuple({"decoder": decoder, **chosen}.items()) if decoder else (),
        None if start in (None, NO_CLASS) else start,
        number_of(stages, Stages),
    )
    return checkpoint, step, settings


def number_of(value: Any, kind: Any) -> Any:
    """Returns a control's number as its kind wants it: browsers send 3.0 for 3, and 1 for 1.0."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return value
    if not range_of(kind).whole:
        return float(value)
    return int(value) if float(value).is_integer() else value
