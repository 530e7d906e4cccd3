"""Checksums of arrays, and whether they are finite, however they are split over devices and hosts.

A checkpoint carries the checksums, so that files damaged after writing, or a wrongly assembled
checkpoint, are detected before training on them.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

_WORDS = {1: jnp.uint8, 2: jnp.uint16, 4: jnp.uint32}


class Summary(NamedTuple):
    """An array's checksum (see `checksums`), and whether all of it is finite."""

    checksum: int
    finite: bool


def checksums(tree: Any) -> dict[str, int]:
    """Path -> checksum, below 2**32, of every array of a tree (at most 32 bits per element).

    It is the sum of all elements' bits, as numbers, each times an odd number that depends on its
    position: any single change is detected, and several at once except for one case in 2**32.
    """
    return {name: found.checksum for name, found in summaries(tree).items()}


def not_finite(tree: Any) -> list[str]:
    """Paths of the arrays of a tree that hold a NaN or an infinity."""
    return [name for name, found in summaries(tree).items() if not found.finite]


def summaries(tree: Any) -> dict[str, Summary]:
    """Path -> summary of every array of a tree, each of which is read once."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    found = jax.device_get([_summary(x) for _, x in leaves])
    names = (jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves)
    return {
        name: Summary(int(checksum), bool(finite))
        for name, (checksum, finite) in zip(names, found, strict=True)
    }


@jax.jit  # One program per shape, of which there are few.
def _summary(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the checksum of an array, and whether all of it is finite."""
    finite = jnp.isfinite(x).all()
    x = jnp.atleast_1d(x.astype(jnp.uint8) if x.dtype == bool else x)
    words = jax.lax.bitcast_convert_type(x, _WORDS[x.dtype.itemsize]).astype(jnp.uint32)
    place = jnp.zeros((), jnp.uint32)
    for axis in range(x.ndim):
        stride = math.prod(x.shape[axis + 1 :]) % 2**32
        place += jax.lax.broadcasted_iota(jnp.uint32, x.shape, axis) * jnp.uint32(stride)
    return jnp.sum(words * (2 * place + 1), dtype=jnp.uint32), finite
