"""AR decoding of a RAR: what it keeps of the modulation, and that parts of it change nothing."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vpt_gen.decode import autoregressive, causal_steps
from vpt_gen.nets.rar import RAR
from vpt_gen.nets.transformer import MASK_TOKEN_ID

SIZES = {"num_layers": 2, "hidden_size": 16, "num_heads": 2, "intermediate_size": 24}


def shapes_in(jaxpr) -> set:
    """The shapes of all arrays that a jaxpr computes, in its loops too."""
    found = set()
    for equation in jaxpr.eqns:
        found |= {v.aval.shape for v in equation.outvars}
        for inner in jax.core.jaxprs_in_params(equation.params):
            found |= shapes_in(inner)
    return found


@pytest.mark.parametrize(("conditions", "stages"), [(1, 1), (64, 1), (64, 16), (300, 1)])
def test_modulation_is_kept_for_few_places(conditions, stages):
    net, count = RAR(23, 5, 256, **SIZES), 256
    tokens = jax.ShapeDtypeStruct((1, count), jnp.int32)
    key = jax.random.key(0)
    params = jax.eval_shape(lambda t: net.init(key, t, class_ids=t[:, 0])["params"], tokens)

    def run(params):
        vectors = jnp.zeros((stages, conditions, 16))
        keys = jax.random.split(key, 4)
        rows = jnp.arange(4) % conditions
        return autoregressive.decode(net, params, keys, count, vectors=vectors, rows=rows)

    shapes = shapes_in(jax.make_jaxpr(run)(params).jaxpr)
    kept = max(math.prod(shape) for shape in shapes if shape[-1:] == (6 * 16,))
    of_place = SIZES["num_layers"] * 6 * 16
    assert kept <= max(256, conditions) * of_place
    # Products of a few rows each would be slow.
    assert kept >= min(256, conditions * count // stages) * of_place


@pytest.mark.slow
@pytest.mark.parametrize("stages", [1, 2])
def test_parts_of_the_modulation(stages, monkeypatch):
    net, count = RAR(23, 5, 16, **SIZES), 16
    tokens = jnp.zeros((1, count), jnp.int32)
    params = jax.jit(net.init)(jax.random.key(0), tokens, class_ids=tokens[:, 0])["params"]
    params = jax.tree.map(lambda x: x + 0.4 * jax.random.normal(jax.random.key(1), x.shape), params)
    vectors = jax.random.normal(jax.random.key(2), (stages, 3, 16))
    prompts = jax.random.normal(jax.random.key(3), (stages, 3, 2, 16))
    known = jnp.full((4, count), MASK_TOKEN_ID).at[1, 5].set(7).at[2, 11].set(3)

    def decode():
        keys, rows = jax.random.split(jax.random.key(4), 4), jnp.array([2, 0, 1, 2])
        conditions = {"prompts": prompts, "vectors": vectors, "rows": rows}
        return jax.jit(
            lambda params: autoregressive.decode(
                net, params, keys, count, **conditions, known=known, guidance=1.0
            )
        )(params)

    whole = decode()
    monkeypatch.setattr(causal_steps, "_ROWS", 12)
    np.testing.assert_array_equal(decode(), whole)
    assert len(np.unique(whole)) > 5
