"""Method: trains the same transformer from new parameters, to measure the value of pretraining."""

import dataclasses

import jax
import jax.numpy as jnp

from vpt_gen.methods import finetune
from vpt_gen.methods.class_embedding import class_tokens
from vpt_gen.methods.method import Method
from vpt_gen.methods.record import Target
from vpt_gen.nets.stack import STACKED, stack_layers
from vpt_gen.nets.transformer import TokenTransformer
from vpt_gen.training.state import Params


def make_method(net: TokenTransformer, num_classes: int, num_tokens: int, dtype: str) -> Method:
    """Trains what `finetune` trains, but initializes it as pretraining does.

    Args:
      net: the transformer.
      num_classes: C.
      num_tokens: N.
      dtype: of the matrices in products; they are stored and updated in float32.
    """

    def init(key: jax.Array, source: Params) -> Params:
        tokens = jnp.zeros((1, num_tokens), jnp.int32)
        params = net.init(key, tokens, class_ids=tokens[:, 0])["params"]
        tokens_of_classes = class_tokens(net, params, num_classes)
        if STACKED in source:
            params = stack_layers(params, net.layer_prefix)
        return params | tokens_of_classes

    return dataclasses.replace(finetune.make_method(net, num_classes, dtype), init=init)


@dataclasses.dataclass(frozen=True)
class Scratch(finetune.Finetune):
    """`config.task = "scratch"`."""

    name = "scratch"
    group = "scratch"
    changes_source = False
    learning_rate = 1e-4
    demo_learning_rate = 3e-3

    def sentence(self, what: str) -> str:
        return f"A {what} transformer, trained from scratch"

    def adapt(self, target: Target) -> Method:
        return make_method(target.net, target.num_classes, target.num_tokens, target.dtype)
