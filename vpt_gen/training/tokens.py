"""The visual tokens of a batch: read from the token cache, or made from its images on the spot."""

import jax

from vpt_gen.nets.vqgan import VQGAN
from vpt_gen.training.state import Batch, Params


def visual_tokens(tokenizer: VQGAN, params: Params, batch: Batch) -> jax.Array:
    """Tokens (B, N) int32 from `batch["tokens"]`, or else from `batch["image"]`."""
    if "tokens" in batch:
        return batch["tokens"].astype("int32")
    tokens = tokenizer.apply({"params": params}, batch["image"], method="tokenize")
    return tokens.reshape(tokens.shape[0], -1)
