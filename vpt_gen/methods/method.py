"""A way of adapting a pretrained transformer: what it trains, and what the net makes of that.

Trained parameters are a tree of their own. Either they make the conditions that the frozen net is
given (prompts), or they are laid over the net's own tree (`merge`): as replacements of some of its
arrays, or as additions that its layers look for (`nets/additions.py`). So the net, its objective
and the decoders see one tree of parameters and know of no method.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax

from vpt_gen.nets.prompt_generator import PromptGenerator
from vpt_gen.nets.stack import STACKED
from vpt_gen.nets.transformer import TokenTransformer
from vpt_gen.training.state import Params

# What a net is told of an image: {"prompts": (B, S, D)} or {"class_ids": (B,)}.
Conditions = Mapping[str, jax.Array]


def merge(frozen: Params, trained: Params) -> Params:
    """The tree of both; where both have an array, the trained one counts."""
    if not isinstance(trained, Mapping):
        return trained
    both = dict(frozen)
    for name, part in trained.items():
        both[name] = merge(both.get(name, {}), part)
    return both


def class_ids_alone(
    trained: Params,
    class_ids: jax.Array,
    instance_ids: jax.Array | None = None,
    dropout_key: jax.Array | None = None,
) -> Conditions:
    """The conditions of methods whose class token carries the class."""
    del trained, instance_ids, dropout_key
    return {"class_ids": class_ids}


@dataclasses.dataclass(frozen=True)
class Method:
    """What distinguishes one way of adapting a transformer from the others.

    Attributes:
      init: (key, the pretrained transformer's parameters) -> trained parameters.
      num_classes: C, classes of the new images; 0 if only instances are known.
      params: (frozen transformer parameters, trained ones) -> those that the net runs with.
      conditions: (trained, class_ids, instance_ids, dropout_key) -> what the net is told; ids (B,)
        that the method does not know are passed over, and without a key nothing is random.
      generator: makes the prompts; None if a class token carries the class.
      whole: the transformer itself is trained: nothing of it stays frozen, and its own dropout is
        on, as in pretraining.
    """

    init: Callable[[jax.Array, Params], Params]
    num_classes: int
    params: Callable[[Params, Params], Params] = merge
    conditions: Callable[..., Conditions] = class_ids_alone
    generator: PromptGenerator | None = None
    whole: bool = False

    @property
    def num_instances(self) -> int:
        """I, training images that conditions can name."""
        return self.generator.num_instances if self.generator else 0

    def frozen(self, backbone: Mapping[str, Params]) -> dict[str, Params]:
        """What stays as it is of {"transformer": ..., "tokenizer": ...}."""
        return {**backbone, "transformer": {} if self.whole else backbone["transformer"]}


def each_layer(
    net: TokenTransformer,
    source: Params,
    key: jax.Array,
    make: Callable[[jax.Array, Params], Params],
) -> dict[str, Any]:
    """Additions to each layer, in the layout that the layers have (`nets/stack.py`).

    Args:
      net: the transformer.
      source: its parameters.
      key: of all layers; each gets its own from it, stacked or not.
      make: (key, a layer's parameters) -> what is added to them.
    """
    keys = jax.random.split(key, net.num_layers)
    if STACKED in source:
        return {STACKED: jax.vmap(make)(keys, source[STACKED])}
    names = [f"{net.layer_prefix}{number}" for number in range(net.num_layers)]
    return {name: make(key, source[name]) for name, key in zip(names, keys, strict=True)}
