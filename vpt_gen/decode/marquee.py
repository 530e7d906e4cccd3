"""Marquee header prompts: the prompt of iteration t interpolates a few learned header prompts.

prompts_t = W[t] @ bank, with a bank (M, S, D) of header prompts and a row-stochastic W (T, M).
The idea is from the paper (arXiv 2210.00990), whose full text was not at hand; the weights below
are our reading of it.
"""

import jax
import jax.numpy as jnp
import numpy as np


def constant(num_iterations: int, num_headers: int = 1, header: int = 0) -> np.ndarray:
    """Returns W (T, M) that stays on one header."""
    if not 0 <= header < num_headers:
        raise ValueError(f"header must lie in [0, {num_headers}), not {header}.")
    weights = np.zeros((num_iterations, num_headers), np.float32)
    weights[:, header] = 1.0
    return weights


def instance_to_class(num_iterations: int, cutoff: float) -> np.ndarray:
    """Returns W (T, 2) from header 0, an instance prompt, to header 1, the class prompt.

    The class prompt's weight in iteration t = 1..T is min((t - 1) / cutoff, 1) ** 2: a small
    `cutoff` (in iterations, > 0) leaves the instance early and increases diversity.
    """
    if cutoff <= 0:
        raise ValueError(f"cutoff must be a positive number of iterations, not {cutoff}.")
    on_class = np.minimum(np.arange(num_iterations) / cutoff, 1.0) ** 2
    return np.stack([1.0 - on_class, on_class], axis=1).astype(np.float32)


def scroll(num_iterations: int, num_headers: int) -> np.ndarray:
    """Returns W (T, M) that moves linearly from the first header to the last over T iterations.

    One iteration has the last header, which is the image's own class.
    """
    first = 0.0 if num_iterations > 1 else num_headers - 1.0
    position = np.linspace(first, num_headers - 1.0, num_iterations)
    distance = np.abs(position[:, None] - np.arange(num_headers)[None, :])
    return np.maximum(0.0, 1.0 - distance).astype(np.float32)


def check_shape(shape: tuple[int, ...], num_iterations: int, num_headers: int) -> None:
    """Raises ValueError for the shape of a user's own W unless it is (T, M)."""
    if shape != (num_iterations, num_headers):
        raise ValueError(
            f"The marquee matrix has shape {shape}; it must be (iterations, headers) = "
            f"({num_iterations}, {num_headers})."
        )


def check_weights(
    weights: np.ndarray, num_iterations: int, num_headers: int, signed: bool = False
) -> np.ndarray:
    """Returns a user's own W as float32 (T, M); raises ValueError if it is not valid.

    Args:
      weights: W.
      num_iterations: T.
      num_headers: M.
      signed: whether weights may be negative, which leads beyond the prompts.
    """
    weights = np.asarray(weights, np.float32)
    check_shape(weights.shape, num_iterations, num_headers)
    negative = (weights < 0).any() and not signed
    if negative or not np.allclose(weights.sum(axis=1), 1.0, atol=1e-5):
        kind = "" if signed else "be non-negative and "
        raise ValueError(f"Each row of the marquee matrix must {kind}sum to 1.")
    return weights


def interpolate(weights: jax.Array | np.ndarray, bank: jax.Array) -> jax.Array:
    """Combines W (T, M) and bank (B, M, ...) into every iteration's prompts (T, B, ...)."""
    return jnp.einsum("tm,bm...->tb...", weights, bank)
