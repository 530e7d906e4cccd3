"""Method: trains only a class token for each new class; the transformer is frozen.

The other methods with class tokens train the same table in addition to their own parameters.
"""

import dataclasses

import jax

from vpt_gen.methods.method import Method
from vpt_gen.methods.record import Target, TransformerMethod
from vpt_gen.nets.transformer import TokenTransformer
from vpt_gen.training.state import Params


def class_tokens(net: TokenTransformer, source: Params, num_classes: int) -> Params:
    """Returns new class tokens, initialized from the source's (`class_starts` of the net)."""
    return {"class_embeddings": {"embedding": net.class_starts(source, num_classes)}}


def make_method(net: TokenTransformer, num_classes: int) -> Method:
    """Trains C * D parameters."""

    def init(key: jax.Array, source: Params) -> Params:
        del key  # Nothing is random.
        return class_tokens(net, source, num_classes)

    return Method(init, num_classes)


@dataclasses.dataclass(frozen=True)
class ClassEmbedding(TransformerMethod):
    """`config.task = "class_embedding"`."""

    name = "class_embedding"
    group = "class_embedding"
    learning_rate = 1e-3
    demo_learning_rate = 3e-2

    def sentence(self, what: str) -> str:
        return f"A class token for each class, trained on a frozen {what} transformer"

    def adapt(self, target: Target) -> Method:
        return make_method(target.net, target.num_classes)
