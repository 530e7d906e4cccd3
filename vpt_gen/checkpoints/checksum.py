"""Checksums of arrays, the same however these are split over devices and hosts.

A checkpoint carries them, so that one whose files were damaged after it was written, or that was
put together wrongly, is found out and not trained on.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp

_WORDS = {1: jnp.uint8, 2: jnp.uint16, 4: jnp.uint32}


def checksums(tree: Any) -> dict[str, int]:
    """Path -> checksum, below 2**32, of every array of a tree (of at most 32 bits an element).

    It is the sum of all elements' bits, as numbers, each times an odd number of its place: any one
    change is seen, and several at once but for one case in 2**32.
    """
    sums = jax.device_get(jax.tree.map(_sum, tree))
    leaves = jax.tree_util.tree_leaves_with_path(sums)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): int(value) for path, value in leaves
    }


@jax.jit  # One program for all arrays of a shape, of which there are few.
def _sum(x: jax.Array) -> jax.Array:
    x = jnp.atleast_1d(x.astype(jnp.uint8) if x.dtype == bool else x)
    words = jax.lax.bitcast_convert_type(x, _WORDS[x.dtype.itemsize]).astype(jnp.uint32)
    place = jnp.zeros((), jnp.uint32)
    for axis in range(x.ndim):
        stride = math.prod(x.shape[axis + 1 :]) % 2**32
        place += jax.lax.broadcasted_iota(jnp.uint32, x.shape, axis) * jnp.uint32(stride)
    return jnp.sum(words * (2 * place + 1), dtype=jnp.uint32)
