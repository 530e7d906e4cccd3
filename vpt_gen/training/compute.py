"""How a transformer is stored and computed, by `config.compute`; the same for every program."""

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
    """Whether layers are one `lax.scan`; 'auto' means no on a CPU (see `nets/stack.py`)."""
    if compute.scan_layers == "auto":
        return jax.default_backend() != "cpu"
    return compute.scan_layers == "yes"


def hold_frozen(net: TokenTransformer, params: Any, compute: ConfigDict) -> tuple[Any, Any]:
    """Converts a frozen transformer and its parameters from the stored form to the one in use."""
    params = cast_matrices(params, compute.dtype)
    if scans_layers(compute):
        params = stack_layers(params, net.layer_prefix)
    return net.clone(remat=compute.remat), params


def hold_trained(net: TokenTransformer, params: Any, compute: ConfigDict) -> Any:
    """Converts a method's trained parameters to the layout of the frozen ones."""
    params = as_published(net, params)
    return stack_layers(params, net.layer_prefix) if scans_layers(compute) else params


def as_published(net: TokenTransformer, params: Any) -> Any:
    """Converts parameters to the tree of the net's files."""
    return unstack_layers(params, net.layer_prefix) if STACKED in params else params
