"""A method that adapts a pretrained transformer: what it trains, and how the net uses it.

Trained parameters are a separate tree. They either make the conditions of the frozen net (prompts),
or are merged into the net's own tree (`merge`): as replacements of some of its arrays, or as
additions that its layers look for (`nets/additions.py`). So the net, its objective and the decoders
see one tree of parameters and do not depend on the method.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax

from vpt_gen.nets.additions import merge
from vpt_gen.nets.prompt_generator import PromptGenerator
from vpt_gen.nets.stack import STACKED
from vpt_gen.nets.transformer import TokenTransformer
from vpt_gen.training.state import Params

# Conditions of a net: {"prompts": (B, S, D)}, and "vectors" (B, D) if it takes them; or
# {"class_ids": (B,)}, and "additions", a tree of arrays (B, ...) that each example adds to the net.
Conditions = Mapping[str, Any]
# Those that may change while an image is decoded.
STAGED = {"prompts", "vectors"}


def class_ids_alone(
    trained: Params,
    class_ids: jax.Array,
    instance_ids: jax.Array | None = None,
    dropout_key: jax.Array | None = None,
) -> Conditions:
    """Returns the conditions of methods with class tokens."""
    del trained, instance_ids, dropout_key
    return {"class_ids": class_ids}


@dataclasses.dataclass(frozen=True)
class Method:
    """What distinguishes one method of adapting a transformer from the others.

    Attributes:
      init: (key, the pretrained transformer's parameters) -> trained parameters.
      num_classes: C, classes of the new images; 0 if conditions are instances only.
      params: (frozen transformer parameters, trained ones) -> parameters of the adapted net.
      conditions: (trained, class_ids, instance_ids, dropout_key) -> conditions of the net; ids
        (B,) that the method does not use are ignored, and without a key nothing is random.
      generator: makes the prompts; None for a method with class tokens.
      whole: the whole transformer is trained, none of it is frozen, and its own dropout is on, as
        in pretraining.
      in_turn: (updates done, gradients or updates) -> the same, 0 for what does not train yet; None
        if all trains from the beginning.
    """

    init: Callable[[jax.Array, Params], Params]
    num_classes: int
    params: Callable[[Params, Params], Params] = merge
    conditions: Callable[..., Conditions] = class_ids_alone
    generator: PromptGenerator | None = None
    whole: bool = False
    in_turn: Callable[[jax.Array, Params], Params] | None = None

    @property
    def num_instances(self) -> int:
        """I, the number of training images that conditions can name."""
        return self.generator.num_instances if self.generator else 0

    def frozen(
        self, backbone: Mapping[str, Params], decode_options: Mapping[str, Any] | None = None
    ) -> dict[str, Params]:
        """Returns the part of {"transformer": ..., "tokenizer": ...} that is used as it is.

        Args:
          backbone: pretrained parameters.
          decode_options: see `decode.generate`. Domain guidance uses the transformer of the source,
            which the method itself does not if it trains the whole.
        """
        is_used = not self.whole or (decode_options or {}).get("domain_guidance", False)
        return {**backbone, "transformer": backbone["transformer"] if is_used else {}}


def each_layer(
    net: TokenTransformer,
    source: Params,
    key: jax.Array,
    make: Callable[[jax.Array, Params], Params],
) -> dict[str, Any]:
    """Makes additions to each layer, in the layout of the layers (`nets/stack.py`).

    Args:
      net: the transformer.
      source: its parameters.
      key: of all layers; each layer's key is derived from it, stacked or not.
      make: (key, a layer's parameters) -> its additions.
    """
    keys = jax.random.split(key, net.num_layers)
    if STACKED in source:
        return {STACKED: jax.vmap(make)(keys, source[STACKED])}
    names = [f"{net.layer_prefix}{number}" for number in range(net.num_layers)]
    return {name: make(key, source[name]) for name, key in zip(names, keys, strict=True)}
