"""How a transformer is held and computed: from `config.compute`, for every program alike."""

from typing import Any

import jax
from ml_collections import ConfigDict

from vpt_gen.nets.precision import cast_matrices
from vpt_gen.nets.stack import (
    STACKED,
    stack_layers,
    unstack_layers,
)
from vpt_gen.nets.transformer import TokenTransformer

DTYPES = ("float32", "bfloat16")
SCAN_LAYERS = ("auto", "yes", "no")


def scans_layers(compute: ConfigDict) -> bool:
    """Whether layers are one `lax.scan`; 'auto' says no on a CPU (see `nets/stack.py`)."""
    if compute.scan_layers == "auto":
        return jax.default_backend() != "cpu"
    return compute.scan_layers == "yes"


def hold_frozen(net: TokenTransformer, params: Any, compute: ConfigDict) -> tuple[Any, Any]:
    """A frozen transformer and its parameters as they are used, from those that were read."""
    params = cast_matrices(params, compute.dtype)
    if scans_layers(compute):
        params = stack_layers(params, net.layer_prefix)
    return net.clone(remat=compute.remat), params


def hold_trained(net: TokenTransformer, params: Any, compute: ConfigDict) -> Any:
    """A method's trained parameters, laid out as the frozen ones are, however they were stored."""
    params = as_published(net, params)
    return stack_layers(params, net.layer_prefix) if scans_layers(compute) else params


def as_published(net: TokenTransformer, params: Any) -> Any:
    """Parameters in the tree that the net's files have."""
    return unstack_layers(params, net.layer_prefix) if STACKED in params else params
