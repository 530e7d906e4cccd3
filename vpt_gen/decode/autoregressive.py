"""Autoregressive (AR) decoding: one token after another, in one `jax.lax.scan`.

Source: Taming Transformers (arXiv 2012.09841), `taming/modules/transformer/mingpt.py`
(`sample_with_past`). Keys and values are kept in a cache of fixed size. Marquee prompts here are
our reading of the paper's idea, see `decode/marquee.py`: the prompt changes at evenly spaced token
positions, where the prefix's part of the cache is replaced; the entries of earlier tokens stay.
"""

import dataclasses
from typing import Annotated, Any, cast

import jax
import jax.numpy as jnp

from vpt_gen.decode.decoder import Decoder, Given
from vpt_gen.decode.filters import filter_logits
from vpt_gen.decode.iterative import Guidance
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
    known: jax.Array | None = None,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    guidance: float = 0.0,
    guidance_start: float = 0.0,
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
      known: (B, N) in the order of the sequence, tokens that stay, and `MASK_TOKEN_ID` where one is
        drawn; or None. A drawn token sees only those before it.
      temperature: divides the logits; 0 takes the likeliest token.
      top_k: only the k likeliest tokens; 0 for all.
      top_p: only the likeliest tokens that together reach this probability.
      guidance: scale of classifier-free guidance, which doubles the work; see `iterative.Guided`.
      guidance_start: share of the tokens that come before guidance sets in.

    Raises:
      ValueError: T does not divide N, N tokens do not fit into the net's positions, there is one
        key instead of B, or nothing to start from.
    """
    if prompts is None or prompts.ndim == 3:
        stretches = None if prompts is None else prompts[None]
    else:
        stretches = prompts
    count = 1 if stretches is None else stretches.shape[0]
    if num_tokens % count:
        raise ValueError(f"{count} prompts cannot share {num_tokens} tokens evenly.")
    variables = {"params": params}

    def prefix_of(prompts_t):
        return net.apply(variables, prompts_t, class_ids, method="prefix")

    def of_images(x, axis=0):
        return x if rows is None else jnp.take(x, rows, axis=axis)

    def draw(keys, logits):
        if temperature == 0:
            return jnp.argmax(logits, axis=-1)
        allowed = filter_logits(logits, temperature, top_k, top_p)
        return jax.vmap(jax.random.categorical)(keys, allowed)

    prefix, first = prefix_of(None if stretches is None else stretches[0])
    length = prefix.shape[1]
    net.check_length(first, num_tokens)
    _check_keys(keys, len(prefix) if rows is None else len(rows))

    def guided(logits, without, n):
        """The sequence without a condition goes along, with its own inputs and cache."""
        x, cache = without
        alone, cache = net.apply(variables, x, cache, n, method="run")
        scale = jnp.where(n >= guidance_start * num_tokens, guidance, 0.0)
        return logits + scale * (logits - alone), cache

    def step(carry, inputs):
        n, kept = inputs
        x, cache, without = carry
        logits, cache = net.apply(variables, x, cache, length - 1 + n, method="run")
        if guidance:
            logits, other_cache = guided(logits, without, n)
        token = draw(jax.vmap(jax.random.fold_in, (0, None))(keys, n), logits[:, 0])
        if kept is not None:
            token = jnp.where(kept == MASK_TOKEN_ID, token, kept)
        x = net.apply(variables, token[:, None], first + n, method="embed")
        if guidance:
            without = net.apply(variables, token[:, None], 1 + n, method="embed"), other_cache
        return (x, cache, without), token

    def stretch(carry, inputs):
        x, cache, without = carry
        prompts_t, *steps = inputs
        _, fresh = net.apply(variables, prefix_of(prompts_t)[0], method="hidden_states")
        # Axis -4 is the batch; if layers are stacked, their axis comes before it.
        cache = jax.tree.map(
            lambda old, new: old.at[..., :length, :].set(of_images(new, -4)), cache, fresh
        )
        carry = x, _without_batch(cache), without
        (x, cache, without), tokens = jax.lax.scan(step, carry, steps)
        return (x, _with_batch(cache), without), tokens

    def empty_cache(length):
        return net.apply(variables, len(keys), length, method="empty_cache")

    without = None
    if guidance:
        nothing = net.apply(variables, method="unconditional_prefix")
        nothing = jnp.broadcast_to(nothing, (len(keys), *nothing.shape[1:]))
        without = nothing, _without_batch(empty_cache(num_tokens))
    positions = jnp.arange(num_tokens).reshape(count, -1)
    # The last prefix token is run again as the first input, so that all tokens share one step.
    carry = of_images(prefix[:, -1:]), empty_cache(length + num_tokens - 1), without
    kept = None if known is None else known.T.reshape(*positions.shape, -1)
    _, tokens = jax.lax.scan(stretch, carry, (stretches, positions, kept))
    return tokens.reshape(num_tokens, -1).T.astype(jnp.int32)


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

    name = "autoregressive"
    family = "ar"

    def num_stages(self, net, num_tokens: int) -> int:
        """Returns the number of image rows: the prompt changes at the start of each."""
        return net.grid(num_tokens)[0]

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
            known=known,
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            guidance=self.guidance,
            guidance_start=self.guidance_start,
        )
        steps = jnp.broadcast_to(jnp.arange(given.num_tokens), tokens.shape)
        if known is not None:
            steps = jnp.where(known == MASK_TOKEN_ID, steps, -1)
        return given.net.to_row_major(tokens), given.net.to_row_major(steps)
