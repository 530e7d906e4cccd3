"""Parts of images that are being repainted: hidden, seen by the tokenizer, and painted.

Edits of one image share its mask. What depends only on the mask is computed once for all of them,
because it takes longer than the rest in a large image.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from vpt_gen.images import masks, windows
from vpt_gen.images.windows import Window


@dataclasses.dataclass(frozen=True)
class Part:
    """A window of a canvas.

    Attributes:
      canvas: (H, W, 3) in [0, 1].
      unknown: (H, W), where nothing is painted yet; shared by the canvases of one mask.
      window: in the canvas.
    """

    canvas: np.ndarray
    unknown: np.ndarray
    window: Window

    @property
    def mask(self) -> np.ndarray:
        """(side, side), what to paint, a view."""
        return self.window.of(self.unknown)

    @property
    def pixels(self) -> np.ndarray:
        """(side, side, 3), a view."""
        return self.window.of(self.canvas)

    def seen(self, side: int) -> np.ndarray:
        """Returns what the tokenizer sees (side, side, 3)."""
        return windows.resized(self.pixels, side)


def hide(parts: Sequence[Part]) -> None:
    """Replaces the masked pixels, so that they show through nowhere."""
    for rows in _of_one_mask(parts):
        masks.hide([parts[row].pixels for row in rows], parts[rows[0]].mask)


def paste(parts: Sequence[Part], painted: np.ndarray, feathers: Sequence[float]) -> None:
    """Puts painted windows into their canvases, whose masks then lack them no more.

    Args:
      parts: (n,) of one step; those of one mask have one window.
      painted: (n, R, R, 3) in [0, 1].
      feathers: (n,) pixels over which each fades in.
    """
    for rows in _of_one_mask(parts):
        mask = parts[rows[0]].mask
        weight = masks.soft(mask, feathers[rows[0]])[..., None]
        for row in rows:
            pixels = parts[row].pixels
            pixels += weight * (windows.resized(painted[row], len(mask)) - pixels)
        mask[:] = False


def _of_one_mask(parts: Sequence[Part]) -> list[list[int]]:
    """Returns the numbers of the parts of each mask."""
    groups: dict[int, list[int]] = {}
    for row, part in enumerate(parts):
        groups.setdefault(id(part.unknown), []).append(row)
    return list(groups.values())
