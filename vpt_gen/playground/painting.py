"""Repaints what a page asks for, as `vpt_gen.edit` does."""

import numpy as np

from vpt_gen.edit.given import masks_of
from vpt_gen.edit.written import names_of
from vpt_gen.errors import UserError
from vpt_gen.playground.commands import IMAGE, MASK, edit_command
from vpt_gen.playground.drawing import Drawn, generation_of, opened
from vpt_gen.playground.settings import MOST_PIXELS, Kept, Settings
from vpt_gen.playground.shelf import Shelf
from vpt_gen.ranges import check_number, range_of
from vpt_gen.runs.editing import Brush, check, edits_of, repaint


def paint(
    shelf: Shelf,
    checkpoint: str,
    step: int | None,
    settings: Settings,
    image: np.ndarray | None,
    mask: np.ndarray,
    keep: float,
) -> Drawn:
    """Repaints an image.

    Args:
      shelf: with the run.
      checkpoint: of the shelf.
      step: of the run.
      settings: of the results.
      image: uint8 (H, W, 3), or None if there is none yet.
      mask: bool (H, W), what was drawn; all is varied if it is empty and `keep` is above 0.
      keep: share of the masked tokens that stay.

    Raises:
      UserError: no image or mask, or one that is too large, and as `draw`.
    """
    check_number("Keep", keep, range_of(Kept))
    if image is None:
        raise UserError("Choose an image first.")
    _check_size(image)
    if not mask.any() and not keep:
        raise UserError("Draw on the image what is to be repainted, or raise Keep to vary it all.")
    book, run = opened(shelf, checkpoint, step, settings)
    if not book.has_classes:
        raise UserError(f"{checkpoint} has prompts of training images only, which edit nothing.")
    wanted = np.repeat(settings.subjects, settings.num)
    generation = generation_of(run, settings, wanted.tolist(), [])
    has_mask = bool(mask.any())
    [chosen] = [mask] if has_mask else masks_of([image], [], [], keep)
    edits = edits_of(image, chosen, generation.bank)
    brush = Brush(keep=keep)
    check(run, edits, brush)
    painted = repaint(run, edits, brush, settings.seed, generation.weights)
    class_names = list(run.facts["class_names"])
    command = edit_command(
        shelf.source(checkpoint, step),
        settings,
        class_names,
        keep,
        has_mask,
        book.changed(settings.options),
    )
    names = names_of([IMAGE], wanted, class_names)
    given = {IMAGE: image}
    if has_mask:
        given[MASK] = np.where(mask, np.uint8(255), np.uint8(0))
    return Drawn(dict(zip(names, painted, strict=True)), None, command, given)


def _check_size(image: np.ndarray) -> None:
    height, width = image.shape[:2]
    if height * width > MOST_PIXELS:
        raise UserError(
            f"The image has {width} x {height} pixels; the page repaints at most {MOST_PIXELS:,}: "
            "shrink it, or use python -m vpt_gen.edit."
        )
