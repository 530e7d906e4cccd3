"""Halton-MaskGIT's transformer: what vectors, prompts and registers do, and what it costs."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.golden_halton import logits_with_mask
from tests.made import new_params
from vpt_gen.machine import sharding
from vpt_gen.methods import prompts
from vpt_gen.nets.halton_maskgit import HaltonMaskGIT
from vpt_gen.nets.precision import cast_matrices
from vpt_gen.nets.prompt_generator import PromptGenerator
from vpt_gen.nets.stack import stack_layers
from vpt_gen.tables import costs, flops

pytestmark = pytest.mark.slow

# Heads do not divide the width: attention has 12 channels of 14.
NET = HaltonMaskGIT(11, 3, 9, 2, 14, 4, 20, 2, dropout_rate=0.0)
TOKENS = jnp.arange(18).reshape(2, 9) % 12 - 1
CLASSES = jnp.array([0, 2])


@functools.cache
def params():
    """All of it random: before training, modulation is zero."""
    leaves, structure = jax.tree.flatten(new_params(NET, TOKENS))
    keys = jax.random.split(jax.random.key(1), len(leaves))
    shaken = [x + 0.3 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(structure, shaken)


@functools.cache
def _program(method, net):
    return jax.jit(functools.partial(net.apply, method=method))


def run(*args, method="__call__", net=NET, of=None, **kwargs):
    return _program(method, net)({"params": of or params()}, *args, **kwargs)


def class_vectors():
    """Vectors of `CLASSES`, beyond the one of no class."""
    table = params()["label_embeddings"]["embedding"]
    return table[CLASSES] - table[-1]


def some_prompts():
    return jax.random.normal(jax.random.key(2), (2, 3, NET.hidden_size))


def test_the_vector_between_a_class_and_none_is_the_class():
    chex.assert_trees_all_close(
        run(TOKENS, vectors=class_vectors()), run(TOKENS, class_ids=CLASSES), atol=1e-5
    )
    assert not np.allclose(run(TOKENS, vectors=class_vectors()), run(TOKENS), atol=1e-2)


def test_no_prompts_beside_a_vector_are_the_vector_alone():
    none = some_prompts()[:, :0]
    np.testing.assert_array_equal(
        run(TOKENS, none, vectors=class_vectors()), run(TOKENS, vectors=class_vectors())
    )


def test_a_zero_vector_and_no_class_are_the_source_without_a_class():
    expected = run(TOKENS)
    np.testing.assert_array_equal(run(TOKENS, vectors=jnp.zeros((2, 14))), expected)
    np.testing.assert_array_equal(run(TOKENS, class_ids=jnp.array([-1, -1])), expected)


def test_prompts_have_no_order_and_leave_the_registers():
    made = run(TOKENS, some_prompts())
    chex.assert_trees_all_close(run(TOKENS, some_prompts()[:, ::-1]), made, atol=1e-5)
    assert run(TOKENS, some_prompts(), method="hidden_states").shape == (2, 9, 14)
    assert run(TOKENS, some_prompts(), method="sequence").shape == (2, 9 + 2 + 3, 14)
    without = {**params(), "register_embeddings": {"embedding": jnp.zeros((2, 14))}}
    assert not np.allclose(run(TOKENS, some_prompts(), of=without), made, atol=1e-2)


def test_a_masked_token_has_a_row_of_its_own():
    masked, last = (run(jnp.full((2, 9), token)) for token in (-1, NET.codebook_size - 1))
    assert not np.allclose(masked, last, atol=1e-2)
    with_mask = run(TOKENS, method=logits_with_mask)
    assert with_mask.shape == (2, 9, NET.codebook_size + 1)
    chex.assert_trees_all_close(with_mask[..., :-1], run(TOKENS), atol=1e-6)


def test_stacked_and_recomputed_layers_give_the_same():
    stacked = stack_layers(params(), NET.layer_prefix)
    expected = run(TOKENS, some_prompts(), vectors=class_vectors())
    net = NET.clone(remat="layer")
    made = run(TOKENS, some_prompts(), vectors=class_vectors(), net=net, of=stacked)
    chex.assert_trees_all_close(made, expected, atol=1e-5)


def test_dropout_needs_a_key_and_changes_single_and_stacked_layers():
    net = NET.clone(dropout_rate=0.5)
    for of in (params(), stack_layers(params(), NET.layer_prefix)):
        first, second = (
            net.apply({"params": of}, TOKENS, deterministic=False, rngs={"dropout": key})
            for key in jax.random.split(jax.random.key(0))
        )
        assert not np.allclose(first, second, atol=1e-3)


def test_smaller_matrices_leave_the_stream_and_the_logits_float32():
    small = cast_matrices(params(), jnp.bfloat16)
    logits = run(TOKENS, some_prompts(), of=small)
    states = run(TOKENS, some_prompts(), method="hidden_states", of=small)
    assert (logits.dtype, states.dtype) == (jnp.float32, jnp.float32)
    chex.assert_trees_all_close(logits, run(TOKENS, some_prompts()), atol=0.5)
    sequence = run(TOKENS, some_prompts(), method="sequence", of=small)
    words, positions = (small[f"{of}_embeddings"]["embedding"] for of in ("token", "position"))
    rows = words[TOKENS].astype(jnp.float32) + positions[: TOKENS.shape[1]]
    np.testing.assert_array_equal(sequence[:, : TOKENS.shape[1]], rows)


def test_its_own_counts_are_those_of_its_programs():
    variables = {"params": params()}

    def passed(prompts):
        return NET.apply(variables, TOKENS[:1], prompts)

    prompts = some_prompts()[:1]
    length = NET.num_inputs(9, 3)
    forward = NET.layers_flops(length) + NET.head_flops(9)
    assert flops.count(passed, prompts) == forward
    one = costs.Model(NET, 9, num_prompt_tokens=3)
    gradient = jax.grad(lambda prompts: passed(prompts).sum())
    assert flops.count(gradient, prompts) == costs.tuning_flops(one, "none")


def test_prompt_tuning_of_a_vector_alone_is_a_new_row_of_the_class_table():
    generator = PromptGenerator(2, 0, NET.hidden_size, vector=True)
    method = prompts.make_method(generator)
    trained = method.init(jax.random.key(0), params())
    told = method.conditions(trained, jnp.arange(2))
    assert sum(x.size for x in jax.tree.leaves(trained)) == 2 * NET.hidden_size
    np.testing.assert_array_equal(run(TOKENS, **told), run(TOKENS))
    row = {"prompt_vector_embeddings": {"embedding": class_vectors()}}
    told = method.conditions(row, jnp.arange(2))
    chex.assert_trees_all_close(run(TOKENS, **told), run(TOKENS, class_ids=CLASSES), atol=1e-5)


def test_a_mesh_of_devices_gives_the_same():
    """Its norms of queries and keys go over heads that devices share."""
    mesh = sharding.make_mesh(shape=(2, 2, 2))
    told = {"prompts": some_prompts(), "vectors": class_vectors()}
    with sharding.use(mesh):
        shared = sharding.put(params(), mesh)
        spread = shared["layer_0"]["attention"]["query"]["kernel"].sharding.spec
        assert tuple(spread) == ("fsdp", "tensor", None)
        made = jax.jit(lambda of: NET.apply({"params": of}, TOKENS, **told))(shared)
    chex.assert_trees_all_close(made, run(TOKENS, **told), atol=1e-5)
