"""Method: prompts at every layer, as keys and values for all positions (prefix tuning).

Prefix-Tuning (arXiv 2101.00190), without its reparametrization. Prompts that enter every layer and
are dropped after it (VPT-deep, arXiv 2203.12119) also act only through their keys and values; here
these are free parameters instead of products of one vector with two frozen matrices. So no layer
has more positions than without prompts, tokens keep their positions, and an autoregressive cache
does not change: the prefix is the same for all images and all steps.
"""

import dataclasses

import jax
from flax import traverse_util

from vpt_gen.methods.class_embedding import class_tokens
from vpt_gen.methods.method import Method, each_layer
from vpt_gen.methods.record import Target, TransformerMethod
from vpt_gen.nets.transformer import TokenTransformer
from vpt_gen.ranges import Size
from vpt_gen.training.state import Params

_STDDEV = 0.02  # The standard deviation of the nets' own tables.


def new_prefix(net: TokenTransformer, key: jax.Array, num_prompt_tokens: int) -> Params:
    """Draws S keys and values that a layer adds to its own."""
    heads = net.num_heads
    shape = (heads, num_prompt_tokens, net.hidden_size // heads)
    prefix = {
        name: _STDDEV * jax.random.normal(part, shape)
        for name, part in zip(("keys", "values"), jax.random.split(key), strict=True)
    }
    return traverse_util.unflatten_dict({net.parts.prefix: prefix})


def make_method(net: TokenTransformer, num_classes: int, num_prompt_tokens: int) -> Method:
    """Trains 2 S D parameters per layer, and class tokens.

    Args:
      net: the transformer.
      num_classes: C; all classes share the prompts.
      num_prompt_tokens: S.
    """

    def additions(key: jax.Array, layer: Params) -> Params:
        del layer
        return new_prefix(net, key, num_prompt_tokens)

    def init(key: jax.Array, source: Params) -> Params:
        return class_tokens(net, source, num_classes) | each_layer(net, source, key, additions)

    return Method(init, num_classes)


@dataclasses.dataclass(frozen=True)
class DeepPrompts(TransformerMethod):
    """`config.task = "deep_prompts"`."""

    # S, keys and values of each layer.
    num_prompt_tokens: Size = 16

    name = "deep_prompts"
    group = "deep_prompts"
    learning_rate = 5e-3
    demo_learning_rate = 3e-2

    def sentence(self, what: str) -> str:
        return (
            f"{self.num_prompt_tokens} keys and values in front of every layer's own and a class "
            f"token for each class, trained on a frozen {what} transformer"
        )

    def adapt(self, target: Target) -> Method:
        return make_method(target.net, target.num_classes, self.num_prompt_tokens)
