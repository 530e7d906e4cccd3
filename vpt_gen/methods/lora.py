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
from vpt_gen.methods.method import Method, each_layer
from vpt_gen.methods.record import Target, TransformerMethod
from vpt_gen.nets.additions import merge
from vpt_gen.nets.transformer import GATE, MATRICES, TokenTransformer
from vpt_gen.ranges import Positive, Size
from vpt_gen.training.state import Params


def new_products(
    net: TokenTransformer, source: Params, key: jax.Array, rank: int, matrices: Sequence[str]
) -> Params:
    """Makes A and B of some matrices of each layer; for the arguments see `make_method`."""

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

    return each_layer(net, source, key, additions)


def with_products(frozen: Params, trained: Params, factor: float) -> Params:
    """Merges what is trained into a net, A B multiplied by a factor."""

    def scale(path, x):
        return x * factor if path[-2].key == "up" else x

    return merge(frozen, jax.tree_util.tree_map_with_path(scale, trained))


def matrices_requirement(matrices: Sequence[str]) -> Requirement:
    """Returns the requirement that there are matrices, all of a known role."""
    all_roles = (*MATRICES, GATE)
    known = set(matrices) <= set(all_roles) and len(matrices) > 0
    return "matrices", known, f"some of {', '.join(all_roles)}"


def check_matrices(net: TokenTransformer, group: str, matrices: Sequence[str]) -> None:
    """Raises UserError for a matrix of a config group that the net does not have."""
    if missing := set(matrices) - set(net.parts.matrices):
        raise UserError(
            f"config.{group}.matrices has {min(missing)!r}, which a {net.title} does not "
            f"have: it has {', '.join(net.parts.matrices)}."
        )


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
        products = new_products(net, source, key, rank, matrices)
        return class_tokens(net, source, num_classes) | products

    def params(frozen: Params, trained: Params) -> Params:
        return with_products(frozen, trained, alpha / rank)

    return Method(init, num_classes, params)


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
    changes_source = True
    learning_rate = 2e-4
    demo_learning_rate = 1e-2

    def requirements(self) -> Iterable[Requirement]:
        yield matrices_requirement(self.matrices)

    def sentence(self, what: str) -> str:
        return (
            f"LoRA of rank {self.rank} and a class token for each class, trained on a frozen "
            f"{what} transformer"
        )

    def adapt(self, target: Target) -> Method:
        check_matrices(target.net, self.group, self.matrices)
        return make_method(target.net, target.num_classes, self.rank, self.alpha, self.matrices)
