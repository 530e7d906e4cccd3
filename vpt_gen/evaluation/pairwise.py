"""Distances between all pairs of two sets of features, in blocks that fit in memory.

Rounding must not decide a tie: compare distances by `is_nearer` and `is_as_near`.
"""

from collections.abc import Iterator

import numpy as np

from vpt_gen.machine.progress import track

_BLOCK_BYTES = 2**27
_PATIENCE = 3.0  # seconds before a progress bar
# Rows count as equal if their squared distance is below this share of their squared lengths: far
# above the rounding of the formula below, and below the resolution of float32 features.
_EQUAL = 1e-13
# Distances are tied if they differ by less than this share: far above their rounding, and below the
# difference of two distances between rows of integers, or of float32 features.
_TIE = 1e-10


def distance_blocks(a: np.ndarray, b: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Yields Euclidean distances of rows a (n, d) to rows b (m, d), some rows of `a` at a time.

    |x - y|^2 is computed as |x|^2 + |y|^2 - 2 x y in float64, which is one matrix product. Equal
    rows have distance exactly 0.

    Yields:
      (rows of `a`, their distances (rows, m) in float64); the caller may change the array.
    """
    # A common offset of all rows would cost precision.
    center = np.mean(b, axis=0, dtype=np.float64)
    b = b - center
    b_squares = np.einsum("md,md->m", b, b)
    size = max(1, _BLOCK_BYTES // (8 * max(b.shape)))
    with track(total=len(a), label="pairs of images", delay=_PATIENCE) as bar:
        for start in range(0, len(a), size):
            rows = slice(start, min(start + size, len(a)))
            x = a[rows] - center
            lengths = np.einsum("nd,nd->n", x, x)[:, None] + b_squares
            squares = x @ b.T
            squares *= -2.0
            squares += lengths
            lengths *= _EQUAL
            squares[squares < lengths] = 0.0
            yield rows, np.sqrt(squares, out=squares)
            bar.update(len(x))


def is_nearer(distances: np.ndarray, limits: np.ndarray | float) -> np.ndarray:
    """Whether distances, or their ratios, are below limits; False for ties."""
    return distances < limits * np.float64(1.0 - _TIE)


def is_as_near(distances: np.ndarray, limits: np.ndarray | float) -> np.ndarray:
    """Whether distances, or their ratios, are at most limits; True for ties."""
    return distances <= limits * np.float64(1.0 + _TIE)


def neighbor_radii(features: np.ndarray, k: int) -> np.ndarray:
    """Returns distances (n,) of rows (n, d) to their k-th nearest other row; equal rows count."""
    radii = np.empty(len(features))
    for rows, distances in distance_blocks(features, features):
        # The row itself has distance 0, so it comes first.
        radii[rows] = np.partition(distances, k, axis=1)[:, k]
    return radii
