"""What RAR's transformer promises beyond its reference's numbers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import compiled_capacity
from vpt_gen.machine import sharding
from vpt_gen.nets.precision import cast_matrices
from vpt_gen.nets.rar import RAR
from vpt_gen.nets.stack import stack_layers
from vpt_gen.nets.transformer import NO_CLASS
from vpt_gen.tables import costs, flops

SIZES = {"num_layers": 2, "hidden_size": 16, "num_heads": 2, "intermediate_size": 24}
NET = RAR(23, 5, 9, **SIZES)
TOKENS = jax.random.randint(jax.random.key(1), (3, 9), 0, 23)
CLASSES = jnp.array([0, 3, NO_CLASS])


@functools.cache
def params():
    """Parameters of a net whose norms, modulation and head say something."""
    made = jax.jit(NET.init)(jax.random.key(0), TOKENS, class_ids=CLASSES)["params"]
    leaves, structure = jax.tree.flatten(made)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    shaken = [x + 0.4 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(structure, shaken)


def logits(held=None, **condition):
    return jax.jit(NET.apply)({"params": held or params()}, TOKENS, **condition)


def prompts(count=4):
    return jax.random.normal(jax.random.key(2), (3, count, 16))


def vectors():
    return jax.random.normal(jax.random.key(3), (3, 16))


@pytest.mark.slow
def test_a_vector_alone_modulates_no_class():
    nothing = jnp.full(3, NO_CLASS)
    found = logits(vectors=vectors())
    np.testing.assert_allclose(found, logits(class_ids=nothing, vectors=vectors()), atol=1e-5)
    np.testing.assert_allclose(found, logits(prompts=prompts(0), vectors=vectors()), atol=1e-5)
    zero = logits(vectors=jnp.zeros_like(vectors()))
    np.testing.assert_allclose(zero, logits(class_ids=nothing), atol=1e-5)
    assert np.abs(found - zero).max() > 0.01


@pytest.mark.slow
def test_the_order_of_rows_is_that_of_the_net():
    rows = jnp.tile(jnp.arange(9), (3, 1))
    np.testing.assert_allclose(
        logits(class_ids=CLASSES, orders=rows), logits(class_ids=CLASSES), atol=1e-5
    )


@pytest.mark.slow
def test_stacked_layers_and_smaller_matrices():
    condition = {"prompts": prompts(), "vectors": vectors()}
    expected = logits(**condition)
    stacked = stack_layers(params(), NET.layer_prefix)
    np.testing.assert_allclose(logits(stacked, **condition), expected, atol=1e-4)
    halved = logits(cast_matrices(stacked, jnp.bfloat16), **condition)
    assert halved.dtype == jnp.float32
    assert jnp.linalg.norm(halved - expected) / jnp.linalg.norm(expected) < 0.05


@pytest.mark.slow
def test_new_classes_start_as_the_sources():
    starts = NET.class_starts(params(), 7)
    adapted = {**params(), "class_embeddings": {"embedding": starts}}
    found = logits(adapted, class_ids=jnp.array([5, 3, NO_CLASS]))
    np.testing.assert_allclose(found, logits(class_ids=CLASSES), atol=1e-6)


@pytest.mark.slow
def test_modulations_are_computed_once_per_condition():
    """A batch of prompts without vectors has those of one image."""
    model = costs.Model(RAR(64, 8, 49, 3, 64, 4, 160), 49, num_prompt_tokens=16)
    mesh = sharding.make_mesh(jax.devices()[:1])
    one, three = (
        flops.count(*compiled_capacity.tuning_step(model, mesh, images=images, stacked=False))
        for images in (1, 3)
    )
    of_an_image = costs.tuning_flops(model, "none")
    assert three - one == 2 * of_an_image
    # Six vectors of each layer and two of the last norm: for [cls], all prompts, and 48 tokens.
    assert one - of_an_image == 2 * (6 * 3 + 2) * 64**2 * (2 + 48)


def test_conditions_that_are_missing_or_too_many_are_errors():
    for condition, message in (
        ({}, "needs prompts, class ids or vectors"),
        ({"prompts": prompts(), "class_ids": CLASSES}, "either prompts or class ids"),
        ({"prompts": prompts(0)}, "one token at least"),
    ):
        with pytest.raises(ValueError, match=message):
            jax.eval_shape(NET.init, jax.random.key(0), TOKENS, **condition)
    with pytest.raises(ValueError, match="10 tokens do not fit into 9 positions"):
        tokens = jax.ShapeDtypeStruct((3, 10), jnp.int32)
        jax.eval_shape(NET.init, jax.random.key(0), tokens, class_ids=CLASSES)
