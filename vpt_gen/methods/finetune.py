"""Method: trains the whole transformer from its pretrained parameters, with its dropout."""

import dataclasses

import jax
import jax.numpy as jnp

from vpt_gen.methods.class_embedding import class_tokens
from vpt_gen.methods.method import Method
from vpt_gen.methods.record import Target, TransformerMethod
from vpt_gen.nets.precision import cast_matrices
from vpt_gen.nets.transformer import TokenTransformer
from vpt_gen.training.state import Params


def make_method(net: TokenTransformer, num_classes: int, dtype: str) -> Method:
    """Trains every parameter, and class tokens.

    Args:
      net: the transformer.
      num_classes: C.
      dtype: of the matrices in products; they are stored and updated in float32.
    """

    def init(key: jax.Array, source: Params) -> Params:
        del key  # Nothing is random.
        return cast_matrices(source, jnp.float32) | class_tokens(net, source, num_classes)

    return Method(
        init,
        num_classes,
        params=lambda _, trained: cast_matrices(trained, dtype),
        whole=Finetune.whole,
    )


@dataclasses.dataclass(frozen=True)
class Finetune(TransformerMethod):
    """`config.task = "finetune"`."""

    name = "finetune"
    group = "finetune"
    changes_source = True
    whole = True
    learning_rate = 1e-4
    demo_learning_rate = 1e-3

    def sentence(self, what: str) -> str:
        return f"All of a {what} transformer and a class token for each class, fine-tuned"

    def adapt(self, target: Target) -> Method:
        return make_method(target.net, target.num_classes, target.dtype)
