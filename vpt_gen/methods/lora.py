"""Method: LoRA. Adds a low-rank product to frozen matrices W: W + (alpha / r) A B.

Low-Rank Adaptation of Large Language Models (arXiv 2106.09685): A is drawn, B starts at zero, so
that training starts from the unchanged net. No gradient of the size of W is ever computed.
"""

import dataclasses
import math
from collections.abc import Iterable, Sequence

import jax
import jax.numpy as jnp
from flax import traverse_util

from vpt_gen.errors import Requirement, UserError
from vpt_gen.methods.class_embedding import class_tokens
from vpt_gen.methods.method import (
    Method,
    each_layer,
    merge,
)
from vpt_gen.methods.record import Target, TransformerMethod
from vpt_gen.nets.transformer import GATE, MATRICES, TokenTransformer
from vpt_gen.ranges import Positive, Size
from vpt_gen.training.state import Params


def make_method(
    net: TokenTransformer, num_classes: int, rank: int, alpha: float, matrices: Sequence[str]
) -> Method:
    """Trains r (D_in + D_out) parameters per matrix, and class tokens.

    Args:
      net: the transformer.
      num_classes: C.
      rank: r.
      alpha: the update is scaled by alpha / r.
      matrices: which of `nets.transformer.MATRICES` of each layer.
    """

    def init(key: jax.Array, source: Params) -> Params:
        def additions(key: jax.Array, layer: Params) -> Params:
            kernels, added = traverse_util.flatten_dict(layer), {}
            keys = jax.random.split(key, len(matrices))
            for name, one in zip(matrices, keys, strict=True):
                path, axes_in = net.parts.matrices[name].path, net.parts.matrices[name].axes_in
                shape = kernels[*path, "kernel"].shape
                size_in, size_out = math.prod(shape[:axes_in]), math.prod(shape[axes_in:])
                down = jax.random.normal(one, (size_in, rank)) / math.sqrt(size_in)
                added[*path, "lora", "down", "kernel"] = down
                added[*path, "lora", "up", "kernel"] = jnp.zeros((rank, size_out))
            return traverse_util.unflatten_dict(added)

        return class_tokens(net, source, num_classes) | each_layer(net, source, key, additions)

    def scaled(frozen: Params, trained: Params) -> Params:
        def scale(path, x):
            return x * (alpha / rank) if path[-2].key == "up" else x

        return merge(frozen, jax.tree_util.tree_map_with_path(scale, trained))

    return Method(init, num_classes, scaled)


@dataclasses.dataclass(frozen=True)
class LoRA(TransformerMethod):
    """`config.task = "lora"`; the defaults are the paper's for GPT-2."""

    rank: Size = 4
    # The update is scaled by alpha / rank.
    alpha: Positive = 32.0
    # Of each layer, some of `nets.transformer.MATRICES`, or 'mlp_gate' if the transformer has one.
    matrices: tuple[str, ...] = ("query", "value")

    name = "lora"
    group = "lora"
    learning_rate = 2e-4
    demo_learning_rate = 1e-2

    def requirements(self) -> Iterable[Requirement]:
        all_roles = (*MATRICES, GATE)
        known = set(self.matrices) <= set(all_roles) and len(self.matrices) > 0
        yield "matrices", known, f"some of {', '.join(all_roles)}"

    def sentence(self, what: str) -> str:
        return (
            f"LoRA of rank {self.rank} and a class token for each class, trained on a frozen "
            f"{what} transformer"
        )

    def adapt(self, target: Target) -> Method:
        if missing := set(self.matrices) - set(target.net.parts.matrices):
            raise UserError(
                f"config.lora.matrices has {min(missing)!r}, which a {target.net.title} does not "
                f"have: it has {', '.join(target.net.parts.matrices)}."
            )
        return make_method(target.net, target.num_classes, self.rank, self.alpha, self.matrices)
