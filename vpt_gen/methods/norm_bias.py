"""Method: trains all norms' scales and all biases of the transformer; its matrices are frozen.

BitFit (arXiv 2106.10199) trains the biases, including those of the norms; here the norms' scales
are trained too.
"""

import dataclasses
from collections.abc import Callable

import jax
from flax import traverse_util

from vpt_gen.methods.class_embedding import class_tokens
from vpt_gen.methods.method import Method
from vpt_gen.methods.record import Target, TransformerMethod
from vpt_gen.nets.transformer import TokenTransformer
from vpt_gen.training.state import Params


def norms_and_biases(source: Params) -> Params:
    """Selects the trained part of a transformer's parameters."""
    flat = traverse_util.flatten_dict(source)
    return traverse_util.unflatten_dict(
        {path: x for path, x in flat.items() if path[-1] in ("scale", "bias")}
    )


def make_method(
    net: TokenTransformer,
    num_classes: int,
    select: Callable[[Params], Params] = norms_and_biases,
) -> Method:
    """Trains the transformer's norms and biases, and class tokens.

    Args:
      net: the transformer.
      num_classes: C.
      select: the transformer's parameters -> those that are trained.
    """

    def init(key: jax.Array, source: Params) -> Params:
        del key  # Nothing is random.
        return select(source) | class_tokens(net, source, num_classes)

    return Method(init, num_classes)


@dataclasses.dataclass(frozen=True)
class NormBias(TransformerMethod):
    """`config.task = "norm_bias"`."""

    name = "norm_bias"
    group = "norm_bias"
    changes_source = True
    learning_rate = 1e-3
    demo_learning_rate = 1e-2

    def sentence(self, what: str) -> str:
        return (
            f"The norms and biases of a {what} transformer and a class token for each class, "
            "trained"
        )

    def adapt(self, target: Target) -> Method:
        return make_method(target.net, target.num_classes)
