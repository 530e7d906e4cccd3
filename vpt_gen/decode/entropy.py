"""Decoding by entropy: writes the positions first of whose tokens the net is surest.

Source of the bound: EB-Sampler, Ben-Hamu et al., arXiv 2505.24857. An iteration takes open
positions in the order of their entropies H, as many as keep sum H - max H within a bound: together
they cost at most that much information by being drawn independently of each other. At least one
always fits, so that the number of iterations follows from the image.

Without a bound, the number of tokens follows the mask schedule, and only the order is by entropy.
"""

import dataclasses
from typing import Annotated, Any

import jax
import jax.numpy as jnp

from vpt_gen.decode.decoder import Given
from vpt_gen.decode.stepwise import StepwiseDecoder, best, gumbel
from vpt_gen.nets.transformer import MASK_TOKEN_ID
from vpt_gen.ranges import Range


def entropies(logits: jax.Array) -> jax.Array:
    """(..., K) -> (...), in nats."""
    log_probabilities = jax.nn.log_softmax(logits)
    return -jnp.sum(jnp.exp(log_probabilities) * log_probabilities, axis=-1)


def within(entropies: jax.Array, bound: float) -> jax.Array:
    """Returns how many positions fit within the bound: (B,), 1 at least.

    Args:
      entropies: (B, N), infinite where a position is not open.
      bound: on their sum without the largest, in nats.
    """
    # In rising order, the last of the first k is the largest of them.
    rising = jnp.sort(entropies, axis=-1)
    before = jnp.cumsum(rising, axis=-1)[:, :-1]
    fits = (before <= bound) & jnp.isfinite(rising[:, 1:])
    return 1 + fits.sum(axis=-1)


def step(
    tokens: jax.Array, logits: jax.Array, noise: jax.Array, count: jax.Array, bound: float
) -> jax.Array:
    """Returns the tokens (B, N) after an iteration.

    Args:
      tokens: (B, N), `MASK_TOKEN_ID` where open.
      logits: (B, N, K).
      noise: Gumbel's, of tokens (B, N, K).
      count: (B,), the fewest tokens to write.
      bound: see `within`; 0: `count` are written, neither more nor fewer.
    """
    is_open = tokens == MASK_TOKEN_ID
    doubt = jnp.where(is_open, entropies(logits), jnp.inf)
    if bound:
        count = jnp.maximum(count, within(doubt, bound))
    drawn = jnp.argmax(logits + noise, axis=-1).astype(tokens.dtype)
    return jnp.where(best(-doubt, count) & is_open, drawn, tokens)


@dataclasses.dataclass(frozen=True)
class Entropy(StepwiseDecoder):
    """`config.decode.decoder = "entropy"`."""

    # Bound on the information lost per iteration, in nats; `num_iterations` is then the most that
    # an image takes, whatever `schedule` says. 0: none.
    entropy_bound: Annotated[float, Range(0, 10**6)] = 0.0

    name = "entropy"
    iteration = "predicts all open tokens at once and fixes those of the least entropy"
    stops_early = True

    def plan(self, given: Given) -> Any:
        counts = self.counts(given)
        writes = jnp.diff(counts, axis=0, prepend=0)
        if self.entropy_bound:  # What is still open in the last iteration is written there.
            return jnp.zeros_like(writes).at[-1].set(counts[-1])
        return writes

    def step(
        self, keys: jax.Array, tokens: jax.Array, logits: jax.Array, plan: Any, memory: Any
    ) -> tuple[jax.Array, Any]:
        noise = gumbel(keys, logits.shape[1:])
        return step(tokens, logits, noise, plan, self.entropy_bound), memory
