"""Accumulators over a stream of features, with bounded memory."""

import numpy as np

from vpt_gen.errors import UserError


class Moments:
    """Running mean and covariance in float64: (d + d * d) * 8 bytes, 34 MB for d = 2048.

    Batches are merged by the pairwise formulas of Chan, Golub and LeVeque (1983), which stay
    accurate if the mean is large compared to the spread.
    """

    def __init__(self, dim: int):
        self.count = 0
        self._mean = np.zeros(dim)
        self._scatter = np.zeros((dim, dim))  # Sum of outer products of deviations.

    def update(self, rows: np.ndarray) -> None:
        """Adds features (n, d)."""
        if len(rows):
            rows = np.asarray(rows, np.float64)
            mean = rows.mean(axis=0)
            self._add(len(rows), mean, (rows - mean).T @ (rows - mean))

    def merge(self, other: "Moments") -> None:
        """Adds the contents of another accumulator."""
        if other.count:
            self._add(other.count, other._mean, other._scatter)

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns mean (d,) and unbiased covariance (d, d) so far.

        Raises:
          UserError: fewer than two rows.
        """
        if self.count < 2:
            raise UserError(f"A covariance needs two images or more, but there is {self.count}.")
        return self._mean.copy(), self._scatter / (self.count - 1)

    def _add(self, count: int, mean: np.ndarray, scatter: np.ndarray) -> None:
        total = self.count + count
        step = mean - self._mean
        self._scatter += scatter
        self._scatter += np.outer(step, step * (self.count * count / total))
        self._mean += step * (count / total)
        self.count = total


class Reservoir:
    """All rows of a stream up to a cap; beyond it, a uniform random subset of that many.

    Vitter's algorithm R (1985): the subset depends on the seed and the number of rows, not on how
    they were split into batches.
    """

    def __init__(self, dims: dict[str, int], cap: int, seed: int = 0):
        """Allocates memory.

        Args:
          dims: name -> width of the features; all features of an image are kept, or none.
          cap: maximal number of rows, float32; memory pages are used only as rows arrive.
          seed: of the choice.
        """
        self.count = 0
        self._rows = {name: np.empty((cap, dim), np.float32) for name, dim in dims.items()}
        self._indices = np.empty(cap, np.int64)
        self._random = np.random.default_rng(seed)

    def update(self, rows: dict[str, np.ndarray]) -> None:
        """Adds features {name: (n, d)}, equally many of each."""
        if not rows:
            return
        numbers = self.count + np.arange(len(next(iter(rows.values()))))
        cap = len(self._indices)
        # Row number i, from 0, draws a slot in [0, i]; a slot beyond the cap drops it.
        places = np.where(numbers < cap, numbers, cap)
        late = numbers[numbers >= cap]
        places[numbers >= cap] = self._random.integers(0, late + 1)
        kept = np.flatnonzero(places < cap)
        # Of two rows in one slot the later stays, as if they had come one by one.
        self._indices[places[kept]] = numbers[kept]
        for name, values in rows.items():
            self._rows[name][places[kept]] = values[kept]
        self.count += len(numbers)

    def finish(self) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Returns the kept features {name: (m, d)} and their ascending indices (m,)."""
        filled = min(self.count, len(self._indices))
        if self.count <= len(self._indices):
            return {n: rows[:filled] for n, rows in self._rows.items()}, self._indices[:filled]
        order = np.argsort(self._indices)
        return {name: rows[order] for name, rows in self._rows.items()}, self._indices[order]
