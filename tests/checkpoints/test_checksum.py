"""Checksums: one change is seen, wherever it is; a mesh makes no difference."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vpt_gen.checkpoints.checksum import checksums
from vpt_gen.machine import sharding


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "int32", "bfloat16", "float16", "int8", "bool"])
@pytest.mark.parametrize("shape", [(), (5,), (3, 4), (2, 3, 4)])
def test_every_single_change_is_seen(dtype, shape):
    zeros = jnp.zeros(shape, dtype)
    sums = {checksums({"x": zeros})["x"]}
    for place in np.ndindex(shape):
        sums.add(checksums({"x": zeros.at[place].set(np.ones((), zeros.dtype))})["x"])
    assert len(sums) == 1 + zeros.size


def test_the_sum_is_as_documented():
    x = np.random.default_rng(0).standard_normal((3, 4, 5)).astype(np.float32)
    words = x.view(np.uint32).ravel().astype(np.uint64)
    expected = (words * (2 * np.arange(60, dtype=np.uint64) + 1)).sum() % 2**32
    assert checksums({"a": [x]}) == {"a/0": int(expected)}


@pytest.mark.parametrize("shape", [(8, 1, 1), (1, 8, 1), (2, 2, 2)])
def test_a_mesh_makes_no_difference(shape):
    tree = {"mlp_in": {"kernel": jax.random.normal(jax.random.key(0), (16, 32))}}
    placed = sharding.put(tree, sharding.make_mesh(shape=shape))
    assert checksums(placed) == checksums(tree)
