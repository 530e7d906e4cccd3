"""Layers of one shape: one after another, or as one `lax.scan` over stacked parameters.

A net's parameters, as published, are one subtree per layer. `stack_layers` turns them into one
subtree `STACKED`, whose arrays have an additional leading axis over the layers. The nets take
either. Stacked layers compile once instead of L times, which saves time on accelerators; XLA on a
CPU compiles the L copies nearly as fast, and copies each layer's matrices out of the stack in every
step.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vpt_gen.nets.attention import PROBABILITIES
from vpt_gen.nets.transformer import TokenTransformer

Layer = TypeVar("Layer", bound=nn.Module)

STACKED = "layers"
# They have all that layers can have: with three, a net of long skips has one.
_TRACED_LAYERS = 3
# Tracing takes a large part of a second, and readers and tables ask for the same nets again.
_KEPT_SHAPES = 64
_policies = jax.checkpoint_policies
# What the backward pass recomputes instead of storing it; see `rematerialized`.
REMAT = {
    "none": None,
    "attention": _policies.save_anything_except_these_names(PROBABILITIES),
    "dots": _policies.dots_with_no_batch_dims_saveable,
    "layer": _policies.nothing_saveable,
}


def rematerialized(layer: type[Layer], remat: str, *static_arguments: int) -> type[Layer]:
    """Returns a layer that stores less for its backward pass.

    Args:
      layer: a module class.
      remat: 'none'; 'attention' recomputes the (B, H, L, L) probabilities; 'dots' recomputes all
        but products with matrices; 'layer' recomputes everything from the layer's input.
      static_arguments: indices of static arguments of the layer's call, `self` being 0.
    """
    if remat not in REMAT:
        raise ValueError(f"Remat {remat!r} is not one of {', '.join(REMAT)}.")
    if remat == "none":
        return layer
    return nn.remat(layer, policy=REMAT[remat], static_argnums=static_arguments)


def stack_layers(params: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Joins the subtrees `<prefix>0`, `<prefix>1`, ... into one, `STACKED`.

    Args:
      params: of a net with `layer_prefix`, or the trained part; arrays on the host stay there.
      prefix: its `layer_prefix`.
    """
    names = [name for name in params if name.startswith(prefix)]
    names.sort(key=lambda name: int(name.removeprefix(prefix)))
    if not names:
        return dict(params)
    layers = [params[name] for name in names]
    rest = {name: params[name] for name in params if name not in names}
    return rest | {STACKED: jax.tree.map(_stack, *layers)}


def unstack_layers(params: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The inverse of `stack_layers`."""
    rest = {name: value for name, value in params.items() if name != STACKED}
    count = len(jax.tree.leaves(params[STACKED])[0])
    layers = {
        f"{prefix}{i}": jax.tree.map(lambda x, i=i: x[i], params[STACKED]) for i in range(count)
    }
    return rest | layers


def _stack(*arrays):
    on_host = all(isinstance(x, np.ndarray) for x in arrays)
    return (np if on_host else jnp).stack(arrays)


def init_shapes(net: nn.Module | TokenTransformer, *inputs: Any, **kwargs: Any) -> Any:
    """Returns the shapes of a net's parameters, without allocating them.

    The net must be hashable. Of inputs, which are arrays or have their shapes, the values do not
    count. Only a few layers of a transformer are traced: the others have the same shapes.
    """
    leaves, structure = jax.tree.flatten(jax.eval_shape(lambda x: x, (inputs, kwargs)))
    # Others may change what they get.
    return jax.tree.map(lambda x: x, _shapes(net, tuple(leaves), structure))


@functools.lru_cache(_KEPT_SHAPES)
def _shapes(net, leaves, structure):
    inputs, kwargs = jax.tree.unflatten(structure, leaves)

    def traced(net):
        return jax.eval_shape(net.init, jax.random.key(0), *inputs, **kwargs)["params"]

    if not isinstance(net, TokenTransformer):
        return traced(net)
    shapes = traced(net.clone(num_layers=min(net.num_layers, _TRACED_LAYERS)))
    for prefix, count in net.repeated().items():
        shapes |= {f"{prefix}{i}": shapes[f"{prefix}0"] for i in range(count)}
    return shapes


def scan_layers(layer: Callable[..., Any], stacked: Any, carry: Any, *inputs: Any):
    """Runs `layer(params, carry, *inputs) -> carry, output` for every layer of a stack."""

    def body(carry, slices):
        params, *inputs = slices
        return layer(params, carry, *inputs)

    return jax.lax.scan(body, carry, (stacked, *inputs))
