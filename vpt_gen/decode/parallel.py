"""Parallel (NAR) decoding: predict all masked tokens, keep the confident ones, repeat.

Source: MaskGIT (arXiv 2202.04200), google-research/maskgit `maskgit/libml/parallel_decode.py`. The
same key gives the same tokens as the reference implementation.

A sequence has L = N + 1 ids. Position 0 is the class token: known if the model is conditioned by
its own class embedding; `MASK_TOKEN_ID` if prompts condition it. Then, as in the reference, it is
one more unknown position, predicted from the last prompt token and discarded.
"""

import functools
from collections.abc import Callable
from typing import Any

import flax
import jax
import jax.numpy as jnp

from vpt_gen.decode.schedules import mask_rate
from vpt_gen.nets.transformer import MASK_TOKEN_ID


@flax.struct.dataclass
class DecodeState:
    """State that one decoding iteration passes to the next.

    Attributes:
      ids: (B, L) int32, `MASK_TOKEN_ID` where still unknown.
      key: the key of all later iterations.
      num_unknown: (B,) unknown positions at the start.
      revealed_at: (B, L) int32, the iteration that fixed a token; -1 if it was given.
    """

    ids: jax.Array
    key: jax.Array
    num_unknown: jax.Array
    revealed_at: jax.Array


def init_state(key: jax.Array, ids: jax.Array) -> DecodeState:
    """Returns the state before iteration 0, from ids (B, L) with `MASK_TOKEN_ID` where unknown."""
    unknown = ids == MASK_TOKEN_ID
    return DecodeState(
        ids=ids,
        key=key,
        num_unknown=jnp.sum(unknown, axis=-1),
        revealed_at=jnp.full_like(ids, -1),
    )


def choose_masked(
    key: jax.Array, probabilities: jax.Array, num_masked: jax.Array, temperature: jax.Array | float
) -> jax.Array:
    """Chooses the least confident positions, with Gumbel noise on the log-probabilities.

    Args:
      key: key of the noise.
      probabilities: (B, L) of the sampled tokens; infinity if a token must stay.
      num_masked: (B, 1) how many positions to mask.
      temperature: scale of the noise; 0 is greedy.

    Returns:
      (B, L) bool, True where masked. Positions tied with the first kept one are kept.
    """
    noise = jax.random.gumbel(key, probabilities.shape)
    confidence = jnp.log(probabilities) + temperature * noise
    first_kept = jnp.take_along_axis(
        jnp.sort(confidence, axis=-1), num_masked.astype(jnp.int32), axis=-1
    )
    return confidence < first_kept


def decode_iteration(
    state: DecodeState,
    logits: jax.Array,
    iteration: jax.Array | int,
    *,
    num_iterations: int,
    choice_temperature: float,
    schedule: str,
) -> tuple[DecodeState, jax.Array]:
    """Runs one iteration: samples every unknown token, then masks the least confident again.

    Args:
      state: the state before the iteration.
      logits: (B, L, K) for `state.ids`.
      iteration: 0-based.
      num_iterations: T.
      choice_temperature: noise of the choice at progress 0; falls linearly to 0 at progress 1.
      schedule: mask schedule.

    Returns:
      The next state, in which at least one token is masked, and the complete tokens (B, L) as
      sampled before masking: those of the last iteration are the result.
    """
    key, sample_key = jax.random.split(state.key)
    key, choice_key = jax.random.split(key)
    unknown = state.ids == MASK_TOKEN_ID
    sampled = jax.random.categorical(sample_key, logits).astype(state.ids.dtype)
    sampled = jnp.where(unknown, sampled, state.ids)

    progress = (iteration + 1) / num_iterations
    num_masked = jnp.floor(state.num_unknown * mask_rate(progress, state.num_unknown, schedule))
    still_unknown = jnp.sum(unknown, axis=-1)
    num_masked = jnp.maximum(1, jnp.minimum(still_unknown - 1, num_masked))[:, None]

    # A given class id lies outside the K logits; its position is known, so clipping is harmless.
    chosen = jnp.clip(sampled, 0, logits.shape[-1] - 1)[..., None]
    probabilities = jnp.take_along_axis(jax.nn.softmax(logits), chosen, axis=-1)[..., 0]
    probabilities = jnp.where(unknown, probabilities, jnp.inf)
    temperature = choice_temperature * (1.0 - progress)
    masked = choose_masked(choice_key, probabilities, num_masked, temperature)

    next_state = DecodeState(
        ids=jnp.where(masked, MASK_TOKEN_ID, sampled),
        key=key,
        num_unknown=state.num_unknown,
        revealed_at=jnp.where(unknown, iteration, state.revealed_at),
    )
    return next_state, sampled


def decode(
    key: jax.Array,
    ids: jax.Array,
    logits_fn: Callable[[jax.Array, Any], jax.Array],
    stages: Any = None,
    first_logits: jax.Array | None = None,
    *,
    num_iterations: int = 12,
    start_iteration: int = 0,
    choice_temperature: float = 4.5,
    schedule: str = "cosine",
) -> tuple[jax.Array, jax.Array]:
    """Decodes all unknown tokens in one `jax.lax.scan`; given tokens never change.

    Args:
      key: PRNG key; one for the whole batch, as in the reference.
      ids: (B, L) int32 with `MASK_TOKEN_ID` where unknown.
      logits_fn: (ids (B, L), stage) -> logits (B, L, K).
      stages: tree of arrays with a leading axis T, such as the prompts (T, B, S, D) of every
        iteration (see `decode/marquee.py`); `logits_fn` is given one slice; or None.
      first_logits: (B, L, K), the result of `logits_fn` in the first iteration, if already
        computed: while no token is known, it depends only on the prompt.
      num_iterations: T.
      start_iteration: first iteration, above 0 to continue a partly decoded image.
      choice_temperature: see `decode_iteration`.
      schedule: mask schedule.

    Returns:
      tokens (B, L), and for each the iteration that fixed it (B, L), -1 if it was given.
    """
    if not 0 <= start_iteration < num_iterations:
        raise ValueError(
            f"start_iteration must lie in [0, num_iterations = {num_iterations}), "
            f"not {start_iteration}."
        )
    for leaf in jax.tree.leaves(stages):
        if len(leaf) != num_iterations:
            raise ValueError(
                f"Stages hold {len(leaf)} iterations but decoding takes {num_iterations}."
            )
    stages = jax.tree.map(lambda x: x[start_iteration:], stages)

    step = functools.partial(
        decode_iteration,
        num_iterations=num_iterations,
        choice_temperature=choice_temperature,
        schedule=schedule,
    )

    def body(carry, xs):
        state, _ = carry
        iteration, stage = xs
        return step(state, logits_fn(state.ids, stage), iteration), None

    carry, xs = (init_state(key, ids), ids), (jnp.arange(start_iteration, num_iterations), stages)
    if first_logits is not None:
        carry = step(carry[0], first_logits, start_iteration)
        xs = jax.tree.map(lambda x: x[1:], xs)
    (state, tokens), _ = jax.lax.scan(body, carry, xs)
    return tokens, state.revealed_at
