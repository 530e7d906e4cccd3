"""The sampler that Halton-MaskGIT's published figures were measured with, number by number.

Source: Besnier et al., arXiv 2503.17076, and valeoai/Halton-MaskGIT, `Sampler/halton_sampler.py`.
It reveals positions in the order of `decode/halton.py`, which follows the paper, but otherwise:

- Counts of revealed tokens come from a fixed arccos schedule, truncated in float32.
- Logits are multiplied by a factor per iteration, and only the likeliest tokens may be drawn.
- The mask is one of the tokens that may be drawn. It then stays, and the image has the last code
  in its place.
- Positions are written in their turn even if their tokens were given. Only here these may be
  `kept`, so that edits change none.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import Annotated, Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from vpt_gen.decode.decoder import Given
from vpt_gen.decode.filters import top_k_filter
from vpt_gen.decode.halton import draw, halton_order, reveal_in_turn, split_keys
from vpt_gen.decode.iterative import Guided, Iterations, WithGuidance
from vpt_gen.errors import Requirement
from vpt_gen.nets.transformer import MASK_TOKEN_ID, MaskedTransformer
from vpt_gen.ranges import CountOrZero, Range

Factor = Annotated[float, Range(0.01, 100)]


def reveal_counts(num_tokens: int, num_iterations: int) -> np.ndarray:
    """Returns how many tokens are known after each iteration, (T,): it may exceed N if T does.

    All of it is float32, whose rounding decides some counts.
    """
    turn = np.arange(1, num_iterations + 1)
    progress = turn.astype(np.float32) / np.float32(num_iterations)
    share = np.float32(1) - np.arccos(progress) / np.float32(math.pi / 2)
    return np.maximum(turn, (share * np.float32(num_tokens)).astype(np.int32))


def factors(num_iterations: int, start: float, end: float, power: float, warmup: int) -> np.ndarray:
    """Returns the factor of the logits in each iteration, float32 (T,).

    Args:
      num_iterations: T.
      start: the first one; from it, they change linearly to `end`.
      end: the last one.
      power: exponent of all.
      warmup: number of first iterations whose factors are halved afterward.
    """
    made = np.linspace(start, end, num_iterations) ** power
    made[:warmup] /= 2
    return made.astype(np.float32)


def decode(
    tokens: jax.Array,
    offsets: jax.Array,
    states_fn: Callable[[jax.Array, Any], jax.Array],
    logits_fn: Callable[[jax.Array, jax.Array | int], jax.Array],
    draw_fn: Callable[[jax.Array, jax.Array, jax.Array | int], jax.Array],
    stages: Any = None,
    first_states: jax.Array | None = None,
    kept: jax.Array | None = None,
    *,
    width: int,
    num_iterations: int,
) -> tuple[jax.Array, jax.Array]:
    """Decodes positions in one `jax.lax.scan`, by default those of given tokens too.

    An iteration computes logits only where it may write: at as many positions as the one that
    writes most.

    Args:
      tokens: (B, N) int32, row-major, `MASK_TOKEN_ID` where unknown.
      offsets: (B,), places by which the order of each image is rolled.
      states_fn: (tokens (B, N), stage) -> states (B, N, D).
      logits_fn: (states (B, W, D), iteration) -> logits (B, W, K + 1), the last of the mask.
      draw_fn: (logits, positions (B, W), iteration) -> ids (B, W) in [0, K], K being the mask.
      stages: tree of arrays with a leading axis T; `states_fn` is given one slice; or None.
      first_states: the result of `states_fn` in the first iteration, if already computed.
      kept: bool (B, N), True where a given token stays after all.
      width: of the token grid; N is a multiple of it.
      num_iterations: T.

    Returns:
      Tokens (B, N), `MASK_TOKEN_ID` where that was drawn, and the iteration that wrote each, -1 if
      it was kept.
    """
    n = tokens.shape[1]
    order = halton_order(n // width, width)
    turns = (jnp.asarray(np.argsort(order)) + offsets[:, None]) % n
    counts = np.minimum(reveal_counts(n, num_iterations), n)
    revealed_at = jnp.searchsorted(counts, turns, side="right").astype(jnp.int32)
    if kept is not None:
        revealed_at = jnp.where(kept, -1, revealed_at)

    begins = jnp.asarray(counts - np.diff(counts, prepend=0))
    window = np.arange(np.diff(counts, prepend=0).max())

    def reveal(tokens, states, iteration):
        positions = jnp.asarray(order)[(begins[iteration] + window - offsets[:, None]) % n]
        logits = logits_fn(jnp.take_along_axis(states, positions[..., None], axis=1), iteration)
        drawn = draw_fn(logits, positions, iteration)
        drawn = jnp.where(drawn == logits.shape[-1] - 1, MASK_TOKEN_ID, drawn)
        old, turn = (jnp.take_along_axis(x, positions, axis=1) for x in (tokens, revealed_at))
        images = jnp.arange(len(tokens))[:, None]
        return tokens.at[images, positions].set(jnp.where(turn == iteration, drawn, old))

    iterations = jnp.arange(num_iterations), stages
    return reveal_in_turn(tokens, states_fn, reveal, iterations, first_states), revealed_at


@dataclasses.dataclass(frozen=True)
class HaltonReleased(WithGuidance, Iterations):
    """`config.decode.decoder = "halton_released"`."""

    # Factor of the logits in the first iteration and in the last one; above 1 for likelier tokens.
    factor_start: Factor = 1.0
    factor_end: Factor = 1.0
    # Exponent of the factors.
    factor_power: Factor = 1.0
    # Number of first iterations with half the factor, so that their tokens vary more.
    factor_warmup: CountOrZero = 0
    # Number of likeliest tokens to draw from; 0 for all.
    top_k: CountOrZero = 0
    # Whether each image starts the order at its own point.
    roll: bool = True

    name = "halton_released"
    needs = ("predict_with_mask",)
    needs_grid = True
    iteration = "predicts all tokens at once and fixes some, spread evenly over the image"
    logits_once = True

    def requirements(self) -> Iterable[Requirement]:
        yield from super().requirements()
        is_linear = self.guidance == 0 or not self.domain_guidance
        wanted = "False with the decoder 'halton_released', which guides the input of one head"
        yield "domain_guidance", is_linear, wanted

    def decode(self, given: Given) -> tuple[jax.Array, jax.Array]:
        net, n = cast(MaskedTransformer, given.net), given.num_tokens
        # Logits are linear in the states, so that guided states give the guided logits.
        guided = Guided(net, given.params, method="hidden_states", without=given.without)
        constant, changing = given.stages()
        first_scale, scales = self.scales(self.num_iterations)
        of_iteration = jnp.asarray(
            factors(
                self.num_iterations,
                self.factor_start,
                self.factor_end,
                self.factor_power,
                self.factor_warmup,
            )
        )

        def states_fn(tokens, stage):
            changing_t, scale = stage
            own = given.of_images(constant | changing_t)
            return guided(tokens, own, first_scale if scale is None else scale)

        def logits_fn(states, iteration):
            logits: Any = net.apply({"params": given.params}, states, method="predict_with_mask")
            return top_k_filter(logits * of_iteration[iteration], self.top_k)

        order_keys, draw_keys = split_keys(given.keys)
        offsets = jnp.zeros(len(given.keys), jnp.int32)
        if self.roll:
            offsets = jax.vmap(lambda key: jax.random.randint(key, (), 0, n))(order_keys)
        first = kept = None
        if given.known is None:
            nothing = jnp.full((given.num_conditions, n), MASK_TOKEN_ID, jnp.int32)
            first = given.of_images(guided(nothing, given.first(), first_scale))
        else:  # Images differ from the start.
            kept = given.known != MASK_TOKEN_ID
        tokens, revealed_at = decode(
            given.tokens(),
            offsets,
            states_fn,
            logits_fn,
            # A position is written once, so that one draw for all iterations serves.
            lambda logits, positions, iteration: draw(draw_keys, positions, logits),
            (changing, scales),
            first,
            kept,
            width=net.grid(n)[1],
            num_iterations=self.num_iterations,
        )
        return jnp.where(tokens == MASK_TOKEN_ID, net.codebook_size - 1, tokens), revealed_at
