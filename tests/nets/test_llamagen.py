"""What LlamaGen's transformer promises beyond its reference's numbers."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vpt_gen.nets.llamagen import ROTATIONS, LlamaGen
from vpt_gen.nets.precision import cast_matrices
from vpt_gen.nets.stack import stack_layers
from vpt_gen.nets.transformer import NO_CLASS

SIZES = {"num_layers": 2, "hidden_size": 16, "num_heads": 2, "intermediate_size": 24}
NET = LlamaGen(23, 5, 9, **SIZES)
TOKENS = jax.random.randint(jax.random.key(1), (3, 9), 0, 23)
CLASSES = jnp.array([0, 3, NO_CLASS])


@functools.cache
def params(net=NET):
    """Parameters of a net whose norms and head say something."""
    made = jax.jit(net.init)(jax.random.key(0), TOKENS, class_ids=CLASSES)["params"]
    leaves, structure = jax.tree.flatten(made)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    shaken = [x + 0.4 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(structure, shaken)


def logits(net=NET, held=None, **condition):
    return jax.jit(net.apply)({"params": held or params()}, TOKENS, **condition)


def prompts(count=4):
    return jax.random.normal(jax.random.key(2), (3, count, 16))


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 4, 40])
def test_equal_prompts_are_a_class(count):
    rows = params()["condition_embeddings"]["embedding"][jnp.array([0, 3, 5])]
    found = logits(prompts=jnp.repeat(rows[:, None], count, axis=1))
    np.testing.assert_allclose(found, logits(class_ids=CLASSES), atol=1e-5)


@pytest.mark.slow
def test_prompts_weigh_as_scores_less_by_the_logarithm_of_their_number():
    """Written out for one layer: log S off the scores of prompts whose keys are zero."""
    net = NET.clone(num_layers=1)
    held = {name: x for name, x in params().items() if name != "block_1"}
    plain = net.clone(prompt_rotation="plain")

    def layer(net):
        prefix, first = net.prefix(prompts())
        x = net.joined(prefix, net.embed(TOKENS[:, :-1], first))
        _, cache = net.hidden_states(x)
        return cache[0]

    cache = plain.apply({"params": held}, method=layer)
    assert not np.any(np.asarray(cache.keys[:, :, :4]))
    folded = net.apply({"params": held}, method=layer)
    assert folded.keys.shape[2] == cache.keys.shape[2] - 3
    query = jax.random.normal(jax.random.key(5), (3, 2, 8))
    attended = []
    for of, correction in ((cache, np.log(4.0)), (folded, 0.0)):
        count = 4 if correction else 1
        scores = jnp.einsum("bhe,bhke->bhk", query, of.keys).at[:, :, :count].add(-correction)
        attended.append(jnp.einsum("bhk,bhke->bhe", jax.nn.softmax(scores), of.values))
    np.testing.assert_allclose(*attended, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("rotation", ROTATIONS)
def test_a_row_sees_the_prompts_and_the_tokens_before_it_only(rotation):
    net = NET.taking_prompts(rotation)

    def run(tokens):
        return net.apply({"params": params()}, tokens, prompts=prompts())

    changed = np.abs(run(TOKENS) - run(TOKENS.at[:, 4].set(1))).max(axis=(0, 2))
    assert (changed[:5] < 1e-6).all() and (changed[5:] > 1e-4).all()


@pytest.mark.slow
@pytest.mark.parametrize("rotation", ROTATIONS)
def test_stacked_layers_and_smaller_matrices(rotation):
    net = NET.taking_prompts(rotation)
    expected = logits(net, prompts=prompts())
    stacked = stack_layers(params(), net.layer_prefix)
    np.testing.assert_allclose(logits(net, stacked, prompts=prompts()), expected, atol=1e-4)
    halved = logits(net, cast_matrices(stacked, jnp.bfloat16), prompts=prompts())
    assert halved.dtype == jnp.float32
    error = jnp.linalg.norm(halved - expected) / jnp.linalg.norm(expected)
    assert error < 0.05


@pytest.mark.slow
def test_new_classes_start_as_the_sources():
    starts = NET.class_starts(params(), 7)
    table = params()["condition_embeddings"]["embedding"]
    np.testing.assert_array_equal(starts, table[jnp.array([0, 1, 2, 3, 4, 0, 1])])
    adapted = {**params(), "class_embeddings": {"embedding": starts}}
    found = logits(held=adapted, class_ids=jnp.array([5, 3, NO_CLASS]))
    np.testing.assert_allclose(found, logits(class_ids=jnp.array([0, 3, NO_CLASS])), atol=1e-6)


def test_sizes_that_do_not_fit_are_errors():
    for fields, message in (
        ({"num_heads": 3}, "a multiple of 4"),
        ({"num_key_heads": 4}, "2 heads of queries cannot share 4"),
        ({"prompt_rotation": "none"}, "zero, plain, identity"),
    ):
        with pytest.raises(ValueError, match=message):
            LlamaGen(**{**SIZES, **fields})
    with pytest.raises(ValueError, match="'' or one of zero, plain, identity"):
        NET.taking_prompts("none")


def test_conditions_that_are_missing_or_too_many_are_errors():
    tokens = jax.ShapeDtypeStruct((3, 9), jnp.int32)
    for condition, message in (
        ({}, "either prompts or class ids"),
        ({"prompts": prompts(), "class_ids": CLASSES}, "either prompts or class ids"),
        ({"prompts": prompts(0)}, "one token at least"),
    ):
        with pytest.raises(ValueError, match=message):
            jax.eval_shape(NET.init, jax.random.key(0), tokens, **condition)
    with pytest.raises(ValueError, match="10 tokens do not fit into the grid of 9"):
        tokens = jax.ShapeDtypeStruct((3, 10), jnp.int32)
        jax.eval_shape(NET.init, jax.random.key(0), tokens, class_ids=CLASSES)


def test_a_stored_net_has_no_options():
    from vpt_gen.checkpoints.backbone import _fields

    identity = NET.clone(prompt_rotation="identity", remat="layer")
    assert _fields(identity) == _fields(NET)
    chex.assert_equal(_fields(NET)["num_tokens"], 9)
