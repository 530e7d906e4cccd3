"""Decoding that corrects itself: tokens of which the net is no longer sure are drawn again.

Source: P2, path planning with the net as its own planner (Peng et al., arXiv 2502.03540), and
pengzhangzhi/path-planning, `p2_sampling` without a planner. Each iteration draws all tokens; the
least likely positions are open afterward, even if they were known before. It needs neither a critic
nor training, unlike the informed correctors of arXiv 2407.21243, whose nets ("hollow transformers")
predict a known token without seeing it.

As in the released code, the score of a position is the log-probability of the token just drawn
there, among logits to which its noise is added, and a token that stays keeps its old value.
"""

import dataclasses
from typing import Annotated, Any

import jax
import jax.numpy as jnp

from vpt_gen.decode.decoder import Given
from vpt_gen.decode.stepwise import StepwiseDecoder, gumbel
from vpt_gen.nets.transformer import MASK_TOKEN_ID
from vpt_gen.ranges import Range


def step(
    tokens: jax.Array,
    logits: jax.Array,
    noise: jax.Array,
    num_open: jax.Array,
    may_change: jax.Array,
    stochasticity: float,
) -> jax.Array:
    """Returns the tokens (B, N) after an iteration.

    Args:
      tokens: (B, N), `MASK_TOKEN_ID` where open.
      logits: (B, N, K).
      noise: Gumbel's (B, N, K).
      num_open: (B,), how many positions are open afterward; fewer if scores tie.
      may_change: bool (B, N), False where a token was given.
      stochasticity: factor of the scores of tokens that are known.
    """
    scores = jax.nn.log_softmax(logits + noise)
    drawn = jnp.argmax(scores, axis=-1).astype(tokens.dtype)
    scores = jnp.max(scores, axis=-1)
    was_open = tokens == MASK_TOKEN_ID
    scores = jnp.where(was_open, scores, scores * stochasticity)
    scores = jnp.where(may_change, scores, jnp.inf)
    first_kept = jnp.take_along_axis(jnp.sort(scores, axis=-1), num_open[:, None], axis=-1)
    after = jnp.where(was_open, drawn, tokens)
    return jnp.where(scores < first_kept, MASK_TOKEN_ID, after)


@dataclasses.dataclass(frozen=True)
class PathPlanning(StepwiseDecoder):
    """`config.decode.decoder = "path_planning"`."""

    # Eta: above 1, more known tokens are drawn again; 0: none is.
    stochasticity: Annotated[float, Range(0, 100)] = 1.0

    name = "path_planning"
    iteration = "draws all tokens and opens the least likely again, known or not"

    def start(self, given: Given) -> Any:
        return given.tokens() == MASK_TOKEN_ID

    def plan(self, given: Given) -> Any:
        counts = self.counts(given)
        return counts[-1] - counts

    def step(
        self, keys: jax.Array, tokens: jax.Array, logits: jax.Array, plan: Any, memory: Any
    ) -> tuple[jax.Array, Any]:
        noise = gumbel(keys, logits.shape[1:])
        return step(tokens, logits, noise, plan, memory, self.stochasticity), memory
