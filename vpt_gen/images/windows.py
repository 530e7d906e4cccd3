"""Square windows that together cover what is to be repainted, and images cut out and put back."""

from typing import NamedTuple

import numpy as np
from PIL import Image

# A window with less of the image in it would be painted almost freely.
_LEAST_KNOWN = 1 / 3


class Window(NamedTuple):
    """A square of pixels: its first row and column, and its side."""

    top: int
    left: int
    side: int

    def of(self, image: np.ndarray) -> np.ndarray:
        """Returns the part of an image (H, W, ...), a view."""
        return image[self.top : self.top + self.side, self.left : self.left + self.side]


def plan(mask: np.ndarray, side: int) -> list[Window]:
    """Chooses windows, in the order of painting, so that each continues what is there.

    What fits into one window gets one, with the mask in its middle as far as the image allows.
    Otherwise windows overlap by a half; the next one is that with the most to paint of those of
    which a third is known, by the image or by windows before it.

    Args:
      mask: (H, W), True where to paint.
      side: of the windows, at most H and W.
    """
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return []
    if max(np.ptp(rows), np.ptp(columns)) < side:
        middles = ((x[0] + x[-1] + 1) // 2 for x in (rows, columns))
        top, left = (
            int(np.clip(middle - side // 2, 0, length - side))
            for middle, length in zip(middles, mask.shape, strict=True)
        )
        # A mask may reach farther to one side than half of the window.
        top = int(np.clip(top, rows[-1] + 1 - side, rows[0]))
        left = int(np.clip(left, columns[-1] + 1 - side, columns[0]))
        return [Window(top, left, side)]
    unknown, lattice, chosen = mask.copy(), _lattice(mask.shape, side), []
    corners = np.array([(window.top, window.left) for window in lattice])
    lacking = np.array([window.of(unknown).sum() for window in lattice])
    while lacking.any():
        best = _best(lacking, side * side)
        chosen.append(lattice[best])
        chosen[-1].of(unknown)[:] = False
        # Only windows that overlap it lack less now: a large image has hundreds of others.
        near = np.flatnonzero((abs(corners - corners[best]) < side).all(axis=1))
        lacking[near] = [lattice[i].of(unknown).sum() for i in near]
    return chosen


def _best(lacking: np.ndarray, pixels: int) -> int:
    """Returns the number of the next window, from the unknown pixels of each."""
    anchored = lacking <= (1 - _LEAST_KNOWN) * pixels
    if (lacking * anchored).any():
        return int(np.argmax(lacking * anchored))
    return int(np.argmin(np.where(lacking > 0, lacking, pixels + 1)))


def _lattice(shape: tuple[int, ...], side: int) -> list[Window]:
    starts = [
        sorted({*range(0, length - side, max(side // 2, 1)), length - side}) for length in shape
    ]
    return [Window(top, left, side) for top in starts[0] for left in starts[1]]


def resized(image: np.ndarray, side: int) -> np.ndarray:
    """Resizes a square image (s, s, 3) in [0, 1], antialiased -> (side, side, 3) in [0, 1]."""
    if len(image) == side:
        return image
    channels = [
        Image.fromarray(np.ascontiguousarray(image[..., channel], np.float32))
        for channel in range(image.shape[-1])
    ]
    size = (side, side)
    parts = [np.asarray(x.resize(size, Image.Resampling.BICUBIC)) for x in channels]
    return np.clip(np.stack(parts, axis=-1), 0, 1)
