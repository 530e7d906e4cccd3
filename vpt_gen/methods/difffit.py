"""Method: DiffFit. Trains scales of each layer's branches, and all norms and biases.

DiffFit (arXiv 2304.06648) tunes norms, biases and classes of a diffusion transformer and puts
learned factors, 1 at first, behind the attention and the MLP of a layer. They have one number per
channel here, as in mkshing/DiffFit-pytorch.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import traverse_util

from vpt_gen.methods.class_embedding import class_tokens
from vpt_gen.methods.method import Method, each_layer
from vpt_gen.methods.norm_bias import norms_and_biases
from vpt_gen.methods.record import Target, TransformerMethod
from vpt_gen.nets.additions import merge
from vpt_gen.nets.transformer import TokenTransformer
from vpt_gen.training.state import Params


def make_method(net: TokenTransformer, num_classes: int) -> Method:
    """Trains 2 D scales per layer, the transformer's norms and biases, and class tokens."""
    places = net.parts.attention_adapter, net.parts.mlp_adapter

    def scales(key: jax.Array, layer: Params) -> Params:
        del key, layer  # Nothing is random.
        return traverse_util.unflatten_dict(
            {(*place, "scale"): jnp.ones(net.hidden_size) for place in places}
        )

    def init(key: jax.Array, source: Params) -> Params:
        added = each_layer(net, source, key, scales)
        return merge(norms_and_biases(source), added) | class_tokens(net, source, num_classes)

    return Method(init, num_classes)


@dataclasses.dataclass(frozen=True)
class DiffFit(TransformerMethod):
    """`config.task = "difffit"`."""

    name = "difffit"
    group = "difffit"
    changes_source = True
    learning_rate = 1e-3
    demo_learning_rate = 1e-2

    def sentence(self, what: str) -> str:
        return (
            f"Scales of the branches, norms and biases of a {what} transformer and a class token "
            "for each class, trained (DiffFit)"
        )

    def adapt(self, target: Target) -> Method:
        return make_method(target.net, target.num_classes)
