"""Decoding with a LlamaGen: guidance in one batch, marquees, shared conditions, single images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.nets.test_llamagen import CLASSES, NET, params, prompts
from vpt_gen.decode import autoregressive
from vpt_gen.decode.generate import generate, num_stages
from vpt_gen.nets.llamagen import ROTATIONS
from vpt_gen.nets.stack import stack_layers

pytestmark = pytest.mark.slow


def decode(net=NET, held=None, count=3, **options):
    keys = jax.random.split(jax.random.key(1), count)

    @jax.jit
    def run(held):
        return autoregressive.decode(net, held, keys, 9, **options)

    return run(held or params())


def whole(tokens, net=NET, **condition):
    return net.apply({"params": params()}, tokens, **condition)


@pytest.mark.parametrize("condition", [*ROTATIONS, "class", "stacked"])
def test_guidance_is_that_of_whole_sequences(condition):
    """In one batch where prompts weigh as a class, and next to it where they do not."""
    net, held, given = NET, None, {"prompts": prompts()}
    if condition in ROTATIONS:
        net = NET.taking_prompts(condition)
    if condition == "class":
        given = {"class_ids": CLASSES}
    if condition == "stacked":
        held = stack_layers(params(), NET.layer_prefix)
    options = {"guidance": 1.5, "guidance_start": 2 / 9, "guidance_stop": 7 / 9}
    found = decode(net, held, **given, temperature=0.0, **options)
    with_condition = whole(found, net, **given)
    without = whole(found, class_ids=jnp.full(3, -1))
    n = jnp.arange(9)[:, None]
    scale = jnp.where((n >= 2) & (n < 7), 1.5, 0.0)
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
        (NET, {"prompts": prompts()}, 1),
        (NET, {"class_ids": CLASSES}, 1),
        (NET.taking_prompts("identity"), {"prompts": prompts()}, 2),
    ):
        assert count_products(net, **given) == prefix + step
        assert count_products(net, **given, guidance=1.0) == 2 * prefix + steps * step


def test_a_marquee_acts_from_its_stretch_on():
    assert num_stages(NET, 9, {}) == 3
    other = jnp.flip(prompts(), axis=0)
    plain = decode(prompts=prompts())
    np.testing.assert_array_equal(decode(prompts=jnp.stack([prompts()] * 3)), plain)
    changed = decode(prompts=jnp.stack([prompts(), other, other]))
    np.testing.assert_array_equal(changed[:, :3], plain[:, :3])
    assert (changed[:, 3:] != plain[:, 3:]).any()


@pytest.mark.parametrize("guidance", [0.0, 0.5])
def test_images_share_conditions_and_depend_on_nothing_else(guidance):
    keys = jax.random.split(jax.random.key(4), 4)
    rows = jnp.array([0, 2, 0, 1])

    def run(keys, rows, given):
        options = {"rows": rows, "guidance": guidance}
        return generate(NET, params(), keys, 9, prompts=given[None], **options)[0]

    together = run(keys, rows, prompts())
    each = run(keys, jnp.arange(4), prompts()[rows])
    np.testing.assert_array_equal(together, each)
    np.testing.assert_array_equal(run(keys[1:2], rows[1:2], prompts()), together[1:2])
