"""Square windows that together cover what is to be repainted, and images cut out and put back."""

import bisect
import heapq
from collections.abc import Iterator
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
    return list(_chosen(mask.copy(), side))


def _chosen(unknown: np.ndarray, side: int) -> Iterator[Window]:
    """Yields windows of the lattice in the order of painting; clears `unknown` (H, W)."""
    rows, columns = (_starts(length, side) for length in unknown.shape)
    lacking = [[Window(y, x, side).of(unknown).sum() for x in columns] for y in rows]
    queue = _Queue(np.array(lacking), side * side)
    while (best := queue.pop()) is not None:
        window = Window(rows[best[0]], columns[best[1]], side)
        window.of(unknown)[:] = False
        yield window
        # Only windows that overlap it lack less now: a large image has thousands of others.
        for i in _near(rows, best[0], side):
            for j in _near(columns, best[1], side):
                queue.set(i, j, int(Window(rows[i], columns[j], side).of(unknown).sum()))


class _Queue:
    """The windows of a lattice, the next one first: finds it without a look at all others."""

    def __init__(self, lacking: np.ndarray, pixels: int):
        """Starts with the unknown pixels of each window (h, w), of so many."""
        self._lacking = lacking
        self._most = (1 - _LEAST_KNOWN) * pixels
        # Entries of a window that lacks less by now are skipped when they come up.
        self._anchored: list[tuple[int, int, int]] = []
        self._others: list[tuple[int, int, int]] = []
        for i, j in np.argwhere(lacking).tolist():
            self._push(i, j)

    def set(self, row: int, column: int, lacking: int) -> None:
        """Says that a window lacks less now."""
        if lacking != self._lacking[row, column]:
            self._lacking[row, column] = lacking
            self._push(row, column)

    def pop(self) -> tuple[int, int] | None:
        """Returns the row and column of the next window in the lattice, or None after the last.

        It is the anchored one that lacks most, or else the one that lacks least.
        """
        for queue, sign in ((self._anchored, -1), (self._others, 1)):
            while queue:
                key, row, column = heapq.heappop(queue)
                if sign * key == self._lacking[row, column]:
                    return row, column
        return None

    def _push(self, row: int, column: int) -> None:
        lacking = int(self._lacking[row, column])
        if 0 < lacking <= self._most:
            heapq.heappush(self._anchored, (-lacking, row, column))
        elif lacking:
            heapq.heappush(self._others, (lacking, row, column))


def _starts(length: int, side: int) -> list[int]:
    """Returns the first pixels of windows that overlap by a half and reach to the end."""
    return sorted({*range(0, length - side, max(side // 2, 1)), length - side})


def _near(starts: list[int], number: int, side: int) -> range:
    """Returns the numbers of the starts whose windows overlap that of one."""
    start = starts[number]
    return range(
        bisect.bisect_right(starts, start - side), bisect.bisect_left(starts, start + side)
    )


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
