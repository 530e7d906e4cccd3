"""Decoding with a LlamaGen: guidance in one batch, marquees, shared conditions, single images."""

import functools

import jax
import numpy as np
import pytest

from tests.random_params import random_params
from vpt_gen.decode import autoregressive
from vpt_gen.decode.generate import generate, num_stages
from vpt_gen.nets.llamagen import ROTATIONS, LlamaGen
from vpt_gen.nets.stack import stack_layers
from vpt_gen.nets.transformer import NO_CLASS

pytestmark = pytest.mark.slow

NET = LlamaGen(23, 5, 9, num_layers=1, hidden_size=16, num_heads=2, intermediate_size=24)
CLASSES = np.array([0, 3, NO_CLASS])
PROMPTS = np.random.default_rng(2).normal(size=(3, 4, 16)).astype(np.float32)


@functools.cache
def params(net=NET):
    return random_params(net, 9)


@functools.partial(jax.jit, static_argnames=("net", "options"))
def program(net, options, params, given):
    keys = jax.random.split(jax.random.key(1), 3)
    return autoregressive.decode(net, params, keys, 9, **given, **dict(options))


def decode(net, held, given, **options):
    return np.asarray(program(net, tuple(options.items()), held, given))


@functools.partial(jax.jit, static_argnames="net")
def whole(net, params, tokens, given):
    """Logits of whole sequences."""
    return net.apply({"params": params}, tokens, **given)


@pytest.mark.parametrize("condition", [*ROTATIONS, "class", "stacked"])
def test_guidance_is_that_of_whole_sequences(condition):
    """In one batch where prompts weigh as a class, and next to it where they do not."""
    net = NET.taking_prompts(condition) if condition in ROTATIONS else NET
    if condition == "stacked":
        net = NET.clone(num_layers=2)
    given = {"class_ids": CLASSES} if condition == "class" else {"prompts": PROMPTS}
    one_by_one, held = params(net), params(net)
    if condition == "stacked":
        held = stack_layers(held, net.layer_prefix)
    options = {"guidance": 1.5, "guidance_start": 2 / 9, "guidance_stop": 7 / 9}
    found = decode(net, held, given, temperature=0.0, **options)
    with_condition = np.asarray(whole(net, one_by_one, found, given))
    without = whole(net, one_by_one, found, {"class_ids": np.full(3, NO_CLASS)})
    n = np.arange(9)[:, None]
    scale = np.where((n >= 2) & (n < 7), 1.5, 0.0)
    guided = with_condition + scale * (with_condition - without)
    np.testing.assert_array_equal(found, guided.argmax(-1))
    assert (found != with_condition.argmax(-1)).any()


def count_products(net, **given):
    def run(held):
        keys = jax.random.split(jax.random.key(1), 3)
        return autoregressive.decode(net, held, keys, 9, **given)

    def of(equation):
        counts = map(count, jax.core.jaxprs_in_params(equation.params))
        if equation.primitive.name == "cond":  # One way for each kind of machine.
            return max(counts)
        return (equation.primitive.name == "dot_general") + sum(counts)

    def count(jaxpr):
        return sum(map(of, jaxpr.eqns))

    return count(jax.make_jaxpr(run)(params()).jaxpr)


def test_one_batch_has_no_products_of_its_own_for_the_unconditional_half():
    """Besides its prefix, which is run once. Prompts with keys need a step of their own."""
    prefix = 9 * NET.num_layers  # Seven matrices, scores, and sums of values.
    step = prefix + 1
    for net, given, steps in (
        (NET, {"prompts": PROMPTS}, 1),
        (NET, {"class_ids": CLASSES}, 1),
        (NET.taking_prompts("identity"), {"prompts": PROMPTS}, 2),
    ):
        assert count_products(net, **given) == prefix + step
        assert count_products(net, **given, guidance=1.0) == 2 * prefix + steps * step


def test_a_marquee_acts_from_its_stretch_on():
    assert num_stages(NET, 9, {}) == 3
    plain = decode(NET, params(), {"prompts": PROMPTS})
    constant = np.stack([PROMPTS] * 3)
    np.testing.assert_array_equal(decode(NET, params(), {"prompts": constant}), plain)
    constant[1:] = PROMPTS[::-1]
    changed = decode(NET, params(), {"prompts": constant})
    np.testing.assert_array_equal(changed[:, :3], plain[:, :3])
    assert (changed[:, 3:] != plain[:, 3:]).any()


@pytest.mark.parametrize("guidance", [0.0, 0.5])
def test_images_share_conditions_and_depend_on_nothing_else(guidance):
    keys, rows = jax.random.split(jax.random.key(4), 4), np.array([0, 2, 0, 1])

    @jax.jit
    def run(params, keys, rows, given):
        options = {"rows": rows, "guidance": guidance}
        return generate(NET, params, keys, 9, prompts=given[None], **options)[0]

    # One more condition than there are, so that both runs are of the same program.
    given = PROMPTS[[0, 1, 2, 0]]
    together = run(params(), keys, rows, given)
    np.testing.assert_array_equal(together, run(params(), keys, np.arange(4), given[rows]))
    alone = run(params(), keys[1:2], rows[1:2], given)
    np.testing.assert_array_equal(alone, together[1:2])
