"""The orders of the tokens in the first images of a request, kept until they are a picture."""

import numpy as np
from etils import epath

from vpt_gen.images import grids
from vpt_gen.machine.array_files import DamagedError, open_npy
from vpt_gen.machine.files import written_whole

# Limit of the picture, so that it fits in memory.
TRACE_IMAGES = 400
_FILE = ".revealed_at.npy"


class RevealOrders:
    """When each token of the first images was revealed; in a hidden file, for a resumed request."""

    def __init__(self, folder: epath.Path):
        """Reads nothing yet.

        Args:
          folder: of the images.
        """
        self._path = folder / _FILE
        self._orders: np.ndarray | None = None

    def resume(self, done: np.ndarray) -> np.ndarray:
        """Reads the orders; returns which of the images `done` (n,) need not be drawn again.

        Images are traced from the first on, so those behind a gap are drawn again, and all if the
        orders of some are lost.
        """
        done = np.logical_and.accumulate(done)
        count = int(done.sum())
        try:
            orders = open_npy(self._path).read()
        except (OSError, DamagedError):
            return np.zeros_like(done)
        if len(orders) < min(count, TRACE_IMAGES):
            return np.zeros_like(done)
        self._orders = orders[:count] if count else None
        return done

    def add(self, more: np.ndarray) -> None:
        """Saves the orders (n, N) of the next images, as far as the picture shows them."""
        if self._orders is None:
            self._orders = more[:0]
        if len(self._orders) >= TRACE_IMAGES:
            return
        self._orders = np.concatenate([self._orders, more])[:TRACE_IMAGES]
        with written_whole(self._path) as partial, partial.open("wb") as file:
            np.save(file, self._orders)

    @property
    def count(self) -> int:
        """Number of traced images."""
        return 0 if self._orders is None else len(self._orders)

    def picture(self, images: np.ndarray, token_grid: tuple[int, int]) -> np.ndarray:
        """Returns the picture of the orders and of their images (n, H, W, 3)."""
        assert self._orders is not None  # Of the first batch, drawn now or before.
        return grids.trace_grid(images, self._orders, token_grid)

    def remove(self) -> None:
        """Removes the file."""
        self._path.unlink(missing_ok=True)
