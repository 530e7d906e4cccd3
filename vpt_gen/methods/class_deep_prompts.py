"""Method: prompts at every layer, of each class its own, as keys and values for all positions.

CoAR (arXiv 2508.07341) learns context tokens of a concept for every layer of a frozen
autoregressive net. Here each class is a concept, and its context is free keys and values, as in
`deep_prompts`.
"""

import dataclasses

import jax
import jax.numpy as jnp

from vpt_gen.methods.class_embedding import class_tokens
from vpt_gen.methods.deep_prompts import new_prefix
from vpt_gen.methods.method import Conditions, Method, each_layer
from vpt_gen.methods.record import Target, TransformerMethod
from vpt_gen.nets.additions import CLASS_EMBEDDINGS, merge
from vpt_gen.nets.stack import STACKED
from vpt_gen.nets.transformer import TokenTransformer
from vpt_gen.ranges import Size
from vpt_gen.training.state import Params


def make_method(net: TokenTransformer, num_classes: int, num_prompt_tokens: int) -> Method:
    """Trains 2 C S D parameters per layer, and class tokens.

    Args:
      net: the transformer.
      num_classes: C.
      num_prompt_tokens: S, of each class.
    """

    def prefixes(key: jax.Array, layer: Params) -> Params:
        del layer
        made = jax.vmap(lambda key: new_prefix(net, key, num_prompt_tokens))
        return made(jax.random.split(key, num_classes))

    def init(key: jax.Array, source: Params) -> Params:
        return class_tokens(net, source, num_classes) | each_layer(net, source, key, prefixes)

    def shared(frozen: Params, trained: Params) -> Params:
        return merge(frozen, {CLASS_EMBEDDINGS: trained[CLASS_EMBEDDINGS]})

    def conditions(
        trained: Params,
        class_ids: jax.Array,
        instance_ids: jax.Array | None = None,
        dropout_key: jax.Array | None = None,
    ) -> Conditions:
        del instance_ids, dropout_key
        layers = {name: part for name, part in trained.items() if name != CLASS_EMBEDDINGS}
        # Of stacked layers, their axis comes before that of classes.
        axis = 1 if STACKED in layers else 0

        def of_classes(x: jax.Array) -> jax.Array:
            return jnp.moveaxis(jnp.take(x, class_ids, axis), axis, 0)

        return {"class_ids": class_ids, "additions": jax.tree.map(of_classes, layers)}

    return Method(init, num_classes, shared, conditions)


@dataclasses.dataclass(frozen=True)
class ClassDeepPrompts(TransformerMethod):
    """`config.task = "class_deep_prompts"`."""

    # S, keys and values of each layer for each class.
    num_prompt_tokens: Size = 2

    name = "class_deep_prompts"
    group = "class_deep_prompts"
    learning_rate = 5e-3
    demo_learning_rate = 3e-2

    def sentence(self, what: str) -> str:
        return (
            f"For each class, {self.num_prompt_tokens} keys and values in front of every layer's "
            f"own and a class token, trained on a frozen {what} transformer"
        )

    def adapt(self, target: Target) -> Method:
        return make_method(target.net, target.num_classes, self.num_prompt_tokens)
