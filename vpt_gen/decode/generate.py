"""Generation of a batch in which every image has a key of its own.

Image i depends on its key and condition alone, not on its neighbours or the batch size.
"""

from typing import Any

import jax
import jax.numpy as jnp

from vpt_gen.decode import parallel
from vpt_gen.nets.maskgit import MASK_TOKEN_ID, MaskGIT
from vpt_gen.nets.vqgan import VQGAN


def unknown_ids(net: MaskGIT, class_ids: jax.Array | None, batch_size: int) -> jax.Array:
    """Ids (B, N + 1) with every visual token unknown.

    Position 0 holds the class tokens of `class_ids` (B,), or is unknown where that is None:
    prompts condition the model then.
    """
    ids = jnp.full((batch_size, net.num_tokens + 1), MASK_TOKEN_ID, jnp.int32)
    return ids if class_ids is None else ids.at[:, 0].set(net.codebook_size + class_ids)


def generate_tokens(
    net: MaskGIT,
    params: Any,
    keys: jax.Array,
    ids: jax.Array,
    prompts: jax.Array | None = None,
    **options: Any,
) -> tuple[jax.Array, jax.Array]:
    """Decodes ids (B, N + 1) with keys (B,) and prompts (T, B, S, D) or None.

    `options` are those of `parallel.decode`.

    Returns:
      Visual tokens (B, N), and for each the iteration that fixed it (B, N), -1 if given.
    """

    def logits_fn(ids, prompts_t):
        return net.apply({"params": params}, ids, prompts_t, method="visual_logits")

    def one(key, ids, prompts):
        prompts = None if prompts is None else prompts[:, None]
        tokens, revealed_at = parallel.decode(key, ids[None], logits_fn, prompts, **options)
        return tokens[0, 1:], revealed_at[0, 1:]

    return jax.vmap(one, in_axes=(0, 0, None if prompts is None else 1))(keys, ids, prompts)


def tokens_to_images(net: VQGAN, params: Any, tokens: jax.Array) -> jax.Array:
    """Visual tokens (B, N) of square images -> images (B, H, W, 3), clipped to [0, 1]."""
    side = int(tokens.shape[-1] ** 0.5)
    grid = tokens.reshape(-1, side, side)
    return jnp.clip(net.apply({"params": params}, grid, method="decode_tokens"), 0.0, 1.0)
