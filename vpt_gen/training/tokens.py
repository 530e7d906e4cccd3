"""The visual tokens of a batch: from the token cache, or made from its images in the step."""

from typing import Any

import jax
import jax.numpy as jnp

from vpt_gen.nets.vqgan import Tokenizer
from vpt_gen.training.parts import Part, scan_convolutions
from vpt_gen.training.state import Batch, Params


def visual_tokens(
    tokenizer: Tokenizer, params: Params, batch: Batch, accumulate: int = 1
) -> jax.Array:
    """Returns tokens (B, N) int32 from `batch["tokens"]`, or else from `batch["image"]`.

    Args:
      tokenizer: net that makes the tokens.
      params: its parameters.
      batch: of examples.
      accumulate: parts of the batch, whose images are tokenized one after another.
    """
    if "tokens" in batch:
        return batch["tokens"].astype("int32")
    images = batch["image"]

    def tokenize(images: jax.Array) -> jax.Array:
        tokens: Any = tokenizer.apply({"params": params}, images, method="tokenize")
        return tokens.reshape(tokens.shape[0], -1)

    if accumulate == 1:
        return tokenize(images)

    def add(_, number: jax.Array):
        return None, tokenize(Part(accumulate, number).rows(images))

    _, tokens = scan_convolutions(add, None, jnp.arange(accumulate))
    return tokens.swapaxes(0, 1).reshape(len(images), -1)  # in the order of the images
