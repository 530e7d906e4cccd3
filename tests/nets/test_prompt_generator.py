"""The prompt generator against the released one, alone and in front of the transformer."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import golden
from vpt_gen.nets.prompt_generator import PromptGenerator

FILE = "prompt.npz"
KINDS = golden.prompt_kinds()


def class_ids() -> np.ndarray:
    return golden.load(FILE, "class_ids")[:, 0]


def prompts(kind: str) -> jax.Array:
    net, variables = golden.prompt_generator(kind)
    return net.apply(variables, class_ids())


def conditioned(kind: str, method: str) -> jax.Array:
    return golden.run_maskgit(method, golden.load(FILE, "ids"), prompts(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_parameter_tree_is_the_released_one(kind):
    net, variables = golden.prompt_generator(kind)
    made = jax.eval_shape(net.init, jax.random.key(0), class_ids())
    assert golden.layout(made) == golden.layout(variables)


@pytest.mark.parametrize("kind", KINDS)
def test_prompts(kind):
    golden.check(FILE, f"prompts_{kind}", prompts(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_conditioned_logits(kind):
    name = f"cond_logits_{kind}"
    columns = golden.load(FILE, name).shape[-1]
    golden.check(FILE, name, conditioned(kind, "__call__")[..., :columns])


@pytest.mark.parametrize("kind", KINDS)
def test_conditioned_visual_logits_are_the_last_rows(kind):
    name = f"cond_logits_{kind}"
    rows = golden.load(FILE, "ids").shape[1]
    columns = golden.maskgit()[0].codebook_size
    expected = golden.load(FILE, name)[:, -rows:, :columns]
    atol = golden.tolerance(FILE, name)
    golden.assert_near(conditioned(kind, "visual_logits"), expected, atol, name)


@pytest.mark.parametrize("kind", golden.cases(FILE, r"cond_logits_sliced_(\w+)"))
def test_conditioned_visual_logits(kind):
    golden.check(FILE, f"cond_logits_sliced_{kind}", conditioned(kind, "visual_logits"))


@pytest.mark.parametrize("hidden_size", [None, 6])
def test_shape_and_dropout(hidden_size):
    net = PromptGenerator(5, 3, feature_size=8, hidden_size=hidden_size, dropout_rate=0.5)
    ids = jnp.array([4, 0])
    variables = jax.jit(net.init)(jax.random.key(0), ids)
    still = net.apply(variables, ids)
    chex.assert_shape(still, (2, 3, hidden_size or 8))
    chex.assert_trees_all_equal(
        still, net.apply(variables, ids, rngs={"dropout": jax.random.key(1)})
    )
    noisy = net.apply(variables, ids, False, rngs={"dropout": jax.random.key(1)})
    dropped = noisy == 0.0
    assert 0 < dropped.mean() < 1
    chex.assert_trees_all_close(noisy, jnp.where(dropped, 0.0, 2.0 * still), atol=1e-6)


def test_a_prompt_depends_on_its_own_class_only():
    net = PromptGenerator(5, 3, feature_size=8)
    variables = jax.jit(net.init)(jax.random.key(0), jnp.array([0]))
    pair = net.apply(variables, jnp.array([1, 2]))
    chex.assert_trees_all_close(pair[1:], net.apply(variables, jnp.array([2])), atol=1e-6)
    assert np.abs(pair[0] - pair[1]).max() > 1e-2
