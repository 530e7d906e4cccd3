"""Gradients of the tuning loss for every prompt parameter, against differences of the loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import made
from vpt_gen.nets.gpt import GPT
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.nets.prompt_generator import PromptGenerator, init_params
from vpt_gen.training.objectives import Objective

pytestmark = pytest.mark.slow

SIZES = {"num_layers": 2, "hidden_size": 16, "num_heads": 2, "intermediate_size": 32}
NETS = {"nar": MaskGIT(9, 2, 8, **SIZES), "ar": GPT(9, 8, **SIZES)}
GENERATORS = {
    "additive": PromptGenerator(2, 3, 16, dropout_rate=0.0),
    "projected": PromptGenerator(2, 3, 5, hidden_size=16, dropout_rate=0.0),
    "factorized": PromptGenerator(2, 3, 16, dropout_rate=0.0, design="factorized", num_factors=2),
    "full": PromptGenerator(2, 3, 16, dropout_rate=0.0, design="full"),
}
# Attention's softmax is in float32 even here, which bounds how small a step can be.
STEP = 3e-4


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("family", NETS)
@pytest.mark.parametrize("design", GENERATORS)
def test_every_parameter_has_its_derivative(family, design):
    net, generator = NETS[family], GENERATORS[design]
    tokens = jax.random.randint(jax.random.key(0), (4, 8), 0, 9)
    labels = jnp.arange(4) % 2
    frozen = made.new_params(net, tokens, seed=1, class_ids=labels)
    frozen = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64) * 5.0, frozen)
    # Far from the tiny initial values, at which the norm makes the loss too curved to difference.
    leaves, structure = jax.tree.flatten(init_params(generator, jax.random.key(2)))
    keys = jax.random.split(jax.random.key(4), len(leaves))
    draws = [jax.random.normal(k, x.shape, jnp.float64) for k, x in zip(keys, leaves, strict=True)]
    params = jax.tree.unflatten(structure, draws)
    objective = Objective(net, 0.1, "cosine")

    @jax.jit
    def loss(params):
        prompts = generator.apply({"params": params}, class_ids=labels)
        return objective(frozen, tokens, jax.random.key(3), prompts=prompts).mean()

    gradients = jax.grad(loss)(params)
    for number, (path, gradient) in enumerate(jax.tree_util.tree_leaves_with_path(gradients)):
        direction = jax.random.normal(jax.random.key(number), gradient.shape, jnp.float64)

        def moved(step, path=path, direction=direction):
            return jax.tree_util.tree_map_with_path(
                lambda p, x: x + step * direction if p == path else x, params
            )

        difference = (loss(moved(STEP)) - loss(moved(-STEP))) / (2 * STEP)
        slope = jnp.sum(gradient * direction)
        assert np.abs(slope) > 1e-4, jax.tree_util.keystr(path)
        np.testing.assert_allclose(slope, difference, rtol=2e-3, atol=1e-4)
