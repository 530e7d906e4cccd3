"""ReMDM: ancestral sampling in which a known token may become open again.

Source: Wang et al., arXiv 2503.00307, and kuleshov-group/remdm. Let alpha be the share of known
tokens before an iteration and alpha' the one after it. Independently of the others, a known
token is opened with probability sigma, and an open one is drawn with probability
(alpha' - (1 - sigma) alpha) / (1 - alpha), so that the share is alpha' whatever sigma is. It may be
up to min(1, (1 - alpha') / alpha):

- 'cap': that, but at most eta;
- 'rescale': eta times that;
- 'confidence': that times a softmax, over an image's known tokens, of minus the probability with
  which each was drawn. An open token is drawn as if sigma were 0, as in the released code.

With a loop, alpha rises to a level, stays there for a part of the iterations, in which alone tokens
are opened again, and rises to 1.
"""

import dataclasses
from collections.abc import Iterable
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np

from vpt_gen.decode.decoder import Given
from vpt_gen.decode.halton import split_keys
from vpt_gen.decode.schedules import mask_rate
from vpt_gen.decode.stepwise import StepwiseDecoder, gumbel
from vpt_gen.errors import Requirement
from vpt_gen.nets.transformer import MASK_TOKEN_ID
from vpt_gen.ranges import Range, Share

REMASK = ("cap", "rescale", "confidence")


def known_shares(
    num_unknown: jax.Array, num_iterations: int, schedule: str, loop: tuple[float, float, float]
) -> jax.Array:
    """Returns alpha before the first iteration and after each, (T + 1, B): from 0 to 1.

    Args:
      num_unknown: (B,), tokens that are not given.
      num_iterations: T.
      schedule: mask schedule.
      loop: the progress at which the loop starts and stops, and its alpha; none if it stops at 0.
    """
    progress = np.arange(1, num_iterations) / num_iterations
    start, stop, level = loop

    def shares(progress):
        # Before the first iteration, some schedules are not defined.
        rates = mask_rate(np.maximum(progress, 1e-6)[:, None], num_unknown, schedule)
        shares = jnp.where(progress[:, None] > 0, 1.0 - rates, 0.0)
        return jnp.broadcast_to(shares, (len(progress), len(num_unknown)))

    if stop:
        before = level * shares(np.minimum(progress / max(start, 1e-6), 1.0))
        after = level + (1 - level) * shares(np.maximum(progress - stop, 0) / max(1 - stop, 1e-6))
        middle = jnp.asarray(progress < start)[:, None]
        inner = jnp.where(middle, before, after)
    else:
        inner = shares(progress)
    ends = jnp.zeros((1, len(num_unknown))), jnp.ones((1, len(num_unknown)))
    return jnp.concatenate([ends[0], inner, ends[1]])


def largest_sigma(alpha: jax.Array, after: jax.Array) -> jax.Array:
    """Returns the largest probability of opening a token; 1 if none is known."""
    return jnp.where(alpha > 0, jnp.minimum(1.0, (1 - after) / jnp.maximum(alpha, 1e-9)), 1.0)


def by_confidence(drawn_with: jax.Array) -> jax.Array:
    """Returns eta (B, N) from the probability with which a token was drawn, infinite if open."""
    return jnp.where(jnp.isinf(drawn_with), 0.0, jax.nn.softmax(-drawn_with))


def step(
    tokens: jax.Array,
    logits: jax.Array,
    noise: tuple[jax.Array, jax.Array],
    shares: tuple[jax.Array, jax.Array],
    open_sigma: jax.Array,
    known_sigma: jax.Array,
) -> jax.Array:
    """Returns the tokens (B, N) after an iteration.

    Args:
      tokens: (B, N), `MASK_TOKEN_ID` where open.
      logits: (B, N, K).
      noise: uniform in [0, 1) of positions (B, N), and Gumbel's of tokens (B, N, K).
      shares: alpha before and after, (B,) each.
      open_sigma: (B, 1), sigma of open tokens.
      known_sigma: (B, N) or (B, 1), the probability that a known token is opened.
    """
    alpha, after = (x[:, None] for x in shares)
    draw = (after - (1 - open_sigma) * alpha) / (1 - alpha)
    drawn = jnp.argmax(logits + noise[1], axis=-1).astype(tokens.dtype)
    opened = jnp.where(noise[0] < known_sigma, MASK_TOKEN_ID, tokens)
    return jnp.where(
        tokens == MASK_TOKEN_ID, jnp.where(noise[0] < draw, drawn, MASK_TOKEN_ID), opened
    )


@dataclasses.dataclass(frozen=True)
class Remasking(StepwiseDecoder):
    """`config.decode.decoder = "remasking"`."""

    # How sigma follows from its largest value: one of `REMASK`.
    remask: str = "rescale"
    # Eta of 'cap' and 'rescale'; 0 for ancestral sampling without remasking.
    remask_eta: Share = 0.05
    # Progress at which the loop starts and stops, and the share of known tokens in it. A stop of 0
    # is no loop.
    loop_start: Share = 0.0
    loop_stop: Share = 0.0
    loop_known: Annotated[float, Range(0.01, 0.999)] = 0.9

    name = "remasking"
    iteration = "draws some open tokens and opens a few known ones again, both at random"

    def requirements(self) -> Iterable[Requirement]:
        yield from super().requirements()
        yield "remask", self.remask in REMASK, ", ".join(map(repr, REMASK))
        fits = self.loop_start < self.loop_stop or not self.loop_stop
        yield "loop_stop", fits, "0, or more than loop_start"

    def start(self, given: Given) -> Any:
        return jnp.full(given.tokens().shape, jnp.inf)

    def plan(self, given: Given) -> Any:
        """Returns alpha before and after, (T, B) each, and whether tokens may be opened, (T,)."""
        loop = self.loop_start, self.loop_stop, self.loop_known
        unknown = (given.tokens() == MASK_TOKEN_ID).sum(axis=-1)
        shares = known_shares(unknown, self.num_iterations, self.schedule, loop)
        progress = np.arange(self.num_iterations) / self.num_iterations
        opens = (progress >= self.loop_start) & (progress < self.loop_stop)
        return shares[:-1], shares[1:], jnp.asarray(opens if self.loop_stop else opens | True)

    def step(
        self, keys: jax.Array, tokens: jax.Array, logits: jax.Array, plan: Any, memory: Any
    ) -> tuple[jax.Array, Any]:
        alpha, alpha_after, opens = plan
        largest = largest_sigma(alpha, alpha_after)[:, None] * opens
        if self.remask == "confidence":
            of_known, of_open = by_confidence(memory) * largest, jnp.zeros_like(largest)
        elif self.remask == "rescale":
            of_known = of_open = self.remask_eta * largest
        else:
            of_known = of_open = jnp.minimum(self.remask_eta, largest)
        of_positions, of_tokens = split_keys(keys)
        uniform = jax.vmap(lambda key: jax.random.uniform(key, tokens.shape[1:]))(of_positions)
        noise = uniform, gumbel(of_tokens, logits.shape[1:])
        after = step(tokens, logits, noise, (alpha, alpha_after), of_open, of_known)
        return after, drawn_with(tokens, after, logits, memory)


def drawn_with(
    tokens: jax.Array, after: jax.Array, logits: jax.Array, before: jax.Array
) -> jax.Array:
    """Returns the probabilities (B, N) with which tokens were drawn, infinite where none is."""
    chosen = jnp.maximum(after, 0)[..., None]
    now = jnp.take_along_axis(jax.nn.softmax(logits), chosen, axis=-1)[..., 0]
    kept = jnp.where(tokens == MASK_TOKEN_ID, now, before)
    return jnp.where(after == MASK_TOKEN_ID, jnp.inf, kept)
