"""Repaints parts of images with a run: some of their tokens are drawn anew, the others stay.

An image of any size is painted in square windows, each resized to the run's image size. A token is
drawn anew if its pixels are masked (`images/masks.py`). Pixels outside of the mask stay exactly as
they are; inside, the new ones fade in.
"""

import dataclasses
import functools
import math
from collections.abc import Iterable, Iterator, Sequence

import jax.numpy as jnp
import numpy as np

from vpt_gen.decode.halton import halton_order
from vpt_gen.errors import UserError
from vpt_gen.images import masks, windows
from vpt_gen.images.codec import to_uint8
from vpt_gen.machine.progress import say, track
from vpt_gen.nets.transformer import MASK_TOKEN_ID, TokenTransformer
from vpt_gen.runs.canvases import Part, hide, paste
from vpt_gen.runs.opened import TunedRun
from vpt_gen.runs.samples import Sampler, occurrences
from vpt_gen.runs.token_sampler import eighths_unknown

# With fewer iterations too many tokens are drawn at once, however small the mask is.
_FEWEST_ITERATIONS = 4


@dataclasses.dataclass(frozen=True)
class Edit:
    """One image to make.

    Attributes:
      image: uint8 (H, W, 3).
      mask: bool (H, W), True where to repaint.
      condition: (M, 2), of the bank, see `samples.class_bank`.
      number: of this edit among those of the same image and condition, which differ by it.
    """

    image: np.ndarray
    mask: np.ndarray
    condition: np.ndarray
    number: int


def edits_of(image: np.ndarray, mask: np.ndarray, bank: np.ndarray) -> list[Edit]:
    """Returns the edits of an image under each condition of a bank (n, M, 2)."""
    numbers = occurrences(bank[:, -1]).tolist()
    return [Edit(image, mask, *rest) for rest in zip(bank, numbers, strict=True)]


@dataclasses.dataclass(frozen=True)
class Brush:
    """How to repaint.

    Attributes:
      window: side of the windows, pixels; 0 is the shorter side of each image.
      rule: which tokens are masked, see `masks.of_tokens`.
      keep: share of the masked tokens that stay after all, spread evenly; the masked pixels then
        vary instead of being replaced.
      feather: pixels over which new ones fade in; None is half a token.
    """

    window: int = 0
    rule: str = "any"
    keep: float = 0.0
    feather: float | None = None


def repaint(
    run: TunedRun,
    edits: Sequence[Edit],
    brush: Brush,
    seed: int,
    weights: np.ndarray | None = None,
) -> list[np.ndarray]:
    """Repaints images; each depends on the seed and on its own edit only.

    Args:
      run: of prompts or another method of a transformer.
      edits: the images to make, which `check` has let pass.
      brush: how.
      seed: of all draws.
      weights: marquee matrix (T, M), or None for the last condition.

    Returns:
      uint8 (H, W, 3) of each edit.
    """
    canvases = [edit.image / np.float32(255.0) for edit in edits]
    chosen = {
        id(edit.mask): windows.plan(edit.mask, _side(edit.image, brush))
        for edit in _of_each_mask(edits)
    }
    plans = [chosen[id(edit.mask)] for edit in edits]
    left = {id(edit.mask): edit.mask.copy() for edit in _of_each_mask(edits)}
    unknown = [left[id(edit.mask)] for edit in edits]
    with track(total=sum(map(len, plans)), label="repainting") as bar:
        for step in range(max(map(len, plans), default=0)):
            active = [i for i, plan in enumerate(plans) if step < len(plan)]
            parts = [Part(canvases[i], unknown[i], plans[i][step]) for i in active]
            of_parts = [edits[i] for i in active]
            painted = _painted(run, parts, of_parts, brush, (seed, step), weights)
            paste(parts, painted, [_feather(run, part, brush) for part in parts])
            bar.update(len(parts))
    return [
        np.where(edit.mask[..., None], to_uint8(canvas), edit.image)
        for edit, canvas in zip(edits, canvases, strict=True)
    ]


def check(run: TunedRun, edits: Sequence[Edit], brush: Brush) -> None:
    """Raises UserError if the run, the window or a mask does not fit: before anything is painted.

    A run may have no tokens, or tokens that have no places, or draw them in an order that cannot
    complete a mask, or what is kept of it; a mask may be too thin for `brush.rule`. A note says if
    the windows are tiny.

    Args:
      run: to repaint with.
      edits: the images to make.
      brush: how.
    """
    if not run.sampler.has_tokens:
        raise UserError(f"{run.workdir} adapts a GAN, which has no tokens to draw anew.")
    net = run.token_sampler.transformer
    if net.one_dimensional:
        raise UserError(
            f"{run.workdir} adapts a {net.title}, each of whose tokens shapes the whole image: no "
            "part of it can be repainted. Use a run of a model whose tokens form a grid."
        )
    if net.family == "ar" and brush.keep:
        raise UserError(
            f"A {net.title} cannot look ahead, so it cannot keep tokens among those that it draws: "
            "set keep to 0, or use a run of a masked transformer, such as of configs/folder.py:nar."
        )
    for edit in _of_each_mask(edits):
        side = _side(edit.image, brush)
        of_windows = functools.partial(_masked_in_windows, run, edit.mask, side, brush)
        if brush.rule == "most" and not any(masked.any() for masked in of_windows()):
            raise UserError(
                "The mask covers less than half of every token, and the rule 'most' then draws "
                "none: mask more, or use the rule 'any'."
            )
        if net.family == "ar":
            _check_causal(net, of_windows())
        if side < min(_grid(run)) and share_masked(edit, brush) > 1:
            height, width = edit.mask.shape
            say(
                f"Note: an image of {width} x {height} pixels is painted in windows of {side} x "
                f"{side}, one pass each, though a window has {' x '.join(map(str, _grid(run)))} "
                "tokens. For fewer passes and better results enlarge the image, or the window."
            )


def _of_each_mask(edits: Sequence[Edit]) -> list[Edit]:
    """Returns one edit of each mask: the edits of an image share its mask."""
    return list({id(edit.mask): edit for edit in edits}.values())


def _masked_in_windows(
    run: TunedRun, mask: np.ndarray, side: int, brush: Brush
) -> Iterator[np.ndarray]:
    """Yields which tokens (N,) are masked in each window, in the order of painting."""
    unknown = mask.copy()
    for window in windows.plan(mask, side):
        part = window.of(unknown)
        yield _masked(run, part, brush)
        part[:] = False


def _check_causal(net: TokenTransformer, of_windows: Iterable[np.ndarray]) -> None:
    """Raises UserError if a causal transformer would draw tokens before known ones."""
    for masked in of_windows:
        in_order = np.asarray(net.to_sequence(jnp.asarray(masked[None])))[0]
        if (np.diff(in_order.astype(int)) < 0).any():
            raise UserError(
                f"A {net.title} draws an image from the top and cannot look ahead, so the mask "
                "must reach from a row to the bottom, over the whole width: mask that, or use a "
                "run of a masked transformer, such as of configs/folder.py:nar."
            )


def share_masked(edit: Edit, brush: Brush) -> float:
    """Returns the masked pixels of an edit in units of a window."""
    return float(edit.mask.sum()) / _side(edit.image, brush) ** 2


def _side(image: np.ndarray, brush: Brush) -> int:
    shortest = min(image.shape[:2])
    if brush.window > shortest:
        raise UserError(
            f"A window of {brush.window} pixels is larger than an image of {image.shape[1]} x "
            f"{image.shape[0]}: use at most {shortest}."
        )
    return brush.window or shortest


def _feather(run: TunedRun, part: Part, brush: Brush) -> float:
    if brush.feather is not None:
        return brush.feather
    return part.window.side / _grid(run)[0] / 2


def _painted(
    run: TunedRun,
    parts: Sequence[Part],
    edits: Sequence[Edit],
    brush: Brush,
    seed: tuple[int, int],
    weights: np.ndarray | None,
) -> np.ndarray:
    """Returns the painted windows (n, R, R, 3) of some parts."""
    sampler = run.token_sampler
    if not brush.keep:  # Kept tokens are those of the masked pixels.
        hide(parts)
    seen = [part.seen(run.config.data.image_size) for part in parts]
    pairs = zip(parts, edits, strict=True)
    drawn = np.stack([_drawn(run, part.mask, edit.number, brush, seed) for part, edit in pairs])
    known = np.where(drawn, MASK_TOKEN_ID, sampler.tokens_of(np.stack(seen)))
    bank = np.stack([edit.condition for edit in edits])
    numbers = np.array([edit.number for edit in edits])
    # Keys have one number as their seed.
    of_step = int(np.random.SeedSequence(seed).generate_state(1)[0] >> 1)
    painted = np.empty((len(parts), *seen[0].shape), np.float32)
    changes = weights is not None and len(weights) > 1  # Then iterations are its stages.
    eighths = eighths_unknown(drawn)
    size = min(sampler.images_at_a_time, len(parts))
    for level in np.unique(eighths):  # How an image is drawn depends on its own mask only.
        of_level = np.flatnonzero(eighths == level)
        # Padded to the size of a batch, so that a level is compiled once.
        rows = np.resize(of_level, max(len(of_level), size))
        drawer = run.sampler if changes else _hasty(run.sampler, level / 8)
        batches = drawer.stream(
            run.params, bank[rows], of_step, weights, known=known[rows], numbers=numbers[rows]
        )
        painted[rows] = np.concatenate([batch.images for batch in batches])
    return painted


def _drawn(
    run: TunedRun, mask: np.ndarray, number: int, brush: Brush, seed: tuple[int, int]
) -> np.ndarray:
    """Returns which tokens (N,) of a window are drawn.

    Args:
      run: whose tokens.
      mask: (side, side) of the window.
      number: of the edit.
      brush: how to repaint.
      seed: of all draws, and the number of the window.
    """
    masked = _masked(run, mask, brush)
    if not brush.keep:
        return masked
    return masked & ~_kept(_grid(run), brush.keep, (*seed, number))


def _masked(run: TunedRun, mask: np.ndarray, brush: Brush) -> np.ndarray:
    """Returns which tokens (N,) of a window are masked."""
    return masks.of_tokens(mask, _grid(run), brush.rule).ravel()


def _grid(run: TunedRun) -> tuple[int, int]:
    """Returns height and width of the grid of an image's tokens."""
    sampler = run.token_sampler
    return sampler.transformer.grid(sampler.num_tokens)


def _kept(grid: tuple[int, int], share: float, seed: Sequence[int]) -> np.ndarray:
    """Marks a share of the tokens (N,), spread evenly from a random start."""
    order = halton_order(*grid)
    start = np.random.default_rng(seed).integers(len(order))
    kept = np.zeros(len(order), bool)
    kept[np.roll(order, -start)[: round(share * len(order))]] = True
    return kept


def _hasty(sampler: Sampler, share: float) -> Sampler:
    """Returns a sampler with as many iterations as suit the share of tokens to draw."""
    full = sampler.options.get("num_iterations")
    if full is None:
        return sampler
    return sampler.with_options(num_iterations=iterations_for(full, share))


def iterations_for(full: int, share: float) -> int:
    """Returns the decoding iterations for a share of the tokens, of those for a whole image."""
    return min(full, max(math.ceil(full * share), _FEWEST_ITERATIONS))
