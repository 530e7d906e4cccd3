"""Decoding in the Halton order: positions spread evenly over the image, not the confident ones.

Source: Besnier et al., arXiv 2503.17076, sec. 4, and valeoai/Halton-MaskGIT. Tokens revealed
together are far apart, so that each says little about the others; no retraining is needed. As in
the paper a revealed token stays; that code draws all of them anew in every iteration.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from vpt_gen.decode.schedules import mask_rate
from vpt_gen.nets.maskgit import MASK_TOKEN_ID


def halton_order(height: int, width: int) -> np.ndarray:
    """Row-major positions (height * width,) in the order of a Halton sequence over the grid.

    Rows follow the radical inverse of 1, 2, 3, ... in base 2, columns in base 3; a cell that is met
    again is passed over.
    """
    count = 4 * height * width
    while True:
        numbers = np.arange(1, count)
        cells = _cells(numbers, 2, height) * width + _cells(numbers, 3, width)
        found, first = np.unique(cells, return_index=True)
        if len(found) == height * width:
            return found[np.argsort(first)]
        count *= 2


def _cells(numbers: np.ndarray, base: int, size: int) -> np.ndarray:
    """floor(size * radical inverse) in whole numbers, where rounding cannot move a point."""
    reversed_digits, power = np.zeros_like(numbers), 1
    while numbers.any():
        reversed_digits = reversed_digits * base + numbers % base
        numbers = numbers // base
        power *= base
    return reversed_digits * size // power


def reveal_counts(num_tokens: int, num_iterations: int, schedule: str) -> np.ndarray:
    """How many of `num_tokens` are known after each iteration: (T,), rising to all of them.

    Every iteration reveals one at least, as long as there are any.
    """
    with jax.ensure_compile_time_eval():
        progress = (jnp.arange(num_iterations) + 1) / num_iterations
        rates = np.asarray(mask_rate(progress, num_tokens, schedule), np.float64)
    counts = np.maximum(np.floor(num_tokens * (1.0 - rates)), np.arange(num_iterations) + 1)
    counts[-1] = num_tokens
    return np.minimum(counts, num_tokens).astype(np.int32)


def ranks(key: jax.Array, num_images: int, height: int, width: int) -> jax.Array:
    """The turn (B, N) of every position; each image enters the Halton order at a point of its own.

    Without that, the same corner of every image would be drawn first.
    """
    order = halton_order(height, width)
    offsets = jax.random.randint(key, (num_images, 1), 0, len(order))
    return (np.argsort(order) - offsets) % len(order)


def decode(
    key: jax.Array,
    tokens: jax.Array,
    logits_fn: Callable[[jax.Array, jax.Array | None], jax.Array],
    prompts: jax.Array | None = None,
    *,
    width: int,
    num_iterations: int = 12,
    schedule: str = "arccos",
) -> tuple[jax.Array, jax.Array]:
    """Decodes all unknown tokens in one `jax.lax.scan`; given tokens never change.

    Args:
      key: PRNG key.
      tokens: (B, N) int32, row-major, `MASK_TOKEN_ID` where unknown.
      logits_fn: (tokens (B, N), prompts (B, S, D) or None) -> logits (B, N, K).
      prompts: (T, B, S, D), the prompt of every iteration (see `decode/marquee.py`), or None.
      width: of the token grid; N is a multiple of it.
      num_iterations: T.
      schedule: mask schedule; the paper's is 'arccos'.

    Returns:
      Tokens (B, N), and for each the iteration that fixed it (B, N), -1 where it was given.
    """
    b, n = tokens.shape
    order_key, sample_key = jax.random.split(key)
    turns = ranks(order_key, b, n // width, width)
    counts = jnp.asarray(reveal_counts(n, num_iterations, schedule))
    # Given tokens keep their turn: an iteration then has less to do.
    reveal_at = jnp.searchsorted(counts, turns, side="right").astype(jnp.int32)
    revealed_at = jnp.where(tokens == MASK_TOKEN_ID, reveal_at, -1)

    def body(tokens, xs):
        iteration, key, prompts_t = xs
        sampled = jax.random.categorical(key, logits_fn(tokens, prompts_t))
        return jnp.where(revealed_at == iteration, sampled.astype(tokens.dtype), tokens), None

    keys = jax.random.split(sample_key, num_iterations)
    tokens, _ = jax.lax.scan(body, tokens, (jnp.arange(num_iterations), keys, prompts))
    return tokens, revealed_at
