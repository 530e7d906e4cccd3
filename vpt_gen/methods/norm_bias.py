"""Method: all norms' scales and all biases of the transformer are trained, its matrices frozen.

BitFit (arXiv 2106.10199) trains the biases, among them those of the norms; the norms' scales come
with them here.
"""

import jax
from flax import traverse_util

from vpt_gen.methods.class_embedding import class_tokens
from vpt_gen.methods.method import Method
from vpt_gen.nets.transformer import TokenTransformer
from vpt_gen.training.state import Params


def norms_and_biases(source: Params) -> Params:
    """The part of a transformer's parameters that is trained."""
    flat = traverse_util.flatten_dict(source)
    return traverse_util.unflatten_dict(
        {path: x for path, x in flat.items() if path[-1] in ("scale", "bias")}
    )


def make_method(net: TokenTransformer, num_classes: int) -> Method:
    """Trains the transformer's norms and biases, and class tokens."""

    def init(key: jax.Array, source: Params) -> Params:
        del key  # Nothing is drawn.
        return norms_and_biases(source) | class_tokens(net, source, num_classes)

    return Method(init, num_classes)
