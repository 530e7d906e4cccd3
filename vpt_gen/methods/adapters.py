"""Method: bottleneck adapters after each layer's attention and MLP, before the residual sum.

Parameter-Efficient Transfer Learning for NLP (arXiv 1902.00751). The second matrix starts at zero,
so that training starts from the unchanged net; the paper draws it with a standard deviation of
0.01. The paper also trains the norms, which is the method `norm_bias` here.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
from flax import traverse_util

from vpt_gen.methods.class_embedding import class_tokens
from vpt_gen.methods.method import Method, each_layer
from vpt_gen.methods.record import Target, TransformerMethod
from vpt_gen.nets.transformer import TokenTransformer
from vpt_gen.ranges import Size
from vpt_gen.training.state import Params


def make_method(net: TokenTransformer, num_classes: int, size: int) -> Method:
    """Trains 2 (2 D size + size + D) parameters per layer, and class tokens.

    Args:
      net: the transformer.
      num_classes: C.
      size: width of the bottlenecks.
    """
    width = net.hidden_size

    def adapter(key: jax.Array) -> Params:
        down = jax.random.normal(key, (width, size)) / math.sqrt(width)
        return {
            "down": {"kernel": down, "bias": jnp.zeros(size)},
            "up": {"kernel": jnp.zeros((size, width)), "bias": jnp.zeros(width)},
        }

    def additions(key: jax.Array, layer: Params) -> Params:
        del layer
        behind_attention, behind_mlp = map(adapter, jax.random.split(key))
        return traverse_util.unflatten_dict(
            {net.parts.attention_adapter: behind_attention, net.parts.mlp_adapter: behind_mlp}
        )

    def init(key: jax.Array, source: Params) -> Params:
        return class_tokens(net, source, num_classes) | each_layer(net, source, key, additions)

    return Method(init, num_classes)


@dataclasses.dataclass(frozen=True)
class Adapters(TransformerMethod):
    """`config.task = "adapters"`."""

    # Width of the bottlenecks (the paper: 8 to 256).
    size: Size = 64

    name = "adapters"
    group = "adapters"
    changes_source = True
    learning_rate = 3e-4
    demo_learning_rate = 1e-2

    def sentence(self, what: str) -> str:
        return (
            f"Adapters of width {self.size} and a class token for each class, trained on a frozen "
            f"{what} transformer"
        )

    def adapt(self, target: Target) -> Method:
        return make_method(target.net, target.num_classes, self.size)
