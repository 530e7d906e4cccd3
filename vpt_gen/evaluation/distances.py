"""Metrics that compare sets of images by their features, in float64 on the host.

Features are rows (n, d) of NumPy, figures are floats. All but the Frechet distance from moments
follow PyPI `torch-fidelity` 0.4.0, including the draw of subsets, so that figures are comparable.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
import scipy.special

from vpt_gen.errors import UserError
from vpt_gen.evaluation.pairwise import distance_blocks, is_as_near, is_nearer, neighbor_radii
from vpt_gen.machine.progress import track

SEED = 2020  # torch-fidelity's own
_BLOCK_ROWS = 1024
_PATIENCE = 3.0  # seconds before a progress bar


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """Returns the squared Frechet distance between Gaussians fitted to features (n, d), (m, d).

    |mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)), with unbiased covariances (arXiv
    1706.08500). It falls with growing n and m: compare only distances with the same counts. On
    features of the FID's Inception this is the FID.

    Raises:
      UserError: fewer than two rows, rows of two widths, or values that are not finite.
    """
    a, b = checked(a, b)
    mean_a, mean_b = (x.mean(axis=0, dtype=np.float64) for x in (a, b))
    return _frechet(mean_a, _root_of_rows(a), mean_b, _root_of_rows(b))


def frechet_from_moments(
    mean_a: np.ndarray, cov_a: np.ndarray, mean_b: np.ndarray, cov_b: np.ndarray
) -> float:
    """`frechet` from means (d,) and unbiased covariances (d, d), of any rank.

    Raises:
      UserError: values that are not finite.
      ValueError: shapes that do not fit together.
    """
    moments = [np.asarray(moment, np.float64) for moment in (mean_a, cov_a, mean_b, cov_b)]
    width = moments[0].size
    if [moment.shape for moment in moments] != [(width,), (width, width)] * 2:
        raise ValueError(f"Means (d,) and covariances (d, d): {[m.shape for m in moments]}")
    if not all(np.isfinite(moment).all() for moment in moments):
        raise UserError("Some moments are not finite; are the weights damaged?")
    mean_a, cov_a, mean_b, cov_b = moments
    return _frechet(mean_a, _root_of_covariance(cov_a), mean_b, _root_of_covariance(cov_b))


def _frechet(
    mean_a: np.ndarray, root_a: np.ndarray, mean_b: np.ndarray, root_b: np.ndarray
) -> float:
    """Returns the distance from means (d,) and roots (r, d), root.T @ root being the covariance.

    The eigenvalues of S_a S_b are the squared singular values of root_a @ root_b.T. Without the
    squares, values that should be 0 are 1e-16 instead of 1e-8, so that hundreds of them (fewer
    images than features) do not add up.
    """
    cross = np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum()
    difference = mean_a - mean_b
    return float(difference @ difference + (root_a**2).sum() + (root_b**2).sum() - 2 * cross)


def _root_of_rows(rows: np.ndarray) -> np.ndarray:
    """Rows (n, d) -> a root (r, d) of their covariance, r at most n and d."""
    if len(rows) > rows.shape[1]:
        return _root_of_covariance(np.cov(rows, rowvar=False).reshape(rows.shape[1], -1))
    return (rows - np.mean(rows, axis=0, dtype=np.float64)) / np.sqrt(len(rows) - 1)


def _root_of_covariance(covariance: np.ndarray) -> np.ndarray:
    """A covariance (d, d) -> a root (rank, d) of it: a Cholesky decomposition with pivoting.

    It ends when only rounding is left, whose root would not be negligible.
    """
    factor, pivots, rank, _ = scipy.linalg.lapack.dpstrf(covariance)
    root = np.empty((rank, len(covariance)))
    root[:, pivots - 1] = np.triu(factor[:rank])
    return root


class KID(NamedTuple):
    """Kernel Inception Distance: mean and population standard deviation over the subsets."""

    mean: float
    std: float


def kid(
    a: np.ndarray,
    b: np.ndarray,
    *,
    num_subsets: int = 100,
    subset_size: int = 1000,
    seed: int = SEED,
    degree: int = 3,
    gamma: float | None = None,
    coef0: float = 1.0,
) -> KID:
    """Returns the KID (arXiv 1801.01401): unbiased squared MMD of random subsets of features.

    It may be a little below 0. The subsets are torch-fidelity's for the same seed.

    Args:
      a: features.
      b: features; the order only affects the draw.
      num_subsets: number of pairs of subsets.
      subset_size: rows of each, drawn without replacement.
      seed: of the draw.
      degree: of the kernel (gamma x y + coef0)^degree, 1 or more.
      gamma: of the kernel; None is 1 / d.
      coef0: of the kernel.

    Raises:
      UserError: fewer rows than a subset has.
    """
    a, b = checked(a, b)
    fewest = min(len(a), len(b))
    if subset_size > fewest:
        raise UserError(
            f"KID compares subsets of {subset_size:,} images, but one set has only {fewest:,}: "
            f"choose a subset size of {fewest:,} or less, or use more images."
        )
    kernel = _polynomial(a.shape[1], degree, gamma, coef0)
    random = np.random.RandomState(seed)
    draws = [
        [random.choice(len(x), subset_size, replace=False) for x in (a, b)]
        for _ in range(num_subsets)
    ]
    if len(a) ** 2 + len(b) ** 2 + len(a) * len(b) < 3 * num_subsets * subset_size**2:
        # Every pair of images once, instead of once for each subset that contains it.
        marks = [np.zeros((len(x), num_subsets)) for x in (a, b)]
        for subset, draw in enumerate(draws):
            for mark, rows in zip(marks, draw, strict=True):
                mark[rows, subset] = 1.0
        values: Any = _mmd2(kernel, a, b, *marks)
    else:
        every = np.ones((subset_size, 1))
        values = [
            _mmd2(kernel, a[rows_a], b[rows_b], every, every)
            for rows_a, rows_b in track(draws, total=num_subsets, label="KID", delay=_PATIENCE)
        ]
    return KID(float(np.mean(values)), float(np.std(values)))


def mmd2(
    a: np.ndarray,
    b: np.ndarray,
    *,
    degree: int = 3,
    gamma: float | None = None,
    coef0: float = 1.0,
) -> float:
    """Returns the unbiased squared maximum mean discrepancy of features (n, d), (m, d), all rows.

    This is what `kid` estimates, without a draw; n and m may differ, and the order does not matter.
    See `kid` for the kernel.

    Raises:
      UserError: see `frechet`.
    """
    a, b = checked(a, b)
    every = (np.ones((len(x), 1)) for x in (a, b))
    return float(_mmd2(_polynomial(a.shape[1], degree, gamma, coef0), a, b, *every)[0])


Kernel = Callable[[np.ndarray], np.ndarray]


def _polynomial(width: int, degree: int, gamma: float | None, coef0: float) -> Kernel:
    """Inner products of rows -> values of the kernel."""
    gamma = 1.0 / width if gamma is None else gamma
    # Integer powers by products: many times faster than `**`.
    return lambda products: functools.reduce(np.multiply, [products * gamma + coef0] * degree)


def _mmd2(
    kernel: Kernel, a: np.ndarray, b: np.ndarray, marks_a: np.ndarray, marks_b: np.ndarray
) -> np.ndarray:
    """Unbiased squared discrepancies (S,) of S pairs of subsets.

    Args:
      kernel: see `_polynomial`.
      a: features (n, d).
      b: features (m, d).
      marks_a: (n, S), 1 for the rows of a subset and 0 for the others.
      marks_b: (m, S).
    """
    a, b = a.astype(np.float64), b.astype(np.float64)

    def sums(x, y, marks_x, marks_y):
        total = np.zeros(marks_x.shape[1])
        for start in range(0, len(x), _BLOCK_ROWS):
            rows = slice(start, start + _BLOCK_ROWS)
            total += np.einsum("ns,ns->s", marks_x[rows], kernel(x[rows] @ y.T) @ marks_y)
        return total

    def within(x, marks):
        count = marks.sum(axis=0)
        diagonal = kernel(np.einsum("nd,nd->n", x, x)) @ marks
        return (sums(x, x, marks, marks) - diagonal) / (count * (count - 1))

    between = sums(a, b, marks_a, marks_b) / (marks_a.sum(axis=0) * marks_b.sum(axis=0))
    return within(a, marks_a) + within(b, marks_b) - 2 * between


class InceptionScore(NamedTuple):
    """Mean and population standard deviation over the splits."""

    mean: float
    std: float


def inception_score(
    logits: np.ndarray, *, splits: int = 10, shuffle: bool = True, seed: int = SEED
) -> InceptionScore:
    """Exponential of the mean divergence of p(class | image) from p(class): arXiv 1606.03498.

    Args:
      logits: (n, classes), for the published score Inception's `logits_unbiased`.
      splits: number of parts; the score is computed for each.
      shuffle: before splitting, so that sorted images do not give parts of few classes.
      seed: of the shuffle.

    Raises:
      UserError: fewer rows than splits.
    """
    logits = np.asarray(logits)
    count = len(logits)
    if count < splits:
        raise UserError(
            f"An Inception Score over {splits} splits needs {splits} images or more, not {count}."
        )
    if shuffle:
        logits = logits[np.random.RandomState(seed).permutation(count)]
    scores = []
    for i in range(splits):
        part = logits[i * count // splits : (i + 1) * count // splits].astype(np.float64)
        log_p = scipy.special.log_softmax(part, axis=1)
        log_mean = scipy.special.logsumexp(log_p, axis=0) - np.log(len(part))
        divergence = (np.exp(log_p) * (log_p - log_mean)).sum(axis=1)
        scores.append(np.exp(divergence.mean()))
    return InceptionScore(float(np.mean(scores)), float(np.std(scores)))


class PrecisionRecall(NamedTuple):
    """Shares of generated images that are realistic, and of real images that are covered."""

    precision: float
    recall: float


def precision_recall(generated: np.ndarray, real: np.ndarray, *, k: int = 3) -> PrecisionRecall:
    """Computes improved precision and recall (arXiv 1904.06991) of features (n, d), (m, d).

    Precision is the share of generated rows inside a ball around a real row, recall the share of
    real rows inside a ball around a generated one. A ball reaches to the k-th nearest other row of
    its own set, its surface included, as in torch-fidelity; rounding does not decide ties.

    Raises:
      UserError: k rows or fewer.
    """
    generated, real = checked(generated, real, (k + 1, k + 1))
    real_radii, generated_radii = neighbor_radii(real, k), neighbor_radii(generated, k)
    inside, reached = 0, np.zeros(len(real), bool)
    for rows, distances in distance_blocks(generated, real):
        inside += is_as_near(distances, real_radii).any(axis=1).sum()
        reached |= is_as_near(distances, generated_radii[rows, None]).any(axis=0)
    return PrecisionRecall(float(inside / len(generated)), float(reached.mean()))


class DensityCoverage(NamedTuple):
    """Like precision but robust to outliers, and like recall but with balls around real rows."""

    density: float
    coverage: float


def density_coverage(generated: np.ndarray, real: np.ndarray, *, k: int = 5) -> DensityCoverage:
    """Computes density and coverage (arXiv 2002.09797) of features (n, d), (m, d).

    Density is how many of the real rows' balls a generated row lies in, over k, on average (1 for a
    set like the real one, may exceed it); coverage is the share of those balls that hold a
    generated row. A ball reaches to the k-th nearest other real row, without its surface, as in
    PyPI `prdc`; rounding does not decide ties.

    Raises:
      UserError: k real rows or fewer.
    """
    generated, real = checked(generated, real, (1, k + 1))
    radii = neighbor_radii(real, k)
    held, covered = 0, np.zeros(len(real), bool)
    for _, distances in distance_blocks(generated, real):
        inside = is_nearer(distances, radii)
        held += inside.sum()
        covered |= inside.any(axis=0)
    return DensityCoverage(float(held / (k * len(generated))), float(covered.mean()))


def checked(
    a: np.ndarray, b: np.ndarray, fewest: tuple[int, int] = (2, 2)
) -> tuple[np.ndarray, np.ndarray]:
    """Returns both as arrays; float32 is converted only during computation, to save memory.

    Raises:
      UserError: fewer rows than `fewest`, rows of two widths, or values that are not finite.
    """
    a, b = (np.asarray(x, None if _is_single(x) else np.float64) for x in (a, b))
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise UserError(f"Features are rows of one width, not {a.shape} and {b.shape}.")
    if len(a) < fewest[0] or len(b) < fewest[1]:
        raise UserError(
            f"Too few images to compare: there are {len(a)} and {len(b)}; at least {fewest[0]} and "
            f"{fewest[1]} are needed."
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise UserError("Some features are not finite; are the weights damaged?")
    return a, b


def _is_single(values: np.ndarray) -> bool:
    return getattr(values, "dtype", None) == np.float32
