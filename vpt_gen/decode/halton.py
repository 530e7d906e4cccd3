"""Decoding in the Halton order: reveals evenly spread positions instead of confident ones.

Source: Besnier et al., arXiv 2503.17076, and valeoai/Halton-MaskGIT. Tokens revealed together are
far apart, so that each says little about the others; no retraining is needed. As in the paper, a
revealed token stays; the paper's code draws all of them again in every iteration.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vpt_gen.decode.decoder import Given
from vpt_gen.decode.iterative import GuidedDecoder
from vpt_gen.decode.schedules import mask_rate
from vpt_gen.nets.transformer import MASK_TOKEN_ID


def halton_order(height: int, width: int) -> np.ndarray:
    """Returns row-major positions (height * width,) in the order of a Halton sequence.

    Rows follow the radical inverse of 1, 2, 3, ... in base 2, columns in base 3; repeated cells are
    skipped.
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
    """floor(size * radical inverse) in integers, so that rounding cannot move a point."""
    reversed_digits, power = np.zeros_like(numbers), 1
    while numbers.any():
        reversed_digits = reversed_digits * base + numbers % base
        numbers = numbers // base
        power *= base
    return reversed_digits * size // power


def reveal_counts(num_tokens: int | np.ndarray, num_iterations: int, schedule: str) -> np.ndarray:
    """Returns how many of `num_tokens` are known after each iteration: (..., T), rising to all.

    Every iteration reveals at least one, as long as any are left.
    """
    numbers = np.asarray(num_tokens)[..., None]
    with jax.ensure_compile_time_eval():
        progress = (jnp.arange(num_iterations) + 1) / num_iterations
        rates = np.asarray(mask_rate(progress, jnp.asarray(numbers), schedule), np.float64)
    counts = np.maximum(np.floor(numbers * (1.0 - rates)), np.arange(num_iterations) + 1)
    counts[..., -1] = num_tokens
    return np.minimum(counts, numbers).astype(np.int32)


def turns(keys: jax.Array, height: int, width: int) -> jax.Array:
    """Returns the turn (B, N) of every position; each image starts the order at its own point.

    Otherwise the same corner of every image would be drawn first.
    """
    order = halton_order(height, width)
    offsets = jax.vmap(lambda key: jax.random.randint(key, (1,), 0, len(order)))(keys)
    return (jnp.asarray(np.argsort(order)) - offsets) % len(order)


def draw(keys: jax.Array, positions: jax.Array, logits: jax.Array) -> jax.Array:
    """Draws tokens (B, A) from logits (B, A, K) at positions (B, A).

    The draw depends only on the image's key, the position and the logits, so that a decoder that
    approximates the logits differs only as far as these do.
    """

    def one(key, position, logits):
        return jax.random.categorical(jax.random.fold_in(key, position), logits)

    return jax.vmap(jax.vmap(one, (None, 0, 0)))(keys, positions, logits).astype(jnp.int32)


def decode(
    keys: jax.Array,
    tokens: jax.Array,
    logits_fn: Callable[[jax.Array, Any], jax.Array],
    stages: Any = None,
    first_logits: jax.Array | None = None,
    *,
    width: int,
    num_iterations: int = 12,
    schedule: str = "arccos",
) -> tuple[jax.Array, jax.Array]:
    """Decodes all unknown tokens in one `jax.lax.scan`; given tokens never change.

    Args:
      keys: (B,) PRNG keys, one per image.
      tokens: (B, N) int32, row-major, `MASK_TOKEN_ID` where unknown.
      logits_fn: (tokens (B, N), stage) -> logits (B, N, K).
      stages: tree of arrays with a leading axis T, such as the prompts (T, B, S, D) of every
        iteration (see `decode/marquee.py`); `logits_fn` is given one slice; or None.
      first_logits: (B, N, K), the result of `logits_fn` in the first iteration, if already
        computed.
      width: of the token grid; N is a multiple of it.
      num_iterations: T.
      schedule: mask schedule; the paper's is 'arccos'.

    Returns:
      Tokens (B, N), and for each the iteration that fixed it (B, N), -1 if it was given.
    """
    b, n = tokens.shape
    order_keys, draw_keys = split_keys(keys)
    unknown = tokens == MASK_TOKEN_ID
    turn = turns_among(unknown, turns(order_keys, n // width, width))
    counts = jnp.asarray(reveal_counts(np.arange(n + 1), num_iterations, schedule))
    found = jax.vmap(functools.partial(jnp.searchsorted, side="right"))(
        counts[unknown.sum(axis=-1)], turn
    )
    revealed_at = jnp.where(unknown, found.astype(jnp.int32), -1)
    positions = jnp.broadcast_to(jnp.arange(n), (b, n))

    def reveal(tokens, logits, iteration):
        drawn = draw(draw_keys, positions, logits)
        return jnp.where(revealed_at == iteration, drawn, tokens)

    iterations = jnp.arange(num_iterations), stages
    return reveal_in_turn(tokens, logits_fn, reveal, iterations, first_logits), revealed_at


def reveal_in_turn(
    tokens: jax.Array,
    predict_fn: Callable[[jax.Array, Any], jax.Array],
    reveal_fn: Callable[[jax.Array, jax.Array, jax.Array | int], jax.Array],
    iterations: tuple[jax.Array, Any],
    first: jax.Array | None,
) -> jax.Array:
    """Returns the tokens (B, N) after all iterations, in one `jax.lax.scan`.

    Args:
      tokens: (B, N) before the first one.
      predict_fn: (tokens (B, N), stage) -> predictions (B, N, ...).
      reveal_fn: (tokens, predictions, iteration) -> tokens, those in turn written.
      iterations: their numbers (T,), and a tree of arrays (T, ...), one stage of each, or None.
      first: the result of `predict_fn` in the first iteration, if already computed.
    """

    def body(tokens, xs):
        iteration, stage = xs
        return reveal_fn(tokens, predict_fn(tokens, stage), iteration), None

    if first is not None:
        tokens = reveal_fn(tokens, first, 0)
        iterations = jax.tree.map(lambda x: x[1:], iterations)
    return jax.lax.scan(body, tokens, iterations)[0]


def split_keys(keys: jax.Array) -> jax.Array:
    """Splits the keys (B,) of images into keys of their orders and of their tokens, (2, B)."""
    return jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)


def turns_among(chosen: jax.Array, turns: jax.Array) -> jax.Array:
    """Returns the turn (B, N) of every position among the chosen ones (B, N); the others follow."""
    n = turns.shape[-1]
    return jnp.argsort(jnp.argsort(jnp.where(chosen, turns, turns + n), axis=-1), axis=-1)


@dataclasses.dataclass(frozen=True)
class Halton(GuidedDecoder):
    """`config.decode.decoder = "halton"`."""

    name = "halton"
    needs_grid = True
    iteration = "predicts all tokens at once and fixes some, spread evenly over the image"

    def decode(self, given: Given) -> tuple[jax.Array, jax.Array]:
        predictions = self.predictions(given)
        return decode(
            given.keys,
            given.tokens(),
            predictions.logits_fn,
            predictions.stages,
            predictions.first,
            width=given.net.grid(given.num_tokens)[1],
            num_iterations=self.num_iterations,
            schedule=self.schedule,
        )
