"""Autoregressive (AR) decoding: one token after another, in one `jax.lax.scan`.

Source: Taming Transformers (arXiv 2012.09841), `taming/modules/transformer/mingpt.py`
(`sample_with_past`). Keys and values are kept in a cache of fixed size. Marquee prompts here are
our reading of the paper's idea, see `decode/marquee.py`: the prompt changes at evenly spaced token
positions, where the prefix's part of the cache is replaced; the entries of earlier tokens stay.
"""

import dataclasses
import math
from collections.abc import Iterable
from typing import Annotated, Any, cast

import jax
import jax.numpy as jnp

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
    variables = {"params": params}
    of_nothing = variables if without is None else {"params": without}

    def prefix_of(staged):
        return net.apply(variables, class_ids=class_ids, **staged, method="prefix")

    def of_places(prefix, positions, variables=variables):
        return net.apply(variables, prefix, positions, method="of_places")

    def embed(tokens, position, of_place, variables=variables):
        x = net.apply(variables, tokens[:, None], position, method="embed")
        return net.conditioned(x, of_place)

    def prefix_cache(prefix, variables=variables):
        return net.apply(variables, prefix, method="hidden_states")[1]

    def first_input(prefix, variables=variables):
        return net.apply(variables, prefix, method="first_input")

    def of_images(tree, axis=0):
        if rows is None:
            return tree
        return jax.tree.map(lambda x: jnp.take(x, rows, axis=axis), tree)

    def at_images(of_place):
        """What a place has per image, from what it has per condition, or for all of them."""
        alike = jax.tree.map(
            lambda x: jnp.broadcast_to(x, (num_conditions, *x.shape[1:])), of_place
        )
        return of_images(alike)

    def draw(keys, logits):
        if temperature == 0:
            return jnp.argmax(logits, axis=-1)
        allowed = filter_logits(logits, temperature, top_k, top_p)
        return jax.vmap(jax.random.categorical)(keys, allowed)

    prefix, first = prefix_of(jax.tree.map(lambda x: x[0], stretches))
    num_conditions = len(jax.tree.leaves(prefix)[0])
    length = _length(jax.eval_shape(prefix_cache, prefix))
    net.check_length(first, num_tokens)
    _check_keys(keys, num_conditions if rows is None else len(rows))

    # Without their condition, images are decoded in the same batch if their cache is as long and
    # their net is the same, and otherwise next to it.
    is_paired, nothing, fresh_of_nothing = False, None, None
    places = jnp.arange(num_tokens).reshape(count, -1)
    places_of_nothing = None
    if guidance:
        nothing, first_after_nothing = net.apply(of_nothing, method="unconditional_prefix")
        places_of_nothing = jax.vmap(lambda of: of_places(nothing, of, of_nothing))(places)
        fresh_of_nothing = prefix_cache(nothing, of_nothing)
        nothing = first_input(nothing, of_nothing)
        is_alike = (first_after_nothing, _length(fresh_of_nothing)) == (first, length)
        is_paired = is_alike and without is None
    scales = _scales(guidance, guidance_schedule, guidance_start, guidance_stop, num_tokens)

    def paired(tree, others, axis=0):
        return _in_pairs(tree, others, axis) if is_paired else tree

    def guide(logits, alone, n):
        return logits + scales[n] * (logits - alone)

    def step(carry, inputs):
        x, cache, without = carry
        n, of_place, place_of_nothing, kept = inputs
        logits, cache = net.apply(variables, x, cache, length - 1 + n, method="run")
        if is_paired:
            logits = guide(logits[::2], logits[1::2], n)
        elif guidance:
            x, other_cache = without
            place = _length(fresh_of_nothing) - 1 + n
            alone, other_cache = net.apply(of_nothing, x, other_cache, place, method="run")
            logits = guide(logits, alone, n)
        token = draw(jax.vmap(jax.random.fold_in, (0, None))(keys, n), logits[:, 0])
        if kept is not None:
            token = jnp.where(kept == MASK_TOKEN_ID, token, kept)
        given = jnp.repeat(token, 2) if is_paired else token
        x = embed(given, first + n, paired(at_images(of_place), place_of_nothing))
        if without is not None:
            own = embed(token, first_after_nothing + n, place_of_nothing, of_nothing)
            without = own, other_cache
        return (x, cache, without), token

    def stretch(carry, inputs):
        x, cache, without = carry
        staged, positions, places_of_nothing, kept = inputs
        prefix, _ = prefix_of(staged)
        fresh = of_images(prefix_cache(prefix), _BATCH)
        fresh = paired(fresh, fresh_of_nothing, _BATCH)
        carry = x, _without_batch(begun(cache, fresh)), without
        steps = positions, of_places(prefix, positions), places_of_nothing, kept
        (x, cache, without), tokens = jax.lax.scan(step, carry, steps)
        return (x, _with_batch(cache), without), tokens

    def begun(cache, fresh):
        """The cache with another prefix; a new one has as many positions."""
        places = _length(fresh)
        return jax.tree.map(lambda old, new: old.at[..., :places, :].set(new), cache, fresh)

    def empty_cache(batch, length):
        return net.apply(variables, batch, length, method="empty_cache")

    without = None
    if guidance and not is_paired:
        alike = jax.tree.map(lambda x: jnp.repeat(x, len(keys), axis=0), nothing)
        length_of_nothing = _length(fresh_of_nothing) + num_tokens - 1
        cache = begun(empty_cache(len(keys), length_of_nothing), fresh_of_nothing)
        without = alike, _without_batch(cache)
    # The last prefix token is run again as the first input, so that all tokens share one step.
    x = paired(of_images(first_input(prefix)), nothing)
    batch = len(keys) * (2 if is_paired else 1)
    carry = x, empty_cache(batch, length + num_tokens - 1), without
    kept = None if known is None else known.T.reshape(*places.shape, -1)
    _, tokens = jax.lax.scan(stretch, carry, (stretches, places, places_of_nothing, kept))
    return tokens.reshape(num_tokens, -1).T.astype(jnp.int32)


# Of a cache's arrays; if layers are stacked, their axis comes before it.
_BATCH = -4


def _length(cache: Any) -> int:
    """Counts the positions of a cache, or of its shapes."""
    return jax.tree.leaves(cache)[0].shape[-2]


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
    first, end = _guided(start, stop, num_tokens)
    shares = jnp.array(guidance_shares(num_tokens, schedule))
    n = jnp.arange(num_tokens)
    return jnp.where((n >= first) & (n < end), guidance * shares, 0.0)


def _guided(start: float, stop: float, num_tokens: int) -> tuple[int, int]:
    """Returns the first token with guidance, and the first one after it that has none again."""
    # Shares such as 7 / 25 are rounded: they must not count a token more.
    return math.ceil(start * num_tokens), math.ceil(stop * num_tokens - 1e-6)


def _in_pairs(tree: Any, others: Any, axis: int) -> Any:
    """Puts the corresponding one of the others behind each of a batch.

    Devices that share the batch have both of a pair.
    """

    def pair(x: jax.Array, other: jax.Array) -> jax.Array:
        place = axis % x.ndim
        both = jnp.stack([x, jnp.broadcast_to(other, x.shape)], axis=place + 1)
        return both.reshape(*x.shape[:place], -1, *x.shape[place + 1 :])

    return jax.tree.map(pair, tree, others)


def _without_batch(cache: Any) -> Any:
    """Drops a batch axis of 1: XLA on a CPU copies a (1, H, L, E) four times per token."""
    single = isinstance(cache, list) and len(cache[0].keys) == 1
    return jax.tree.map(lambda x: x[0], cache) if single else cache


def _with_batch(cache: Any) -> Any:
    """The inverse of `_without_batch`."""
    single = isinstance(cache, list) and cache[0].keys.ndim == 3
    return jax.tree.map(lambda x: x[None], cache) if single else cache


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
