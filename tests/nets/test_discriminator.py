"""The discriminator against the released one, in small widths and in the released widths."""

import functools
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import golden
from vpt_gen.nets.discriminator import (
    Discriminator,
    blur_downsample,
    scaled_widths,
)
from vpt_gen.training.losses import r1_penalty

FILE = "tokenizer_train_losses.npz"


@functools.cache
def released_width_parameters() -> dict:
    """The parameters that the manifest gives as a recipe, too large to be stored."""
    recipe = golden.manifest()["disc_full_recipe"]
    random = np.random.RandomState(int(re.search(r"RandomState\((\d+)\)", recipe["text"])[1]))
    tree: dict = {}
    for path, facts in sorted(recipe["parameters"].items()):
        shape = tuple(facts["shape"])
        scale = 0.1 if path.endswith("bias") else math.sqrt(2.0 / math.prod(shape[:-1]))
        leaf = (scale * random.standard_normal(shape)).astype(np.float32)
        np.testing.assert_allclose(leaf.flat[0], facts["first"], rtol=1e-6)
        *modules, name = path.split("/")
        node = tree
        for module in modules:
            node = node.setdefault(module, {})
        node[name] = leaf
    return {"params": tree}


def test_parameter_tree_is_the_released_one():
    net, variables = golden.discriminator()
    made = jax.eval_shape(net.init, jax.random.key(0), golden.load(FILE, "disc/real"))
    assert golden.layout(made) == golden.layout(variables)


@pytest.mark.parametrize("images", ["real", "fake"])
def test_logits(images):
    net, variables = golden.discriminator()
    logits = jax.jit(net.apply)(variables, golden.load(FILE, f"disc/{images}"))
    golden.check(FILE, f"disc/{images}_logit", logits)


def test_scaled_widths_keep_the_proportions():
    widths = scaled_widths(64)
    assert (widths[4], widths[32], widths[64], widths[256]) == (64, 64, 32, 8)
    assert scaled_widths(512) == Discriminator().widths


@pytest.mark.slow
def test_released_widths():
    net, images = Discriminator(), golden.load(FILE, "disc_full/x")
    variables = released_width_parameters()
    made = jax.eval_shape(net.init, jax.random.key(0), images)
    assert golden.layout(made) == golden.layout(variables)
    golden.check(FILE, "disc_full/logit", jax.jit(net.apply)(variables, images))


@pytest.mark.slow
@pytest.mark.parametrize("cost", golden.cases(FILE, r"disc_full/r1_penalty_cost(\d+)"))
def test_r1_at_released_widths(cost):
    penalty = jax.jit(
        lambda variables, images: r1_penalty(
            functools.partial(Discriminator().apply, variables), images, float(cost)
        )
    )(released_width_parameters(), golden.load(FILE, "disc_full/x"))
    golden.check(FILE, f"disc_full/r1_penalty_cost{cost}", penalty)


def test_blur_keeps_a_flat_image_inside_and_halves_the_sides():
    blurred = blur_downsample(jnp.ones((1, 8, 8, 2)))
    assert blurred.shape == (1, 4, 4, 2)
    np.testing.assert_allclose(blurred[:, 1:-1, 1:-1], 1.0)


@pytest.mark.slow
def test_blur_taps_are_one_three_three_one():
    image = jnp.zeros((1, 4, 4, 1)).at[0, 1, 2].set(64.0)
    # Output 0 sees pixels -1..2, output 1 sees pixels 1..4.
    np.testing.assert_array_equal(blur_downsample(image)[0, :, :, 0], [[3.0, 9.0], [1.0, 3.0]])


@pytest.mark.parametrize(("side", "blocks", "last"), [(32, 3, 4), (48, 3, 6), (64, 4, 4)])
def test_sides_are_halved_as_often_as_the_largest_power_of_two_in_them(side, blocks, last):
    images = jax.ShapeDtypeStruct((1, side, side, 3), np.float32)
    net = Discriminator({64: 2, 32: 3, 16: 4, 8: 5, 4: 6})
    params = jax.eval_shape(net.init, jax.random.key(0), images)["params"]
    assert sum(name.startswith("ResBlock_") for name in params) == blocks
    assert params["Dense_0"]["kernel"].shape == (last * last * 6, 6)
