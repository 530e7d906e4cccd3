"""The visual tokens of a batch: read from the token cache, or made from its images on the spot."""

from typing import Any

import jax

from vpt_gen.nets.vqgan import Tokenizer
from vpt_gen.training.state import Batch, Params


def visual_tokens(tokenizer: Tokenizer, params: Params, batch: Batch) -> jax.Array:
    """Tokens (B, N) int32 from `batch["tokens"]`, or else from `batch["image"]`."""
    if "tokens" in batch:
        return batch["tokens"].astype("int32")
    tokens: Any = tokenizer.apply({"params": params}, batch["image"], method="tokenize")
    return tokens.reshape(tokens.shape[0], -1)
