"""The visual tokens of a batch: from the token cache, or made from its images in the step."""

from typing import Any

import jax

from vpt_gen.nets.vqgan import Tokenizer
from vpt_gen.training.state import Batch, Params


def visual_tokens(tokenizer: Tokenizer, params: Params, batch: Batch) -> jax.Array:
    """Returns tokens (B, N) int32 from `batch["tokens"]`, or else from `batch["image"]`."""
    if "tokens" in batch:
        return batch["tokens"].astype("int32")
    tokens: Any = tokenizer.apply({"params": params}, batch["image"], method="tokenize")
    return tokens.reshape(tokens.shape[0], -1)
