"""Decoding in the Halton order that recomputes only a part of the positions.

In the order of `decode/halton.py` it is known in advance which positions an iteration reveals. Keys
and values of all positions are kept from one iteration to the next, and recomputed where it
matters most; the rest of the sequence stays as cached. ReCAP (arXiv 2505.19089) and partial caching
(arXiv 2510.04525) have this idea too; which positions are recomputed is our own choice, see
docs/decoders.md.
"""

import dataclasses
import functools
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from vpt_gen.decode import halton
from vpt_gen.decode.decoder import Given
from vpt_gen.decode.iterative import IterativeDecoder
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.nets.transformer import MASK_TOKEN_ID
from vpt_gen.ranges import CountOrZero

# Which positions an iteration recomputes: those that the last one revealed, and with them all that
# are still masked, or only those whose turn it is.
RECOMPUTE = ("masked", "frontier")
_CHUNKS = 4


class Chunk(NamedTuple):
    """Consecutive iterations of one program, which all recompute equally many positions.

    Attributes:
      first, stop: iterations [first, stop).
      in_full: whether the first of them recomputes everything.
      active: A, positions that the others recompute.
      revealed: W, the largest number that one of them reveals.
    """

    first: int
    stop: int
    in_full: bool
    active: int
    revealed: int


def chunks(counts: np.ndarray, recompute: str, refresh_every: int) -> list[Chunk]:
    """Splits T iterations, given their `halton.reveal_counts`, into chunks.

    Args:
      counts: (T,).
      recompute: one of `RECOMPUTE`.
      refresh_every: interval of iterations that recompute everything; 0: only the first does.
    """
    total = len(counts)
    length = refresh_every or -(-total // _CHUNKS)
    # Known before the last iteration, before this one, and after it.
    known = np.concatenate([[0, 0], counts])
    found = []
    for first in range(0, total, length):
        stop, in_full = min(first + length, total), first == 0 or refresh_every > 0
        others = np.arange(first + in_full, stop)
        end = known[-1] if recompute == "masked" else known[others + 2]
        active = (end - known[others]).max(initial=1)
        revealed = (known[others + 2] - known[others + 1]).max(initial=1)
        found.append(Chunk(first, stop, in_full, int(active), int(revealed)))
    return found


def recomputed_share(counts: np.ndarray, recompute: str, refresh_every: int, prefix: int) -> float:
    """Returns the number of recomputed positions, as a share of the exact decoder's.

    Args:
      counts: (T,), see `halton.reveal_counts`.
      recompute: one of `RECOMPUTE`.
      refresh_every: see `decode`.
      prefix: number of prompt tokens, which run only with the whole sequence; 1 for a class token.
    """
    whole = counts[-1] + prefix
    run = sum(
        chunk.in_full * whole + (chunk.stop - chunk.first - chunk.in_full) * chunk.active
        for chunk in chunks(counts, recompute, refresh_every)
    )
    return float(run / (len(counts) * whole))


def decode(
    net: MaskGIT,
    params: Any,
    keys: jax.Array,
    num_tokens: int,
    *,
    prompts: jax.Array | None = None,
    class_ids: jax.Array | None = None,
    rows: jax.Array | None = None,
    known: jax.Array | None = None,
    num_unknown: int | None = None,
    recompute: str = "frontier",
    refresh_every: int = 0,
    num_iterations: int = 12,
    schedule: str = "arccos",
    temperature: float = 1.0,
) -> tuple[jax.Array, jax.Array]:
    """Draws all visual tokens of square images; `halton.decode` is the exact version.

    Args:
      net: the transformer.
      params: its parameters.
      keys: (B,), one per image.
      num_tokens: N.
      prompts: (T, P, S, D), the prompt of every iteration, or (1, P, S, D), or None. Prompts that
        change are recomputed with the rest.
      class_ids: (P,), or None.
      rows: (B,) in [0, P), the condition of every image; None: P is B, and image i has the i-th.
      known: (B, N), tokens that never change, and `MASK_TOKEN_ID` where one is drawn; or None.
      num_unknown: the most tokens that one of the images lacks; None is N. The work grows with it.
      recompute: one of `RECOMPUTE`.
      refresh_every: interval of iterations that recompute everything; 0: only the first does. The
        first depends only on the condition and is computed once for each; 1 is exact.
      num_iterations: T.
      schedule: mask schedule.
      temperature: divides the logits.

    Returns:
      Tokens (B, N), row-major, and for each the iteration that fixed it (B, N), -1 if it was
      known.
    """
    side = int(num_tokens**0.5)
    given = num_tokens - (num_tokens if num_unknown is None else num_unknown)
    counts = halton.reveal_counts(num_tokens - given, num_iterations, schedule)
    done = given + np.concatenate([[0], counts])  # before iteration t
    order_keys, draw_keys = halton.split_keys(keys)
    turns = halton.turns(order_keys, side, side)
    if known is not None:  # Known tokens come first.
        turns = halton.turns_among(known != MASK_TOKEN_ID, turns)
    places = jnp.argsort(turns, axis=1)  # (B, N) positions, in the order of their turns
    revealed_at = jnp.searchsorted(jnp.asarray(counts), turns - given, side="right")
    revealed_at = revealed_at.astype(jnp.int32)
    if known is not None:
        revealed_at = jnp.where(known == MASK_TOKEN_ID, revealed_at, -1)
    images = jnp.arange(len(keys))[:, None]
    prefix_length = 1 if prompts is None else prompts.shape[2]
    changing = prompts is not None and len(prompts) > 1

    def call(method, *args):
        return net.apply({"params": params}, *args, method=method)

    def of_images(tree):
        # If layers are stacked, a cache has axes before its last four.
        return jax.tree.map(
            lambda x: x if rows is None else jnp.take(x, rows, max(x.ndim - 4, 0)), tree
        )

    def prompts_at(iteration):
        return None if prompts is None else prompts[iteration if changing else 0]

    def in_full(tokens, prompts_t, class_ids):
        """Returns the hidden states of all visual tokens, and the cache."""
        hidden, cache = call("run", call("sequence", net.ids(tokens, class_ids), prompts_t))
        return hidden[:, -num_tokens:], cache

    def reveal(tokens, hidden, positions, iteration):
        """Draws an iteration's tokens from hidden states (B, W, D) at positions (B, W)."""
        drawn = halton.draw(draw_keys, positions, call("predict", hidden) / temperature)
        now = _take(revealed_at, positions) == iteration
        return tokens.at[images, positions].set(jnp.where(now, drawn, _take(tokens, positions)))

    def whole_iteration(tokens, iteration):
        if iteration == 0 and known is None:  # Computed once for each condition.
            conditions = class_ids if prompts is None else prompts[0]
            count = len(keys) if conditions is None else len(conditions)
            nothing = jnp.full((count, num_tokens), MASK_TOKEN_ID, jnp.int32)
            hidden, cache = of_images(in_full(nothing, prompts_at(0), class_ids))
        else:
            hidden, cache = in_full(tokens, *of_images((prompts_at(iteration), class_ids)))
        now = places[:, done[iteration] : done[iteration + 1]]
        return reveal(tokens, _take(hidden, now), now, iteration), cache

    def partial_iteration(chunk, carry, iteration):
        tokens, cache = carry
        after = jnp.asarray(done)[iteration + 1]
        end = num_tokens if recompute == "masked" else after
        start = jnp.maximum(end - chunk.active, 0)
        active = jax.lax.dynamic_slice_in_dim(places, start, chunk.active, axis=1)
        x = call("embed_tokens", _take(tokens, active), active)
        positions = active + prefix_length
        if changing:
            prefix = jnp.broadcast_to(jnp.arange(prefix_length), (len(keys), prefix_length))
            x = jnp.concatenate([of_images(prompts_at(iteration)), x], axis=1)
            positions = jnp.concatenate([prefix, positions], axis=1)
        hidden, cache = call("run", x, cache, positions)
        # As many as any iteration of the chunk reveals; `reveal` leaves the others unchanged.
        window = jnp.maximum(after - chunk.revealed - start, 0), chunk.revealed
        now = jax.lax.dynamic_slice_in_dim(active, *window, axis=1)
        hidden = jax.lax.dynamic_slice_in_dim(hidden[:, -chunk.active :], *window, axis=1)
        return (reveal(tokens, hidden, now, iteration), cache), None

    nothing = jnp.full(places.shape, MASK_TOKEN_ID, jnp.int32)
    tokens, cache = nothing if known is None else known, None
    for chunk in chunks(counts, recompute, refresh_every):
        first = chunk.first
        if chunk.in_full:
            tokens, cache = whole_iteration(tokens, first)
            first += 1
        if first < chunk.stop:
            body = functools.partial(partial_iteration, chunk)
            (tokens, cache), _ = jax.lax.scan(body, (tokens, cache), jnp.arange(first, chunk.stop))
    return tokens, revealed_at


def _take(x: jax.Array, positions: jax.Array) -> jax.Array:
    """Takes rows of (B, N) or (B, N, D) at positions (B, A)."""
    index = positions if x.ndim == 2 else positions[..., None]
    return jnp.take_along_axis(x, index, axis=1)


@dataclasses.dataclass(frozen=True)
class Masked(IterativeDecoder):
    """`config.decode.decoder = "masked"`."""

    # Interval of iterations that are computed in full; 0: only the first is.
    refresh_every: CountOrZero = 0

    name = "masked"
    needs = ("sequence", "embed_tokens", "run", "predict")
    iteration = "predicts the open tokens and fixes some, spread evenly over the image"

    def decode(self, given: Given) -> tuple[jax.Array, jax.Array]:
        return decode(
            cast(MaskGIT, given.net),  # Or a net with the methods in `needs`.
            given.params,
            given.keys,
            given.num_tokens,
            prompts=given.prompts,
            class_ids=given.class_ids,
            rows=given.rows,
            known=given.known,
            num_unknown=given.num_unknown,
            recompute=self.name,
            refresh_every=self.refresh_every,
            num_iterations=self.num_iterations,
            schedule=self.schedule,
            temperature=self.temperature,
        )


@dataclasses.dataclass(frozen=True)
class Frontier(Masked):
    """`config.decode.decoder = "frontier"`."""

    name = "frontier"
    iteration = "predicts and fixes some tokens, spread evenly over the image"
