"""The moment sampler: chooses positions first, then draws their tokens.

Source: Hayakawa et al., arXiv 2510.04525. MaskGIT's sampler draws tokens x ~ p, adds Gumbel noise
times alpha to log p(x), and keeps the best positions: if few of many are kept, this is the same as
drawing position and token in proportion to p(x) ** beta, with beta = 1 + 1 / alpha. The moment
sampler does that in two parts: positions in proportion to sum_x p(x) ** beta, by Gumbel-top-k,
then their tokens in proportion to p(x) ** beta.

Here alpha falls as in `decode/parallel.py`, and the last iteration, which has no positions to
choose, draws from p as that sampler does. The paper's caching and its mix with a fixed order are
not implemented.
"""

import dataclasses
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np

from vpt_gen.decode.decoder import Given
from vpt_gen.decode.halton import split_keys
from vpt_gen.decode.schedules import remaining
from vpt_gen.decode.stepwise import StepwiseDecoder, best, gumbel
from vpt_gen.nets.transformer import MASK_TOKEN_ID
from vpt_gen.ranges import Range

# Smallest alpha: below, float32 cannot tell p(x) ** beta of close p apart.
_GREEDY = 1e-3


def exponents(num_iterations: int, choice_temperature: float) -> np.ndarray:
    """Returns beta of each iteration, float32 (T,)."""
    alphas = choice_temperature * remaining(num_iterations)
    betas = 1.0 + 1.0 / np.maximum(alphas, _GREEDY)
    betas[-1] = 1.0
    return betas.astype(np.float32)


def step(
    tokens: jax.Array,
    logits: jax.Array,
    noise: tuple[jax.Array, jax.Array],
    beta: jax.Array | float,
    count: jax.Array,
) -> jax.Array:
    """Returns the tokens (B, N) after an iteration.

    Args:
      tokens: (B, N), `MASK_TOKEN_ID` where open.
      logits: (B, N, K).
      noise: Gumbel's, of positions (B, N) and of tokens (B, N, K).
      beta: exponent of the probabilities.
      count: (B,), how many open tokens to write.
    """
    powers = beta * jax.nn.log_softmax(logits)
    scores = jax.nn.logsumexp(powers, axis=-1) + noise[0]
    is_open = tokens == MASK_TOKEN_ID
    chosen = best(jnp.where(is_open, scores, -jnp.inf), count) & is_open
    drawn = jnp.argmax(powers + noise[1], axis=-1).astype(tokens.dtype)
    return jnp.where(chosen, drawn, tokens)


@dataclasses.dataclass(frozen=True)
class Moment(StepwiseDecoder):
    """`config.decode.decoder = "moment"`."""

    # Alpha in the first iteration: larger for a more random order, and less sharp tokens.
    choice_temperature: Annotated[float, Range(0, 1000)] = 4.5

    name = "moment"
    iteration = "chooses some open positions of little doubt and draws their tokens"

    def plan(self, given: Given) -> Any:
        counts = self.counts(given)
        writes = jnp.diff(counts, axis=0, prepend=0)
        return jnp.asarray(exponents(self.num_iterations, self.choice_temperature)), writes

    def step(
        self, keys: jax.Array, tokens: jax.Array, logits: jax.Array, plan: Any, memory: Any
    ) -> tuple[jax.Array, Any]:
        of_positions, of_tokens = split_keys(keys)
        noise = gumbel(of_positions, logits.shape[1:2]), gumbel(of_tokens, logits.shape[1:])
        return step(tokens, logits, noise, *plan), memory
