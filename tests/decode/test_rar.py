"""AR decoding of a RAR: what it keeps of the modulation, and that parts of it change nothing."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.random_params import random_params
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


@pytest.mark.slow
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
    net, count = RAR(23, 5, 16, **{**SIZES, "num_layers": 1}), 16
    generator = np.random.default_rng(2)
    given = {
        "vectors": generator.normal(size=(stages, 3, 16)),
        "prompts": generator.normal(size=(stages, 3, 2, 16)),
        "rows": np.array([2, 0, 1, 2]),
        "known": np.full((4, count), MASK_TOKEN_ID),
    }
    given["known"][[1, 2], [5, 11]] = 7, 3

    def decode():
        keys = jax.random.split(jax.random.key(4), 4)
        return jax.jit(
            lambda params, given: autoregressive.decode(
                net, params, keys, count, **given, guidance=1.0
            )
        )(random_params(net, count), given)

    whole = decode()
    monkeypatch.setattr(causal_steps, "_ROWS", 12)
    np.testing.assert_array_equal(decode(), whole)
    assert len(np.unique(whole)) > 5


@pytest.mark.slow
@pytest.mark.parametrize("guidance", [0.0, 1.0])
def test_a_stretch_is_drawn_with_its_own_vector_from_its_first_token_on(guidance):
    net, count = RAR(23, 5, 16, **{**SIZES, "num_layers": 1}), 16
    params = random_params(net, count)
    # Without attention an input's modulation is all that tells it the condition.
    params["block_0"]["attention"]["projection"] = jax.tree.map(
        jnp.zeros_like, params["block_0"]["attention"]["projection"]
    )
    vectors = 3 * np.random.default_rng(2).normal(size=(4, 32, 16))
    keys = jax.random.split(jax.random.key(4), 32)

    @jax.jit
    def draw(vectors, known=None):
        return autoregressive.decode(
            net, params, keys, count, vectors=vectors, known=known, guidance=guidance
        )

    drawn = draw(vectors)
    for stretch in range(4):
        of_stretch = slice(4 * stretch, 4 * stretch + 4)
        known = np.full_like(drawn, MASK_TOKEN_ID)
        known[:, : 4 * stretch] = drawn[:, : 4 * stretch]
        alone = draw(vectors[stretch : stretch + 1], known)
        np.testing.assert_array_equal(alone[:, of_stretch], drawn[:, of_stretch])
