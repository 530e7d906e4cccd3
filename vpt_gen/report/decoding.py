"""Section: the order in which an image's tokens are fixed, as a filmstrip."""

import numpy as np

from vpt_gen.images import grids
from vpt_gen.report.html import (
    Node,
    h,
    picture,
    section,
    strip,
)
from vpt_gen.runs.samples import Samples

_MAX_FRAMES = 12


def stage_ends(last: int, stages: int) -> list[int]:
    """Returns the last step of each of up to `_MAX_FRAMES` stages, evenly spaced.

    Args:
      last: number of the last step that fixes a token.
      stages: number of equal stages of the steps 0..last: iterations, or rows of tokens.
    """
    ends = [(stage + 1) * (last + 1) // stages - 1 for stage in range(stages)]
    kept = np.unique(np.linspace(0, stages - 1, min(stages, _MAX_FRAMES)).round().astype(int))
    return [ends[i] for i in kept]


def uncover(
    image: np.ndarray, revealed_at: np.ndarray, end: int, grid: tuple[int, int]
) -> np.ndarray:
    """Shows an image (H, W, 3) where its tokens (N,) were fixed by step `end`, else transparent."""
    known = (revealed_at <= end).reshape(1, *grid).astype(image.dtype)
    return np.dstack([image, grids.enlarged(known, *image.shape[:2])[0]])


def decoding_section(
    samples: Samples,
    class_names: list[str],
    iteration: str,
    stages: int,
    grid: tuple[int, int],
) -> Node:
    """Draws a filmstrip for each sample.

    Args:
      samples: a few.
      class_names: of all classes.
      iteration: what one does, see `decode.decoder.Decoder`; "" if tokens are decoded one by one.
      stages: decoding iterations, or rows of the image's tokens.
      grid: see `runs.samples.Sampler.token_grid`. Tokens that have no place in the image uncover
        none of it: only their order is shown.
    """
    num_tokens = samples.revealed_at.shape[1]
    last = stages - 1 if iteration else num_tokens - 1
    ends = stage_ends(last, stages)
    how = (
        f"Decoding takes {stages} iterations; each {iteration}."
        if iteration
        else f"Decoding takes {num_tokens} steps, one per token; a frame is one of {stages} rows."
    )
    has_places = grid[0] > 1
    shown = (
        "Frames show the finished image where its tokens are fixed; the number below is how many "
        "are fixed. The last frame is the order of all: dark blue first, yellow last."
        if has_places
        else "The tokens of this model have no places in the image; the bars are the tokens from "
        "first to last, dark blue if fixed first, yellow if last."
    )
    films = [
        _film(image, revealed, class_names[c], ends, "iteration" if iteration else "step", grid)
        for image, revealed, c in zip(
            samples.images, samples.revealed_at, samples.class_ids, strict=True
        )
    ]
    return section(
        "decoding",
        "How an image appears",
        h(
            "p",
            f"{how} {shown}",
        ),
        *films,
    )


def _film(image, revealed_at, name: str, ends: list[int], unit: str, grid) -> Node:
    frames = []
    if grid[0] == 1:
        frames.append(h("figure", picture(image, f"{name}: image")))
        ends = []
    for end in ends:
        known = int((revealed_at <= end).sum())
        what = f"{name} after {unit} {end + 1}: {known} of {len(revealed_at)} tokens"
        frames.append(
            h(
                "figure.film",
                picture(uncover(image, revealed_at, end, grid), what),
                h("figcaption", f"{known}"),
            )
        )
    height, width, _ = image.shape
    order = grids.order_colors(revealed_at[None], height, width, grid)[0]
    frames.append(h("figure", picture(order, f"{name}: order"), h("figcaption", "order")))
    return h("div.films", strip(f"class {name}", frames))
