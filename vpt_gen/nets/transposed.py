"""Matrices with outputs as rows, for loops on a CPU in which a few rows are multiplied by them.

XLA on a CPU multiplies 4 to 48 rows by a matrix stored as (outputs, inputs) up to twice as fast as
by the released (inputs, outputs), with the same result, most of all if the width is a power of two
(docs/benchmark.md). Fewer rows are read fast either way, and more reuse the matrix.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
from flax import traverse_util

from vpt_gen.nets.stack import STACKED
from vpt_gen.nets.transformer import Path, TokenTransformer

_ROWS = range(4, 49)
_HEAD = ("head", "kernel")


def for_loops(net: TokenTransformer, params: Any, rows: int) -> Callable[[], Any]:
    """Copies a transformer's matrices if products with so many rows are faster with the copy.

    Args:
      net: the transformer.
      params: its parameters; stacked ones stay as they are.
      rows: of what is multiplied by each matrix in the loop.

    Returns:
      A function that gives the parameters in their own shapes, to be called in the loop's body:
      there its transposition becomes a part of each product.
    """
    if jax.default_backend() != "cpu" or rows not in _ROWS or STACKED in params:
        return lambda: params
    flat = traverse_util.flatten_dict(params)
    transposed = {
        path: flat[path].reshape(math.prod(flat[path].shape[:axes_in]), -1).T
        for path, axes_in in _matrices(net, flat).items()
    }
    # Otherwise the two transpositions would cancel each other.
    transposed = jax.lax.optimization_barrier(transposed)

    def inside() -> Any:
        back = {path: x.T.reshape(flat[path].shape) for path, x in transposed.items()}
        return traverse_util.unflatten_dict(flat | back)

    return inside


def _matrices(net: TokenTransformer, flat: dict[Path, jax.Array]) -> dict[Path, int]:
    """Returns the paths of the matrices, and how many of the axes of each are inputs."""
    known = {
        (f"{net.layer_prefix}{number}", *matrix.path, "kernel"): matrix.axes_in
        for number in range(net.num_layers)
        for matrix in net.parts.matrices.values()
    }
    return {path: axes for path, axes in (known | {_HEAD: 1}).items() if path in flat}
