"""FLD: the Feature Likelihood Divergence (arXiv 2302.04440), and its generalization gap.

Each generated image is the center of a Gaussian in feature space. Their widths are fitted to the
training images; the likelihood of held-out images under this mixture is low if the generator lacks
quality or diversity, and also if it copies: a Gaussian around a copy is fitted to be narrow.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from vpt_gen.errors import UserError
from vpt_gen.evaluation.distances import SEED, checked
from vpt_gen.evaluation.features import Features, FeatureSpace
from vpt_gen.evaluation.figures import Figure, Value
from vpt_gen.evaluation.metrics.metric import AgainstTraining
from vpt_gen.evaluation.pairwise import distance_blocks
from vpt_gen.machine.progress import track

# As published.
MAX_CENTERS = 10_000
_BATCH = 10_000  # training images of an update
_EPOCHS, _RATE = 50, 0.5
_DECAYS, _EPSILON = (0.9, 0.999), 1e-8  # of Adam
_LEAST, _MOST = -40.0, 20.0  # logarithms of variances
_ORIGIN = 0.9**2  # share of the squared distance from the training images' mean
_ROWS = 1024
_PATIENCE = 3.0  # seconds before a progress bar


class FeatureLikelihood(AgainstTraining):
    """Sees quality, diversity and copies by one figure; the gap sees copies alone."""

    figures = (
        Figure(
            "fld",
            "lower",
            "Feature Likelihood Divergence (FLD): how unlikely held-out images are if generated "
            "ones are taken for examples; rises with copies, too.",
            "FLD",
            copied=False,
        ),
        Figure(
            "fld_gap",
            "not below real",
            "Generalization gap of the FLD: below that of real images if training images are "
            "likelier than held-out ones, as by copies; above it, no value is better than another.",
            "FLD gap",
            copied=False,
        ),
    )
    on_request = True

    def compare(
        self, space: FeatureSpace, images: Features, train: Features, held_out: Features
    ) -> Sequence[Value]:
        main = space.main
        value, gap = fld(*(x.rows[main] for x in (images, train, held_out)))
        details = {
            "feature": f"{main}, by the mean and deviation of held-out images",
            "centers": min(len(images.rows[main]), MAX_CENTERS),
            "epochs": _EPOCHS,
            "seed": SEED,
        }
        return [Value(value, details=details), Value(gap, details=details)]


def fld(
    generated: np.ndarray, train: np.ndarray, held_out: np.ndarray, *, seed: int = SEED
) -> tuple[float, float]:
    """Returns FLD and generalization gap of features (n, d), (m, d), (h, d).

    Both are 100 times differences of negative log-likelihoods per dimension: of held-out images
    under the mixture around generated images from that around a half of the training images, fitted
    to the other half; and of training from held-out images under the first.

    Args:
      generated: features; of more than 10,000, as many at random.
      train: of the images trained on.
      held_out: of other real images.
      seed: of what is drawn: centers, order and halves of the training images.

    Raises:
      UserError: too few images.
    """
    checked(generated, train, (1, 4))
    checked(generated, held_out, (1, 2))
    random = np.random.default_rng(seed)
    if len(generated) > MAX_CENTERS:
        generated = generated[random.permutation(len(generated))[:MAX_CENTERS]]
    generated, train, held_out = _standardized(generated, train, held_out)
    train = train[random.permutation(len(train))]
    half = min(len(generated), len(train) // 2)
    variances = fit(generated, train)
    known, new = (nll(generated, variances, rows) for rows in (train, held_out))
    baseline = nll(train[:half], fit(train[:half], train[half:]), held_out)
    return 100.0 * (new - baseline), 100.0 * (known - new)


def _standardized(*sets: np.ndarray) -> list[np.ndarray]:
    """By mean and deviation of the last set; features that are constant there count in no set."""
    last = np.asarray(sets[-1], np.float64)
    mean, deviation = last.mean(axis=0), last.std(axis=0, ddof=1)
    varies = deviation > 0.0
    if not varies.any():
        raise UserError("FLD needs held-out images with different features; all are equal.")
    return [
        ((rows[:, varies] - mean[varies]) / deviation[varies]).astype(np.float32) for rows in sets
    ]


def fit(centers: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Returns logarithms (n,) of the variances with which Gaussians explain features best.

    By 50 passes of Adam from the best variance for the nearest row each, with one more Gaussian
    around the rows' mean, from which the rows are moved toward it by a tenth: rows that no center
    is near do not widen all others.

    Args:
      centers: (n, d).
      rows: (m, d) features.
    """
    width, mean = rows.shape[1], rows.mean(axis=0, dtype=np.float64)[None]
    squares = np.empty((len(rows), len(centers)), np.float32)
    for part, distances in distance_blocks(rows, centers):
        squares[part] = distances**2
    origin = np.concatenate([_ORIGIN * d[:, 0] ** 2 for _, d in distance_blocks(rows, mean)])
    logs = np.log((squares.min(axis=0).astype(np.float64) + 1e-3) / width)
    logs = np.append(logs, 0.0)  # The last one is the mean's.
    moments = np.zeros((2, len(logs)))
    parts = [slice(start, start + _BATCH) for start in range(0, len(rows), _BATCH)]
    updates = [part for _ in range(_EPOCHS) for part in parts]
    bar = track(updates, total=len(updates), label="FLD", delay=_PATIENCE)
    for step, part in enumerate(bar, 1):
        gradient = _gradient(squares[part], origin[part], logs, width)
        moments = _mixed(moments, np.stack([gradient, gradient**2]))
        first, second = (m / (1 - b**step) for m, b in zip(moments, _DECAYS, strict=True))
        logs -= _RATE * first / (np.sqrt(second) + _EPSILON)
        logs[:-1] = np.clip(logs[:-1], _LEAST, _MOST)
    return logs[:-1]


def _mixed(moments: np.ndarray, new: np.ndarray) -> np.ndarray:
    decay = np.array(_DECAYS)[:, None]
    return decay * moments + (1 - decay) * new


def _gradient(squares: np.ndarray, origin: np.ndarray, logs: np.ndarray, width: int) -> np.ndarray:
    """Gradient (n + 1,) of the mean negative log-likelihood per dimension.

    Args:
      squares: (m, n) squared distances of rows from centers.
      origin: (m,) from the mean of all rows.
      logs: (n + 1,) of the variances, the mean's last.
      width: of the features.
    """
    total = np.zeros(len(logs))
    for start in range(0, len(squares), _ROWS):
        part = slice(start, start + _ROWS)
        total += np.asarray(_summed(squares[part], origin[part], logs, width), np.float64)
    return total / (len(squares) * width)


@jax.jit
def _summed(squares: jax.Array, origin: jax.Array, logs: jax.Array, width: int) -> jax.Array:
    """The sum of the rows' gradients, times the width; in float32, as published."""
    scaled = 0.5 * jnp.column_stack([squares, origin]) * jnp.exp(-logs)
    # Each center counts once among n, and the mean as much as all of them.
    counts = jnp.full(len(logs), len(logs) - 1.0).at[-1].set(1.0)
    shares = jax.nn.softmax(-scaled - 0.5 * width * logs - jnp.log(counts), axis=1)
    return -(shares * (scaled - 0.5 * width)).sum(axis=0)


def nll(centers: np.ndarray, logs: np.ndarray, rows: np.ndarray) -> float:
    """Returns the mean negative log-likelihood, per dimension, of rows under a mixture.

    Args:
      centers: (n, d) of Gaussians.
      logs: (n,) logarithms of their variances.
      rows: (m, d) features.
    """
    width, total = rows.shape[1], 0.0
    for _, distances in distance_blocks(rows, centers):
        density = -0.5 * distances**2 * np.exp(-logs) - 0.5 * width * logs
        largest = density.max(axis=1)
        total += largest.sum() + np.log(np.exp(density - largest[:, None]).sum(axis=1)).sum()
    return -float(total / len(rows) - np.log(len(centers))) / width + 0.5 * np.log(2 * np.pi)
