"""Autoregressive (AR) decoding: one token after another, in one `jax.lax.scan`.

Source: Taming Transformers (arXiv 2012.09841), `taming/modules/transformer/mingpt.py`
(`sample_with_past`). `causal_steps.py` has the loop over the tokens. Marquee prompts here are
our reading of the paper's idea, see `decode/marquee.py`: the prompt changes at evenly spaced token
positions, where the prefix's part of the cache is replaced; the entries of earlier tokens stay.
"""

import dataclasses
import functools
import math
from collections.abc import Iterable
from typing import Annotated, Any, cast

import jax
import jax.numpy as jnp

from vpt_gen.decode.causal_steps import Model, Steps, Unconditional, cache_length
from vpt_gen.decode.decoder import Decoder, Given
from vpt_gen.decode.filters import filter_logits
from vpt_gen.decode.iterative import Guidance
from vpt_gen.decode.schedules import guidance_requirement, guidance_shares
from vpt_gen.errors import Requirement
from vpt_gen.nets.transformer import MASK_TOKEN_ID, CausalTransformer
from vpt_gen.ranges import CountOrZero, Range, Share, ShareBelowOne


def decode(
    net: CausalTransformer,
    params: Any,
    keys: jax.Array,
    num_tokens: int,
    *,
    prompts: jax.Array | None = None,
    class_ids: jax.Array | None = None,
    rows: jax.Array | None = None,
    vectors: jax.Array | None = None,
    known: jax.Array | None = None,
    prefill: int = 0,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    guidance: float = 0.0,
    guidance_start: float = 0.0,
    guidance_stop: float = 1.0,
    guidance_schedule: str = "constant",
    without: Any = None,
) -> jax.Array:
    """Draws visual tokens (B, N) one after another, in the order of the net's sequence.

    Args:
      net: the transformer.
      params: its parameters.
      keys: B PRNG keys, one per image, so that an image does not depend on the others.
      num_tokens: N.
      prompts: (P, S, D), or (T, P, S, D): a prompt for each of T equal stretches of tokens (for
        each image row if T is the number of rows), or None.
      class_ids: (P,), or None; see `nets/gpt.py` for what both together mean.
      rows: (B,) in [0, P), the condition of every image, whose prefix is run once for all of them;
        None: P is B, and image i has the i-th.
      vectors: (P, D), or (T, P, D) as prompts, for nets that take them; or None.
      known: (B, N) in the order of the sequence, tokens that stay, and `MASK_TOKEN_ID` where one is
        drawn; or None. A drawn token sees only those before it.
      prefill: F < N, tokens at the beginning that are known in all images, which fill the cache in
        one forward pass; 0: known tokens, too, are run one by one. With T > 1 they always are,
        because each belongs to the prompt of its stretch.
      temperature: divides the logits; 0 takes the likeliest token.
      top_k: only the k likeliest tokens; 0 for all.
      top_p: only the likeliest tokens that together reach this probability.
      guidance: scale of classifier-free guidance, which doubles the work; see `iterative.Guided`.
      guidance_start: share of the tokens that come before guidance sets in.
      guidance_stop: share of the tokens after which it ends.
      guidance_schedule: how the scale rises over the tokens, see `schedules.guidance_shares`.
      without: the net's parameters if it has no condition, for guidance; None: `params`.

    Raises:
      ValueError: T does not divide N, N tokens do not fit into the net's positions, there is one
        key instead of B, or nothing to start from.
    """
    stretches, count = _stretches(prompts, vectors)
    if num_tokens % count:
        raise ValueError(f"{count} prompts cannot share {num_tokens} tokens evenly.")
    if count > 1 or known is None:
        prefill = 0
    model = Model(net, params, class_ids, rows)
    prefix, first = model.prefix(jax.tree.map(lambda x: x[0], stretches))
    length = cache_length(jax.eval_shape(model.cache_of, prefix))
    net.check_length(first, num_tokens)
    num_conditions = len(jax.tree.leaves(prefix)[0])
    _check_keys(keys, num_conditions if rows is None else len(rows))
    places = jnp.arange(prefill, num_tokens).reshape(count, -1)
    other = None
    if guidance:
        scales = _scales(guidance, guidance_schedule, guidance_start, guidance_stop, num_tokens)
        source = dataclasses.replace(model, params=params if without is None else without)
        alike = without is None, first, length
        other = _unconditional(source, places, alike, scales)
    sequences = len(keys) * (2 if other and other.paired else 1)
    model = model.for_steps(sequences)
    if other and not other.paired:
        alone = model if without is None else other.model.for_steps(sequences)
        other = dataclasses.replace(other, model=alone)
    draw = functools.partial(_draw, temperature=temperature, top_k=top_k, top_p=top_p)
    steps = Steps(model, keys, num_conditions, first, length, draw, other, count)
    done = known[:, :prefill] if known is not None and prefill else None
    carry = steps.begin(prefix, num_tokens, done)
    kept = None if known is None else known.T[prefill:].reshape(*places.shape, -1)
    inputs = stretches, places, other and other.of_places, kept
    _, drawn = jax.lax.scan(steps.stretch, carry, inputs)
    tokens = drawn.reshape(num_tokens - prefill, -1).T.astype(jnp.int32)
    return tokens if done is None else jnp.concatenate([done, tokens], axis=1)


def _unconditional(
    model: Model, places: jax.Array, alike: tuple[bool, int, int], scales: jax.Array
) -> Unconditional:
    """Returns the sequence without a condition.

    It is decoded in the batch of the images if it is `alike`: if they have the same parameters, the
    same position of z_0 and as many positions before it.
    """
    prefix, first_alone = model.call("unconditional_prefix")
    of_places = jax.vmap(functools.partial(model.call, "of_places", prefix))(places)
    cache, x = model.cache_of(prefix), model.call("first_input", prefix)
    paired = (True, first_alone, cache_length(cache)) == alike
    return Unconditional(model, prefix, first_alone, cache, x, of_places, paired, scales)


def _draw(
    keys: jax.Array, logits: jax.Array, *, temperature: float, top_k: int, top_p: float
) -> jax.Array:
    """Draws a token from each row of logits (B, K); the likeliest at a temperature of 0."""
    if temperature == 0:
        return jnp.argmax(logits, axis=-1)
    allowed = filter_logits(logits, temperature, top_k, top_p)
    return jax.vmap(jax.random.categorical)(keys, allowed)


def _stretches(
    prompts: jax.Array | None, vectors: jax.Array | None
) -> tuple[dict[str, jax.Array], int]:
    """Returns what conditions stretches of tokens, {name: (T, P, ...)}, and T."""
    given = {"prompts": (prompts, 3), "vectors": (vectors, 2)}
    staged = {
        name: x[None] if x.ndim == constant else x
        for name, (x, constant) in given.items()
        if x is not None
    }
    count = max((len(x) for x in staged.values()), default=1)
    return {name: jnp.broadcast_to(x, (count, *x.shape[1:])) for name, x in staged.items()}, count


def _scales(
    guidance: float, schedule: str, start: float, stop: float, num_tokens: int
) -> jax.Array:
    """Returns the scale of guidance for each token, (N,)."""
    shares = jnp.array(guidance_shares(num_tokens, schedule, start))
    # Shares such as 7 / 25 are rounded: they must not count a token more.
    end = math.ceil(stop * num_tokens - 1e-6)
    return jnp.where(jnp.arange(num_tokens) < end, guidance * shares, 0.0)


def _check_keys(keys: jax.Array, count: int) -> None:
    is_typed = jnp.issubdtype(keys.dtype, jax.dtypes.prng_key)
    if keys.ndim != (1 if is_typed else 2) or len(keys) != count:
        raise ValueError(
            f"keys of shape {keys.shape} do not fit {count} images: pass one key per image; see "
            "jax.random.split."
        )


@dataclasses.dataclass(frozen=True)
class Autoregressive(Decoder):
    """The decoder of causal transformers."""

    # Divides the logits; 0 is greedy.
    temperature: Annotated[float, Range(0.01, 100, also=0)] = 1.0
    # Number of likeliest tokens to draw from; 0 for all.
    top_k: CountOrZero = 0
    # Draw only from the likeliest tokens that together reach this probability; 1 for all.
    top_p: Share = 1.0
    # Scale of classifier-free guidance, which doubles the work; 0 for none.
    guidance: Guidance = 0.0
    # Share of the tokens that come before guidance sets in.
    guidance_start: ShareBelowOne = 0.0
    # Share of the tokens after which it ends; LlamaGen's cfg_interval c is (c + 2) / N.
    guidance_stop: Share = 1.0
    # How the scale rises over the tokens, see decode/schedules.py.
    guidance_schedule: str = "constant"
    # Whether it leads away from what the source predicts, not the adapted net, see
    # `iterative.Guided`.
    domain_guidance: bool = False

    name = "autoregressive"
    family = "ar"

    def requirements(self) -> Iterable[Requirement]:
        is_later = self.guidance == 0 or self.guidance_start < self.guidance_stop
        yield "guidance_stop", is_later, "above decode.guidance_start"
        yield guidance_requirement(self.guidance_schedule)

    def num_stages(self, net, num_tokens: int) -> int:
        """Returns the number of image rows: the prompt changes at the start of each."""
        return net.shown_grid(num_tokens)[0]

    def decode(self, given: Given) -> tuple[jax.Array, jax.Array]:
        known = None if given.known is None else given.net.to_sequence(given.known)
        tokens = decode(
            cast(CausalTransformer, given.net),
            given.params,
            given.keys,
            given.num_tokens,
            prompts=given.prompts,
            class_ids=given.class_ids,
            rows=given.rows,
            vectors=given.vectors,
            known=known,
            prefill=given.prefill,
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            guidance=self.guidance,
            guidance_start=self.guidance_start,
            guidance_stop=self.guidance_stop,
            guidance_schedule=self.guidance_schedule,
            without=given.without,
        )
        steps = jnp.broadcast_to(jnp.arange(given.num_tokens), tokens.shape)
        if known is not None:
            steps = jnp.where(known == MASK_TOKEN_ID, steps, -1)
        return given.net.to_row_major(tokens), given.net.to_row_major(steps)
