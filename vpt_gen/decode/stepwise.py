"""Decoders that are one step, repeated: what the net predicts decides which tokens to write.

Every image has noise of its own, so that it does not depend on the others of its batch.
"""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from vpt_gen.decode.decoder import Given
from vpt_gen.decode.halton import reveal_counts
from vpt_gen.decode.iterative import GuidedDecoder
from vpt_gen.nets.transformer import MASK_TOKEN_ID


@dataclasses.dataclass(frozen=True)
class StepwiseDecoder(GuidedDecoder):
    """Repeats `step` T times, in one `jax.lax.scan`."""

    # Whether an iteration is left out, and its pass through the net with it, if no image of the
    # batch has an open token.
    stops_early: ClassVar[bool] = False

    def start(self, given: Given) -> Any:
        """Returns what `step` gets as `memory` in the first iteration."""
        del given

    def plan(self, given: Given) -> Any:
        """Returns a tree of arrays with a leading axis T, of which `step` is given one slice."""
        raise NotImplementedError

    def step(
        self, keys: jax.Array, tokens: jax.Array, logits: jax.Array, plan: Any, memory: Any
    ) -> tuple[jax.Array, Any]:
        """Returns the next tokens (B, N), `MASK_TOKEN_ID` where they are open, and memory.

        Args:
          keys: (B,), of the iteration.
          tokens: (B, N).
          logits: (B, N, K) for these tokens.
          plan: of the iteration.
          memory: what the last step returned as such.
        """
        raise NotImplementedError

    def decode(self, given: Given) -> tuple[jax.Array, jax.Array]:
        predictions, start = self.predictions(given), given.tokens()
        may_change = start == MASK_TOKEN_ID

        def write(carry, logits, iteration, plan):
            tokens, revealed_at, memory = carry
            keys = jax.vmap(lambda key: jax.random.fold_in(key, iteration))(given.keys)
            after, memory = self.step(keys, tokens, logits, plan, memory)
            after = jnp.where(may_change, after, tokens)
            revealed_at = jnp.where((tokens != after) & may_change, iteration, revealed_at)
            return after, revealed_at, memory

        def body(carry, xs):
            stage, iteration, plan = xs

            def run(carry):
                return write(carry, predictions.logits_fn(carry[0], stage), iteration, plan)

            if self.stops_early:
                is_open = (carry[0] == MASK_TOKEN_ID).any()
                return jax.lax.cond(is_open, run, lambda carry: carry, carry), None
            return run(carry), None

        carry = start, jnp.full_like(start, -1), self.start(given)
        rest = jnp.arange(self.num_iterations), self.plan(given)
        xs = (predictions.stages, *rest)
        if predictions.first is not None:
            carry = write(carry, predictions.first, *jax.tree.map(lambda x: x[0], rest))
            xs = jax.tree.map(lambda x: x[1:], xs)
        (tokens, revealed_at, _), _ = jax.lax.scan(body, carry, xs)
        return tokens, revealed_at

    def counts(self, given: Given) -> jax.Array:
        """Returns how many open tokens of each image are known after each iteration, (T, B)."""
        numbers = np.arange(given.num_tokens + 1)
        counts = reveal_counts(numbers, self.num_iterations, self.schedule)
        unknown = (given.tokens() == MASK_TOKEN_ID).sum(axis=-1)
        return jnp.moveaxis(jnp.asarray(counts)[unknown], -1, 0)


def gumbel(keys: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Returns Gumbel noise (B, *shape), each image's by its own key (B,)."""
    return jax.vmap(lambda key: jax.random.gumbel(key, shape))(keys)


def best(scores: jax.Array, count: jax.Array) -> jax.Array:
    """Returns where the `count` (B,) highest of the scores (B, N) are: bool (B, N).

    The first of equal scores come first.
    """
    ranks = jnp.argsort(jnp.argsort(-scores, axis=-1), axis=-1)
    return ranks < count[:, None]
