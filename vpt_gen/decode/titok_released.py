"""The sampler that TiTok's published figures were measured with.

Source: TiTok (arXiv 2406.07550), bytedance/1d-tokenizer `modeling/maskgit.py`, as its script
for samples of ImageNet calls it. Like the sampler of MaskGIT (`decode/parallel.py`), it draws all
unknown tokens and masks the least confident again, but otherwise:

- The confidence of a token is its logit, not a probability.
- Tokens are drawn with the noise of an annealed temperature, the same as that of the confidence.
- Logits are divided by a second temperature, which falls from 1.3 to 0.5.
- The first iteration of rising guidance has none.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np

from vpt_gen.decode.decoder import Given
from vpt_gen.decode.iterative import GuidedIterations
from vpt_gen.decode.schedules import remaining
from vpt_gen.nets.transformer import MASK_TOKEN_ID
from vpt_gen.ranges import Range


def masked_counts(num_unknown: int | np.ndarray, num_iterations: int) -> np.ndarray:
    """Returns how many tokens may stay masked after each iteration, by the arccos schedule.

    In float64, as its rounding decides some counts. An iteration fixes one token at least, and all
    but the last leave one, so that they are limited further; see `step`.

    Args:
      num_unknown: tokens that are unknown before decoding; a number, or (...) of them.
      num_iterations: T.

    Returns:
      (..., T) int32.
    """
    progress = np.arange(1, num_iterations + 1) / num_iterations
    shares = np.arccos(progress) / (math.pi * 0.5)
    return np.floor(np.multiply.outer(num_unknown, shares)).astype(np.int32)


def temperatures(num_iterations: int, start: float) -> np.ndarray:
    """Returns the scale of the noise in each iteration, float32 (T,): falls from `start` to 0."""
    return (start * remaining(num_iterations)).astype(np.float32)


def divisors(num_iterations: int) -> np.ndarray:
    """Returns what the logits of each iteration are divided by, float32 (T,)."""
    return (0.5 + 0.8 * remaining(num_iterations)).astype(np.float32)


def step(
    tokens: jax.Array,
    logits: jax.Array,
    noise: tuple[jax.Array, jax.Array],
    temperature: jax.Array | float,
    count: jax.Array | int,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Runs one iteration.

    Args:
      tokens: (B, N), `MASK_TOKEN_ID` where unknown.
      logits: (B, N, K).
      noise: Gumbel's, of the tokens (B, N, K) and of the confidence (B, N).
      temperature: scale of both.
      count: how many tokens to mask again, () or (B, 1), but one at least, and fewer than were
        unknown. Places tied with the last of them are masked too.

    Returns:
      Tokens with masks, the same before masking, and the confidence, infinite where a token was
      known: (B, N) each.
    """
    unknown = tokens == MASK_TOKEN_ID
    drawn = jnp.argmax(logits + temperature * noise[0], axis=-1).astype(tokens.dtype)
    drawn = jnp.where(unknown, drawn, tokens)
    confidence = jnp.take_along_axis(logits, drawn[..., None], axis=-1)[..., 0]
    confidence = jnp.where(unknown, confidence + temperature * noise[1], jnp.inf)
    count = jnp.maximum(1, jnp.minimum(count, unknown.sum(axis=-1, keepdims=True) - 1))
    last = jnp.take_along_axis(jnp.sort(confidence, axis=-1), count - 1, axis=-1)
    return jnp.where(unknown & (confidence <= last), MASK_TOKEN_ID, drawn), drawn, confidence


def decode(
    tokens: jax.Array,
    logits_fn: Callable[[jax.Array, Any], jax.Array],
    noise_fn: Callable[[jax.Array | int], tuple[jax.Array, jax.Array]],
    stages: Any = None,
    first_logits: jax.Array | None = None,
    *,
    choice_temperature: float,
    num_iterations: int,
) -> tuple[jax.Array, jax.Array]:
    """Decodes all unknown tokens in one `jax.lax.scan`; given tokens never change.

    Args:
      tokens: (B, N) int32, `MASK_TOKEN_ID` where unknown.
      logits_fn: (tokens (B, N), stage) -> logits (B, N, K).
      noise_fn: iteration -> noise, see `step`.
      stages: tree of arrays with a leading axis T; `logits_fn` is given one slice; or None.
      first_logits: the result of `logits_fn` in the first iteration, if already computed.
      choice_temperature: see `temperatures`.
      num_iterations: T.

    Returns:
      Tokens (B, N), and the iteration that fixed each, -1 if it was given.
    """

    def iterate(carry, logits, iteration, temperature, count):
        tokens, _, revealed_at = carry
        revealed_at = jnp.where(tokens == MASK_TOKEN_ID, iteration, revealed_at)
        tokens, drawn, _ = step(tokens, logits, noise_fn(iteration), temperature, count)
        return tokens, drawn, revealed_at

    def body(carry, xs):
        stage, *rest = xs
        return iterate(carry, logits_fn(carry[0], stage), *rest), None

    carry = (tokens, tokens, jnp.full_like(tokens, -1))
    unknown = (tokens == MASK_TOKEN_ID).sum(axis=-1, keepdims=True)
    counts = jnp.asarray(masked_counts(np.arange(tokens.shape[1] + 1), num_iterations))
    schedule = (
        jnp.arange(num_iterations),
        jnp.asarray(temperatures(num_iterations, choice_temperature)),
        jnp.moveaxis(counts[unknown], -1, 0),
    )
    xs = (stages, *schedule)
    if first_logits is not None:
        carry = iterate(carry, first_logits, *(x[0] for x in schedule))
        xs = jax.tree.map(lambda x: x[1:], xs)
    (_, drawn, revealed_at), _ = jax.lax.scan(body, carry, xs)
    return drawn, revealed_at


@dataclasses.dataclass(frozen=True)
class TiTokReleased(GuidedIterations):
    """`config.decode.decoder = "titok_released"`."""

    # Scale of the noise on the tokens and on the confidence in the first iteration.
    choice_temperature: Annotated[float, Range(0, 1000)] = 4.5
    # Whether logits are divided by what falls from 1.3 to 0.5, as in the published figures.
    anneal_logits: bool = True

    name = "titok_released"
    iteration = "predicts all open tokens at once and fixes those of the highest logits"

    def decode(self, given: Given) -> tuple[jax.Array, jax.Array]:
        shape = given.num_tokens, given.net.codebook_size
        shared = divisors(self.num_iterations) if self.anneal_logits else None
        predictions = self.predicted(given, divisors=shared)

        def noise_fn(iteration):
            def of(key):
                ours, others = jax.random.split(jax.random.fold_in(key, iteration))
                return jax.random.gumbel(ours, shape), jax.random.gumbel(others, shape[:1])

            return jax.vmap(of)(given.keys)

        return decode(
            given.tokens(),
            predictions.logits_fn,
            noise_fn,
            predictions.stages,
            predictions.first,
            choice_temperature=self.choice_temperature,
            num_iterations=self.num_iterations,
        )
