"""Method: trains the scales and biases of all norms of the transformer, and nothing else of it.

Implementing Adaptations for Vision AutoRegressive Model (arXiv 2507.11441) tunes the adaptive norms
of a VAR, which have no parameters but the matrix that modulates them. Here, as in LN-tuning of
other transformers, a norm is its own scale and bias; what modulates it is frozen.
"""

import dataclasses

from flax import traverse_util

from vpt_gen.methods import norm_bias
from vpt_gen.methods.method import Method
from vpt_gen.methods.record import Target, TransformerMethod
from vpt_gen.training.state import Params


def norms(source: Params) -> Params:
    """Selects the norms' parameters: scales, and the biases next to them."""
    flat = traverse_util.flatten_dict(source)
    return traverse_util.unflatten_dict(
        {path: x for path, x in flat.items() if (*path[:-1], "scale") in flat}
    )


@dataclasses.dataclass(frozen=True)
class Norms(TransformerMethod):
    """`config.task = "norms"`."""

    name = "norms"
    group = "norms"
    changes_source = True
    learning_rate = 1e-3
    demo_learning_rate = 1e-2

    def sentence(self, what: str) -> str:
        return f"The norms of a {what} transformer and a class token for each class, trained"

    def adapt(self, target: Target) -> Method:
        return norm_bias.make_method(target.net, target.num_classes, norms)
