"""Stacked layers, rematerialization and bfloat16: the same net, held and computed otherwise."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import made
from vpt_gen.nets.gpt import GPT
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.nets.precision import cast_matrices
from vpt_gen.nets.stack import (
    REMAT,
    STACKED,
    stack_layers,
    unstack_layers,
)

pytestmark = pytest.mark.slow

SIZES = {"num_layers": 2, "hidden_size": 16, "num_heads": 2, "intermediate_size": 32}
NETS = {
    "nar": MaskGIT(7, 3, 6, **SIZES, dropout_rate=0.0),
    "ar": GPT(7, 6, **SIZES),
}
TOKENS = jax.random.randint(jax.random.key(0), (2, 6), 0, 7)
PROMPTS = jax.random.normal(jax.random.key(1), (2, 4, 16))
families = pytest.mark.parametrize("family", NETS)


@functools.cache
def make(family):
    net = NETS[family]
    params = made.new_params(net, TOKENS, seed=2, class_ids=TOKENS[:, 0])
    return net, jax.tree.map(lambda x: 10.0 * x if x.ndim > 1 else x, params)


def logits(net, params, prompts=PROMPTS, **options):
    return net.apply({"params": params}, TOKENS, prompts, **options)


def loss_and_gradient(net, params):
    return jax.jit(jax.value_and_grad(lambda prompts: (logits(net, params, prompts) ** 2).mean()))(
        PROMPTS
    )


def residual_bytes(net, params):
    """What the forward pass keeps for the backward pass, parameters aside."""
    _, backward = jax.vjp(lambda prompts: logits(net, params, prompts), PROMPTS)
    held = {id(x) for x in jax.tree.leaves(params)}
    return sum(x.nbytes for x in jax.tree.leaves(backward) if id(x) not in held)


@functools.cache
def as_it_is(family):
    """The loss and the gradient of layers one after another, all of it stored."""
    return loss_and_gradient(*make(family))


@families
@pytest.mark.parametrize("on_host", [False, True])
def test_stacking_and_back_is_nothing(family, on_host):
    net, params = make(family)
    params = jax.device_get(params) if on_host else params
    stacked = stack_layers(params, net.layer_prefix)
    assert STACKED in stacked and not any(name.startswith(net.layer_prefix) for name in stacked)
    assert isinstance(jax.tree.leaves(stacked[STACKED])[0], np.ndarray) == on_host
    chex.assert_trees_all_equal(unstack_layers(stacked, net.layer_prefix), params)


@families
@pytest.mark.parametrize(
    ("remat", "stacked"),
    [("none", True), ("attention", False), ("dots", True), ("layer", False), ("layer", True)],
)
def test_loss_and_gradient_hang_on_neither(family, remat, stacked):
    net, params = make(family)
    expected = as_it_is(family)
    params = stack_layers(params, net.layer_prefix) if stacked else params
    chex.assert_trees_all_close(
        loss_and_gradient(net.clone(remat=remat), params), expected, rtol=1e-5, atol=1e-6
    )


@families
def test_rematerializing_keeps_less(family):
    net, params = make(family)
    kept = [residual_bytes(net.clone(remat=remat), params) for remat in REMAT]
    names = dict(zip(REMAT, kept, strict=True))
    assert names["layer"] < names["dots"] < names["none"]
    assert names["layer"] < names["attention"] < names["none"]


def test_an_unknown_policy_is_an_error():
    net, params = make("nar")
    with pytest.raises(ValueError, match="Remat 'all'"):
        logits(net.clone(remat="all"), params)


@families
def test_the_gradient_of_prompts_keeps_no_input_of_a_matrix(family):
    """A gradient of the MLP's second kernel would need the activations before it."""
    net, params = make(family)
    _, backward = jax.vjp(lambda prompts: logits(net, params, prompts), PROMPTS)
    _, with_weights = jax.vjp(lambda *both: logits(net, *both), params, PROMPTS)
    wide = [
        sum(x.shape[-1:] == (32,) and x.ndim == 3 for x in jax.tree.leaves(f))
        for f in (backward, with_weights)
    ]
    assert wide[0] < wide[1]


@families
def test_dropout_differs_between_stacked_layers(family):
    net, params = make(family)
    net, params = net.clone(dropout_rate=0.5), stack_layers(params, net.layer_prefix)

    @jax.jit
    def noisy(seed):
        rngs = {"dropout": jax.random.key(seed)}
        return logits(net, params, deterministic=False, rngs=rngs)

    chex.assert_trees_all_equal(noisy(0), noisy(0))
    assert np.abs(noisy(0) - noisy(1)).max() > 1e-2


@families
@pytest.mark.parametrize("stacked", [False, True])
def test_bfloat16_matrices_stay_near_float32(family, stacked):
    net, params = make(family)
    expected, expected_gradient = as_it_is(family)
    halved = cast_matrices(params, jnp.bfloat16)
    assert {x.dtype for x in jax.tree.leaves(halved)} == {
        jnp.dtype(jnp.bfloat16),
        jnp.dtype(jnp.float32),
    }
    halved = stack_layers(halved, net.layer_prefix) if stacked else halved
    assert jax.eval_shape(lambda: logits(net, halved)).dtype == jnp.float32
    value, gradient = loss_and_gradient(net, halved)
    assert gradient.dtype == jnp.float32
    np.testing.assert_allclose(value, expected, rtol=0.03)
    error = jnp.linalg.norm(gradient - expected_gradient) / jnp.linalg.norm(expected_gradient)
    assert error < 0.05
