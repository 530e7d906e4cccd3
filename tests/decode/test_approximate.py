"""Decoding that recomputes a part of the positions: exact where nothing is left out."""

import functools

import jax
import numpy as np
import pytest

from tests.random_params import random_params
from vpt_gen.decode import approximate, halton
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.nets.stack import stack_layers
from vpt_gen.nets.transformer import MASK_TOKEN_ID

pytestmark = pytest.mark.slow

N, T = 9, 4
NET = MaskGIT(11, 3, N, num_layers=2, hidden_size=16, num_heads=2, intermediate_size=32)
PROMPTS = np.random.default_rng(1).normal(size=(1, 2, 4, 16)).astype(np.float32)
ROWS = np.array([1, 0, 1])


@functools.cache
def params(net=NET):
    return random_params(net, N)


@functools.cache
def keys():
    return jax.random.split(jax.random.key(0), 3)


@functools.partial(jax.jit, static_argnames=("net", "options"))
def program(net, options, params, keys, given):
    return approximate.decode(net, params, keys, N, num_iterations=T, **given, **dict(options))


def approximately(prompts=PROMPTS, class_ids=None, *, net=NET, held=None, images=3, **options):
    given = {"prompts": prompts, "class_ids": class_ids, "rows": ROWS[:images]}
    held = params(net) if held is None else held
    return program(net, tuple(options.items()), held, keys()[:images], given)


@functools.partial(jax.jit, static_argnames="net")
def exact_program(net, params, keys, prompts, class_ids):
    def logits_fn(tokens, prompts_t):
        return net.apply({"params": params}, tokens, prompts_t, class_ids)

    tokens = np.full((len(keys), N), MASK_TOKEN_ID)
    return halton.decode(keys, tokens, logits_fn, prompts, width=3, num_iterations=T)


def exactly(prompts, class_ids=None, net=NET):
    """`halton.decode` with a prompt of its own for every image, in every iteration."""
    return exact_program(net, params(net), keys(), prompts, class_ids)


def of_every_iteration(prompts):
    return np.repeat(prompts[:, ROWS], T, axis=0)


def test_with_a_refresh_in_every_iteration_it_is_exact():
    found, expected = approximately(refresh_every=1), exactly(of_every_iteration(PROMPTS))
    for ours, exact in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, exact)


@pytest.mark.parametrize(
    "options", [{"recompute": "masked", "refresh_every": 2}, {"recompute": "frontier"}]
)
def test_stacked_layers_and_batches_change_nothing(options):
    tokens = np.asarray(approximately(**options)[0])
    assert ((tokens >= 0) & (tokens < 11)).all()
    stacked = stack_layers(params(), NET.layer_prefix)
    alone, _ = approximately(held=stacked, images=1, **options)
    np.testing.assert_array_equal(alone[0], tokens[0])


def test_one_layer_whose_all_positions_are_run_is_exact():
    """Recomputing what is masked or was just revealed leaves nothing stale but older tokens.

    With one layer keys and values depend on a position's own token alone, so they are exact too.
    """
    net = NET.clone(num_layers=1)
    tokens, _ = approximately(net=net, recompute="masked")
    expected, _ = exactly(of_every_iteration(PROMPTS), net=net)
    np.testing.assert_array_equal(tokens, expected)


def test_prompts_that_change_are_recomputed():
    changing = np.stack([PROMPTS[0] * scale for scale in (1.0, -1.0, 2.0, 0.5)])
    tokens, _ = approximately(changing, refresh_every=1)
    expected, _ = exactly(changing[:, ROWS])
    np.testing.assert_array_equal(tokens, expected)
    partly, _ = approximately(changing, recompute="frontier")
    constant, _ = approximately(changing[:1], recompute="frontier")
    assert (partly != constant).any()


def test_classes_take_the_place_of_prompts():
    class_ids = np.array([0, 2])
    tokens, _ = approximately(None, class_ids, refresh_every=1)
    expected, _ = exactly(None, class_ids[ROWS])
    np.testing.assert_array_equal(tokens, expected)


def test_chunks_hold_what_their_iterations_need():
    counts = np.array([4, 5, 6, 12, 13, 16])
    masked = approximate.chunks(counts, "masked", 3)
    assert [tuple(chunk) for chunk in masked] == [(0, 3, True, 16, 1), (3, 6, True, 10, 3)]
    frontier = approximate.chunks(counts, "frontier", 3)
    assert [chunk.active for chunk in frontier] == [5, 7]
    whole = approximate.chunks(counts, "frontier", 0)
    assert [tuple(chunk)[:3] for chunk in whole] == [(0, 2, True), (2, 4, False), (4, 6, False)]


def test_the_share_of_the_work():
    counts = np.array([4, 8, 12, 16])
    assert approximate.recomputed_share(counts, "frontier", 1, prefix=8) == 1.0
    # One whole iteration of 24 positions, and three of 8.
    assert approximate.recomputed_share(counts, "frontier", 4, prefix=8) == 48 / 96
