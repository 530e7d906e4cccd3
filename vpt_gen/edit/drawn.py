"""The edits of a command as images to draw: in batches, and one batch after the other."""

import functools
from collections.abc import Iterator, Sequence

import numpy as np

from vpt_gen.data.source import digest_of
from vpt_gen.runs.editing import Brush, Edit, repaint, share_masked
from vpt_gen.runs.generation import Generation
from vpt_gen.runs.together import Drawing

# Of the images of a batch, which are in memory together, in floats: 64 of 2^20, 4 of the largest.
_PIXELS = 2**26


def drawing_of(
    generation: Generation, edits: Sequence[Edit], names: Sequence[str], brush: Brush
) -> Drawing:
    """Returns the edits (n,) as files `names` (n,).

    Neighbors are painted in one batch, so those with masks of one size are put together.

    Args:
      generation: the run and how it draws.
      edits: the images to make.
      names: of their files.
      brush: how to repaint.
    """
    order = np.argsort([share_masked(edit, brush) for edit in edits], kind="stable").tolist()
    edits, names = [edits[i] for i in order], [names[i] for i in order]
    fitting = max(_PIXELS // max(edit.mask.size for edit in edits), 1)
    size = min(generation.run.sampler.images_at_a_time, len(edits), fitting)
    # Edits of one image share its pixels.
    given = {id(part): part for edit in edits for part in (edit.image, edit.mask)}
    pixels = {key: digest_of(part) for key, part in given.items()}
    shown = (pixels[id(part)] for edit in edits for part in (edit.image, edit.mask))
    return Drawing(
        names,
        np.array([edit.condition[-1, 0] for edit in edits]),
        size,
        functools.partial(_painted, generation, edits, brush, size),
        digest_of(generation.digest(), *names, str(brush), *shown),
    )


def _painted(
    generation: Generation, edits: Sequence[Edit], brush: Brush, size: int, wanted: np.ndarray
) -> Iterator[list[np.ndarray]]:
    """Yields the images of the edits `wanted` (n,), in batches of `size`."""
    for start in range(0, len(edits), size):
        new = np.flatnonzero(wanted[start : start + size]).tolist()
        if new:
            # The last batch is padded, so that one compilation is enough.
            batch = [edits[min(i, len(edits) - 1)] for i in range(start, start + size)]
            made = repaint(generation.run, batch, brush, generation.seed, generation.weights)
            yield [made[i] for i in new]
