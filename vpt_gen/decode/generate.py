"""Generation of a batch in which every image has a key of its own.

Image i depends on its key and condition alone, not on its neighbours or the batch size.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from vpt_gen.decode import (
    approximate,
    autoregressive,
    halton,
    parallel,
)
from vpt_gen.nets.maskgit import MASK_TOKEN_ID, MaskGIT
from vpt_gen.nets.transformer import TokenTransformer

# Of MaskGIT: as released, in the Halton order, and the two ways to approximate that.
PARALLEL_DECODERS = ("confidence", "halton", *approximate.RECOMPUTE)


def generate(
    net: TokenTransformer,
    params: Any,
    keys: jax.Array,
    num_tokens: int,
    *,
    prompts: jax.Array | None = None,
    class_ids: jax.Array | None = None,
    rows: jax.Array | None = None,
    **options: Any,
) -> tuple[jax.Array, jax.Array]:
    """Draws all visual tokens, in parallel or one by one, as the net does.

    Images may share their conditions: what hangs on a condition alone (of MaskGIT the first
    iteration, in which nothing is known; of a GPT the prefix) is then computed once for each.

    Args:
      net: a transformer.
      params: its parameters.
      keys: (B,), one an image.
      num_tokens: N.
      prompts: (T, P, S, D), the prompt of each of T stages: of iterations (NAR), of equal
        stretches of tokens (AR), or of all decoding where T is 1. Or None.
      class_ids: (P,), the pretrained conditions, or None.
      rows: (B,) in [0, P), the condition of every image; None: P is B, and image i has the i-th.
      options: of `autoregressive.decode`; or `decoder`, one of `PARALLEL_DECODERS`, and those of
        `parallel.decode` ('confidence', the default), `halton.decode` or `approximate.decode`. What
        belongs to another decoder of MaskGIT is passed over. `guidance`, of the first two, is how
        far logits go from those without the condition beyond those with it; 0: no farther.

    Returns:
      Visual tokens (B, N), row-major, and for each the iteration (NAR) or the step (AR) that fixed
      it (B, N).

    Raises:
      ValueError: guidance of a decoder that knows none.
    """
    if net.family == "ar":
        tokens = autoregressive.decode(
            net,
            params,
            keys,
            num_tokens,
            prompts=prompts,
            class_ids=class_ids,
            rows=rows,
            **options,
        )
        steps = jnp.broadcast_to(jnp.arange(num_tokens), tokens.shape)
        return net.to_row_major(tokens), net.to_row_major(steps)
    decoder, guidance = options.pop("decoder", "confidence"), options.pop("guidance", 0.0)
    approximate_options = {"refresh_every": options.pop("refresh_every", 0), "recompute": decoder}
    logits_of = _guided(net, params, guidance)
    conditions = keys, num_tokens, prompts, class_ids, rows
    if decoder == "confidence":
        return _by_confidence(net, logits_of, *conditions, options)
    options.pop("choice_temperature", None)
    if decoder == "halton":
        return _in_halton_order(net, logits_of, *conditions, options)
    if guidance:
        raise ValueError(f"The decoder {decoder!r} knows no guidance.")
    return approximate.decode(
        net,
        params,
        keys,
        num_tokens,
        prompts=prompts,
        class_ids=class_ids,
        rows=rows,
        **approximate_options,
        **options,
    )


def num_stages(net: TokenTransformer, num_tokens: int, options: dict[str, Any]) -> int:
    """T of a marquee: decoding iterations (NAR), or rows of the square image (AR)."""
    return net.grid(num_tokens)[0] if net.family == "ar" else options["num_iterations"]


def _guided(net: MaskGIT, params: Any, guidance: float) -> Callable[..., jax.Array]:
    """(ids (B, N + 1), prompts (B, S, D) or None) -> logits (B, N + 1, K).

    Classifier-free guidance (arXiv 2207.12598); without a condition position 0 is masked, as in
    pretraining with `class_dropout`.
    """

    def visual_logits(*args):
        return net.apply({"params": params}, *args, method="visual_logits")

    def logits_of(ids, prompts):
        logits = visual_logits(ids, prompts)
        if not guidance:
            return logits
        without = visual_logits(ids.at[:, 0].set(MASK_TOKEN_ID))
        return logits + guidance * (logits - without)

    return logits_of


def _by_confidence(net, logits_of, keys, num_tokens, prompts, class_ids, rows, options):
    count = len(keys) if rows is None else len(class_ids if prompts is None else prompts[0])
    # Position 0 is the class token, or unknown where prompts condition the model.
    ids = jnp.full((count, num_tokens + 1), MASK_TOKEN_ID, jnp.int32)
    if class_ids is not None:
        ids = ids.at[:, 0].set(net.codebook_size + class_ids)
    first = None
    if rows is None:
        rows = jnp.arange(count)
    else:
        first = logits_of(ids, None if prompts is None else prompts[0])
    constant = None
    if prompts is not None and len(prompts) == 1:
        constant, prompts = prompts[0], None

    def one(key, row):
        def logits_fn(ids, prompts_t):
            prompts_t = constant if prompts_t is None else prompts_t
            return logits_of(ids, None if prompts_t is None else prompts_t[row][None])

        first_of_image = None if first is None else first[row][None]
        tokens, revealed_at = parallel.decode(
            key, ids[row][None], logits_fn, prompts, first_of_image, **options
        )
        return tokens[0, 1:], revealed_at[0, 1:]

    return jax.vmap(one)(keys, rows)


def _in_halton_order(net, logits_of, keys, num_tokens, prompts, class_ids, rows, options):
    def visual_logits(tokens, prompts_t, class_ids):
        return logits_of(net.ids(tokens, class_ids), prompts_t)[:, 1:]

    def of_images(x):
        return x if x is None or rows is None else x[rows]

    def logits_fn(tokens, prompts_t):
        prompts_t = constant if prompts_t is None else prompts_t
        return visual_logits(tokens, of_images(prompts_t), of_images(class_ids))

    constant = None
    if prompts is not None and len(prompts) == 1:
        constant, prompts = prompts[0], None
    first_prompts = constant if prompts is None else prompts[0]
    conditions = class_ids if first_prompts is None else first_prompts
    nothing = jnp.full((len(conditions), num_tokens), MASK_TOKEN_ID, jnp.int32)
    first = of_images(visual_logits(nothing, first_prompts, class_ids))
    unknown = jnp.full((len(keys), num_tokens), MASK_TOKEN_ID, jnp.int32)
    width = int(num_tokens**0.5)
    return halton.decode(keys, unknown, logits_fn, prompts, first, width=width, **options)


def tokens_to_images(
    net: nn.Module, params: Any, tokens: jax.Array, batch_size: int | None = None
) -> jax.Array:
    """Visual tokens (B, N) of square images -> images (B, H, W, 3), clipped to [0, 1].

    Args:
      net: a tokenizer.
      params: its parameters.
      tokens: row-major.
      batch_size: images at a time, which bounds the memory; None for all at once.
    """
    side = int(tokens.shape[-1] ** 0.5)

    def detokenize(tokens):
        grid = tokens.reshape(-1, side, side)
        return jnp.clip(net.apply({"params": params}, grid, method="detokenize"), 0.0, 1.0)

    if batch_size is None:
        return detokenize(tokens)
    return jax.lax.map(lambda x: detokenize(x)[0], tokens, batch_size=batch_size)
