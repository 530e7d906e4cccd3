"""Decoding that recomputes a part of the positions: exact where nothing is left out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vpt_gen.decode import approximate, halton
from vpt_gen.decode.generate import generate
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.nets.stack import stack_layers
from vpt_gen.nets.transformer import MASK_TOKEN_ID

pytestmark = pytest.mark.slow

N, T = 9, 4
NET = MaskGIT(11, 3, N, num_layers=2, hidden_size=16, num_heads=2, intermediate_size=32)
KEYS = jax.random.split(jax.random.key(0), 3)
PROMPTS = jax.random.normal(jax.random.key(1), (1, 2, 4, 16))
ROWS = jnp.array([1, 0, 1])
modes = pytest.mark.parametrize("recompute", approximate.RECOMPUTE)


@pytest.fixture(scope="module")
def params():
    tokens = jnp.zeros((1, N), jnp.int32)
    params = NET.init(jax.random.key(2), tokens, class_ids=tokens[:, 0])["params"]
    return jax.tree.map(lambda x: 20.0 * x if x.ndim > 1 else x, params)


def approximately(params, prompts=PROMPTS, rows=ROWS, keys=KEYS, **options):
    return jax.jit(
        lambda keys: approximate.decode(
            NET, params, keys, N, prompts=prompts, rows=rows, num_iterations=T, **options
        )
    )(keys)


def exactly(params, prompts, class_ids=None):
    """`halton.decode` with a prompt of its own for every image."""

    def logits_fn(tokens, prompts_t):
        return NET.apply({"params": params}, tokens, prompts_t, class_ids)

    tokens = jnp.full((len(KEYS), N), MASK_TOKEN_ID)
    return halton.decode(KEYS, tokens, logits_fn, prompts, width=3, num_iterations=T)


def of_every_iteration(prompts):
    return jnp.repeat(prompts[:, ROWS], T, axis=0)


@modes
def test_with_a_refresh_in_every_iteration_it_is_exact(params, recompute):
    tokens, revealed_at = approximately(params, recompute=recompute, refresh_every=1)
    expected = exactly(params, of_every_iteration(PROMPTS))
    np.testing.assert_array_equal(tokens, expected[0])
    np.testing.assert_array_equal(revealed_at, expected[1])


@modes
@pytest.mark.parametrize("refresh_every", [0, 2])
def test_stacked_layers_and_batches_change_nothing(params, recompute, refresh_every):
    options = {"recompute": recompute, "refresh_every": refresh_every}
    tokens, _ = approximately(params, **options)
    assert ((tokens >= 0) & (tokens < 11)).all()
    stacked, _ = approximately(stack_layers(params, NET.layer_prefix), **options)
    np.testing.assert_array_equal(stacked, tokens)
    alone, _ = approximately(params, rows=ROWS[:1], keys=KEYS[:1], **options)
    np.testing.assert_array_equal(alone[0], tokens[0])


def test_one_layer_whose_all_positions_are_run_is_exact(params):
    """Recomputing what is masked or was just revealed leaves nothing stale but older tokens.

    With one layer keys and values depend on a position's own token alone, so they are exact too.
    """
    net = NET.clone(num_layers=1)
    one = {name: value for name, value in params.items() if name != "TransformerLayer_1"}
    tokens, _ = approximate.decode(
        net, one, KEYS, N, prompts=PROMPTS, rows=ROWS, recompute="masked", num_iterations=T
    )

    def logits_fn(tokens, prompts_t):
        return net.apply({"params": one}, tokens, prompts_t)

    unknown = jnp.full((len(KEYS), N), MASK_TOKEN_ID)
    expected, _ = halton.decode(
        KEYS, unknown, logits_fn, of_every_iteration(PROMPTS), width=3, num_iterations=T
    )
    np.testing.assert_array_equal(tokens, expected)


def test_prompts_that_change_are_recomputed(params):
    changing = jnp.stack([PROMPTS[0] * scale for scale in (1.0, -1.0, 2.0, 0.5)])
    tokens, _ = approximately(params, changing, refresh_every=1)
    expected, _ = exactly(params, changing[:, ROWS])
    np.testing.assert_array_equal(tokens, expected)
    partly, _ = approximately(params, changing)
    constant, _ = approximately(params, changing[:1])
    assert (partly != constant).any()


def test_classes_take_the_place_of_prompts(params):
    class_ids = jnp.array([0, 2])
    tokens, _ = approximately(params, None, class_ids=class_ids, refresh_every=1)
    expected, _ = exactly(params, None, class_ids[ROWS])
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


@pytest.mark.parametrize("decoder", ["halton", "masked", "frontier"])
def test_generate_takes_it_by_name(params, decoder):
    tokens, revealed_at = generate(
        NET, params, KEYS, N, prompts=PROMPTS, rows=ROWS, decoder=decoder, num_iterations=T
    )
    assert ((tokens >= 0) & (tokens < 11)).all()
    assert revealed_at.max() == T - 1
