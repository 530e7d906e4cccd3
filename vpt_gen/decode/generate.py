"""Generates a batch in which every image has its own key.

Image i depends only on its key and condition, not on the other images or the batch size.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from vpt_gen.decode.decoder import Decoder, Given
from vpt_gen.decode.decoders import make_decoder, of_net
from vpt_gen.nets.additions import each_with_its_own
from vpt_gen.nets.transformer import TokenTransformer
from vpt_gen.nets.vqgan import Tokenizer


def generate(
    net: TokenTransformer,
    params: Any,
    keys: jax.Array,
    num_tokens: int,
    *,
    prompts: jax.Array | None = None,
    class_ids: jax.Array | None = None,
    rows: jax.Array | None = None,
    vectors: jax.Array | None = None,
    known: jax.Array | None = None,
    num_unknown: int | None = None,
    prefill: int = 0,
    additions: Any = None,
    source: Any = None,
    **options: Any,
) -> tuple[jax.Array, jax.Array]:
    """Draws all visual tokens, in parallel or one by one, depending on the net's family.

    Images may share their conditions. What depends only on a condition is computed once for each:
    the first iteration of masked transformers, in which no token is known, and the prefix of causal
    ones.

    Args:
      net: a transformer.
      params: its parameters.
      keys: (B,), one per image.
      num_tokens: N.
      prompts: (T, P, S, D), the prompt of each of T stages: of iterations (NAR), of equal
        stretches of tokens (AR), or of all decoding if T is 1. Or None.
      class_ids: (P,), the pretrained conditions, or None.
      rows: (B,) in [0, P), the condition of every image; None: P is B, and image i has the i-th.
      vectors: (T, P, D) or (1, P, D), for a net that takes them, see `nets/transformer.py`; or
        None.
      known: (B, N), row-major, tokens that never change, and `MASK_TOKEN_ID` where one is drawn;
        None: all are drawn.
      num_unknown: the most tokens that one of the images lacks, for decoders whose work grows with
        it; None is N.
      prefill: F < N, tokens at the beginning of the net's sequence that no image lacks; a causal
        transformer runs them at once.
      additions: tree of arrays (P, ...), what each of the class ids adds to the parameters, see
        `nets/additions.py`; None for nothing. Without a class, guidance has none.
      source: the net's parameters before they were adapted, which the option `domain_guidance`
        needs; `params` themselves if the net is as it was.
      options: see `decoders.make_decoder`.

    Returns:
      Visual tokens (B, N), row-major, and for each the iteration (NAR) or the step (AR) that fixed
      it (B, N), -1 if it was known.

    Raises:
      ValueError: options that make no decoder, a decoder that does not work with the net, domain
        guidance without a source, or additions with other conditions than class ids.
    """
    decoder = make_decoder(net.family, options)
    if not decoder.works_with(net):
        raise ValueError(
            f"The decoder {decoder.name!r} does not work with a {net.title}; use one of "
            f"{', '.join(of_net(net))}."
        )
    is_domain = getattr(decoder, "domain_guidance", False) and getattr(decoder, "guidance", 0) > 0
    if is_domain and source is None:
        raise ValueError("Domain guidance leads away from the source: give its parameters.")
    given = Given(
        net=net,
        params=params,
        keys=keys,
        num_tokens=num_tokens,
        prompts=prompts,
        class_ids=class_ids,
        rows=rows,
        vectors=vectors,
        known=known,
        num_unknown=num_unknown,
        prefill=prefill,
        # If prompts alone are trained, the net is the source.
        without=source if is_domain and source is not params else None,
    )
    if additions is None:
        return decoder.decode(given)
    return _each_with_its_own_net(decoder, given, additions)


def _each_with_its_own_net(
    decoder: Decoder, given: Given, additions: Any
) -> tuple[jax.Array, jax.Array]:
    """Decodes a batch in which the condition of each image adds something to the parameters."""
    class_ids, params = given.class_ids, given.params
    if class_ids is None or given.prompts is not None or given.vectors is not None:
        raise ValueError("Additions of conditions go with class ids, and with these alone.")
    if given.without is None:
        given = dataclasses.replace(given, without=params)
    if given.rows is not None:
        additions, class_ids = jax.tree.map(lambda x: x[given.rows], (additions, class_ids))

    def decode(params: Any, keys: jax.Array, class_ids: jax.Array, known: jax.Array | None):
        own = dataclasses.replace(
            given, params=params, keys=keys, class_ids=class_ids, rows=None, known=known
        )
        return decoder.decode(own)

    return each_with_its_own(decode, params, additions, given.keys, class_ids, given.known)


def num_stages(net: TokenTransformer, num_tokens: int, options: dict[str, Any]) -> int:
    """Returns T of a marquee: iterations (NAR), or rows of the image, 1 if it has none (AR)."""
    return make_decoder(net.family, options).num_stages(net, num_tokens)


def tokens_to_images(
    net: Tokenizer, params: Any, tokens: jax.Array, batch_size: int | None = None
) -> jax.Array:
    """Decodes visual tokens (B, N) of square images -> images (B, H, W, 3), clipped to [0, 1].

    Args:
      net: a tokenizer.
      params: its parameters.
      tokens: row-major, if they form a grid.
      batch_size: images at a time, to limit memory; None for all at once.
    """

    def detokenize(tokens):
        images: Any = net.apply({"params": params}, net.arranged(tokens), method="detokenize")
        return jnp.clip(images, 0.0, 1.0)

    if batch_size is None:
        return detokenize(tokens)
    return jax.lax.map(lambda x: detokenize(x)[0], tokens, batch_size=batch_size)
