"""Method: only a new class token for each new class is learned; the transformer is frozen.

The other methods that leave the class to a class token train the same table beside their own.
"""

import jax
import jax.numpy as jnp

from vpt_gen.methods.method import Method
from vpt_gen.nets.gpt import GPT
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.training.state import Params


def class_tokens(net: MaskGIT | GPT, source: Params, num_classes: int) -> Params:
    """The table of new class tokens: class c starts as the source's class c, counted round.

    A GPT has no rows of its own for classes: class c is there what visual token c is. A MaskGIT
    that knows no classes starts each as the masked one.
    """
    numbers = jnp.arange(num_classes)
    if isinstance(net, GPT):
        table, rows = source["token_embeddings"], numbers % net.codebook_size
    else:
        table = source["Embed_0"]["word_embeddings"]
        rows = net.codebook_size + numbers % max(net.num_classes, 1)
    rows = table["embedding"][rows]
    return {"class_embeddings": {"embedding": rows.astype(jnp.float32)}}


def make_method(net: MaskGIT | GPT, num_classes: int) -> Method:
    """Trains C * D parameters."""

    def init(key: jax.Array, source: Params) -> Params:
        del key  # Nothing is drawn.
        return class_tokens(net, source, num_classes)

    return Method(init, num_classes)
