"""Whether the tensors of a file are those that a net has: one error lists all that differ."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from vpt_gen.errors import UserError

_MOST_LISTED = 8

Shapes = Mapping[str, tuple[int, ...]]


def param_shapes(net: nn.Module, *inputs: Any, **kwargs: Any) -> dict[str, tuple[int, ...]]:
    """{path with slashes: shape} of a net's parameters, without making any."""
    made = jax.eval_shape(lambda: net.init(jax.random.key(0), *inputs, **kwargs))["params"]
    return {path: leaf.shape for path, leaf in traverse_util.flatten_dict(made, sep="/").items()}


def image_batch(side: int) -> jax.Array:
    """An image batch of the smallest kind, for `param_shapes` of tokenizers."""
    return jnp.zeros((1, side, side, 3))


def check(path: Any, found: Shapes, expected: Shapes) -> None:
    """Raises one UserError that lists missing, unknown and misshapen tensors."""
    problems = [
        *(f"missing {name} {expected[name]}" for name in expected if name not in found),
        *(f"unknown {name} {found[name]}" for name in found if name not in expected),
        *(
            f"{name} has shape {found[name]}, not {expected[name]}"
            for name in expected
            if name in found and tuple(found[name]) != tuple(expected[name])
        ),
    ]
    if problems:
        more = len(problems) - _MOST_LISTED
        listed = "; ".join(problems[:_MOST_LISTED]) + (f"; and {more} more" if more > 0 else "")
        raise UserError(f"{path} does not hold the net it should: {listed}.")


def count(names: Iterable[str], pattern: Callable[[int], str]) -> int:
    """How many of pattern(0), pattern(1), ... begin some name, up to the first that does not."""
    names = list(names)
    number = 0
    while any(name.startswith(pattern(number)) for name in names):
        number += 1
    return number


def nest(flat: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """{path with slashes: array} -> nested parameters."""
    return traverse_util.unflatten_dict(dict(flat), sep="/")
