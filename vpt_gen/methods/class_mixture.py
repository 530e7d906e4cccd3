"""Method: each new class's token is a mixture of the source's; the transformer is frozen.

Like Textual Inversion (arXiv 2208.01618), it trains the condition alone; but a softmax weights the
source's own class tokens, so that a new class stays in their convex hull, of which the source knows
the corners. All weights are equal at first: every class starts as the mean of all.
"""

import dataclasses

import jax
import jax.numpy as jnp

from vpt_gen.errors import UserError
from vpt_gen.methods.method import Method
from vpt_gen.methods.record import Target, TransformerMethod
from vpt_gen.nets.additions import CLASS_EMBEDDINGS, merge
from vpt_gen.nets.transformer import TokenTransformer
from vpt_gen.training.state import Params


def make_method(net: TokenTransformer, num_classes: int, num_source_classes: int) -> Method:
    """Trains C K logits of weights.

    Args:
      net: the transformer.
      num_classes: C.
      num_source_classes: K, whose class tokens are mixed.
    """

    def init(key: jax.Array, source: Params) -> Params:
        del key, source  # Nothing is random.
        return {CLASS_EMBEDDINGS: {"logits": jnp.zeros((num_classes, num_source_classes))}}

    def mixed(frozen: Params, trained: Params) -> Params:
        weights = jax.nn.softmax(trained[CLASS_EMBEDDINGS]["logits"])
        tokens = weights @ net.class_starts(frozen, num_source_classes)
        return merge(frozen, {CLASS_EMBEDDINGS: {"embedding": tokens}})

    return Method(init, num_classes, mixed)


@dataclasses.dataclass(frozen=True)
class ClassMixture(TransformerMethod):
    """`config.task = "class_mixture"`."""

    name = "class_mixture"
    group = "class_mixture"
    learning_rate = 1e-1
    demo_learning_rate = 1e-1

    def sentence(self, what: str) -> str:
        return (
            f"For each class, weights of the source's classes, trained on a frozen {what} "
            "transformer"
        )

    def adapt(self, target: Target) -> Method:
        known = target.net.known_classes
        if not known:
            raise UserError(
                "config.task is 'class_mixture', which mixes the class tokens of the source, but "
                f"this {target.net.title} does not record any class of its own: use "
                "'class_embedding'."
            )
        return make_method(target.net, target.num_classes, known)
