"""CMMD (arXiv 2401.09603): a kernel distance in CLIP's features; the same in others."""

from collections.abc import Sequence

import numpy as np

from vpt_gen.evaluation.distances import checked
from vpt_gen.evaluation.features import Features, FeatureSpace
from vpt_gen.evaluation.figures import Figure, Value
from vpt_gen.evaluation.metrics.metric import Distance
from vpt_gen.machine.progress import track

SIGMA, SCALE = 10.0, 1000.0
_ROWS, _COLUMNS = 1024, 8192  # of a block of the kernel: 64 MB
_PATIENCE = 3.0  # seconds before a progress bar


class _GaussianKernel(Distance):
    def compare(self, space: FeatureSpace, images: Features, real: Features) -> Sequence[Value]:
        details = {"feature": f"{space.main}, of unit length", "sigma": SIGMA, "scale": SCALE}
        return [Value(cmmd(images.rows[space.main], real.rows[space.main]), details=details)]


class Cmmd(_GaussianKernel):
    """In the features that it is published for."""

    figures = (
        Figure(
            "cmmd",
            "lower",
            "Kernel distance of generated from real images in CLIP's features (CMMD): assumes no "
            "shape of their distribution.",
            "CMMD",
        ),
    )

    def fits(self, space: str) -> bool:
        return space == "clip"


class KernelDistance(_GaussianKernel):
    """The same distance in other features, which is not a CMMD."""

    figures = (
        Figure(
            "gaussian_mmd",
            "lower",
            "CMMD's kernel distance in other features than CLIP's; not a CMMD, and only comparable "
            "in the same feature space.",
            "Gaussian MMD",
        ),
    )
    on_request = True

    def fits(self, space: str) -> bool:
        return space != "clip"


def cmmd(a: np.ndarray, b: np.ndarray) -> float:
    """Returns 1,000 times the squared MMD of features (n, d), (m, d) of unit length.

    The kernel is exp(-|x - y|^2 / (2 sigma^2)) with sigma = 10; the estimate is the biased one, of
    least variance, as published. Rows are scaled to unit length.

    Raises:
      UserError: fewer than two rows, rows of two widths, or values that are not finite.
    """
    a, b = checked(a, b)
    return SCALE * (_mean(a, a) + _mean(b, b) - 2.0 * _mean(a, b))


def _mean(a: np.ndarray, b: np.ndarray) -> float:
    """Returns the kernel's mean, less 1, over all pairs of rows (n, d), (m, d).

    The values are close to 1, and small differences of them count.
    """
    total = 0.0
    starts = range(0, len(a), _ROWS)
    for row in track(starts, total=len(starts), label="kernel distance", delay=_PATIENCE):
        x = unit_length(a[row : row + _ROWS])
        for column in range(0, len(b), _COLUMNS):
            y = unit_length(b[column : column + _COLUMNS])
            squares = np.maximum(2.0 - 2.0 * (x @ y.T), 0.0)
            total += np.expm1(squares / (-2.0 * SIGMA**2)).sum()
    return float(total / (len(a) * len(b)))


def unit_length(rows: np.ndarray) -> np.ndarray:
    """Scales rows (n, d) to length 1, in float64; rows of zeros stay."""
    rows = rows.astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0.0, lengths, 1.0)
