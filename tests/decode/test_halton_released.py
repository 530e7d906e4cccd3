"""The released Halton sampler: its counts and factors, and what its options do."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.golden_halton import logits_with_mask
from tests.nets.test_halton_maskgit import CLASSES, NET, params
from vpt_gen.decode import halton, halton_released
from vpt_gen.decode.decoders import of_net
from vpt_gen.decode.generate import generate
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.nets.transformer import MASK_TOKEN_ID

KEYS = jax.random.split(jax.random.key(1), 4)
ROWS = jnp.array([1, 0, 1, 1])


@functools.partial(jax.jit, static_argnames=("options",))
def _drawn(of, conditions, options):
    return generate(NET, of, KEYS, 9, **conditions, **dict(options))


def draw(of=None, conditions=None, **options):
    conditions = {"class_ids": CLASSES, "rows": ROWS} if conditions is None else conditions
    options = {"decoder": "halton_released", "num_iterations": 4, **options}
    return _drawn(of or params(), conditions, tuple(options.items()))


def test_counts_are_truncated_and_rise_by_one_at_least():
    # floor(256 * 2 / pi * asin(t / 4)), and one more at least.
    assert halton_released.reveal_counts(256, 4).tolist() == [41, 85, 138, 256]
    assert halton_released.reveal_counts(4, 6).tolist() == [1, 2, 3, 4, 5, 6]


def test_factors_change_linearly_and_the_first_are_halved_at_last():
    made = halton_released.factors(5, 1.0, 3.0, 1.0, 0)
    np.testing.assert_allclose(made, [1.0, 1.5, 2.0, 2.5, 3.0])
    made = halton_released.factors(3, 1.0, 3.0, 2.0, 2)
    np.testing.assert_allclose(made, [0.5, 2.0, 9.0])
    assert halton_released.factors(1, 0.7, 3.0, 1.0, 0).tolist() == [np.float32(0.7)]


def test_it_works_with_nets_that_predict_the_mask():
    assert "halton_released" in of_net(NET)
    assert "halton_released" not in of_net(MaskGIT())


def test_a_given_token_is_written_in_its_turn():
    start = jnp.full((1, 9), MASK_TOKEN_ID).at[0, 3].set(5)
    tokens, revealed_at = halton_released.decode(
        start,
        jnp.zeros(1, jnp.int32),
        lambda tokens, stage: tokens[..., None],
        lambda states, iteration: jnp.zeros((*states.shape[:2], 12)),
        lambda logits, positions, iteration: jnp.full(positions.shape, iteration),
        width=3,
        num_iterations=3,
    )
    np.testing.assert_array_equal(tokens, revealed_at)
    order = halton.halton_order(3, 3)
    assert (np.diff(np.asarray(revealed_at)[0, order]) >= 0).all()


def test_logits_are_computed_only_where_an_iteration_may_write():
    widths = []

    def logits_fn(states, iteration):
        widths.append(states.shape[1])
        return jnp.zeros((*states.shape[:2], 12))

    jax.eval_shape(
        lambda start: halton_released.decode(
            start,
            jnp.zeros(2, jnp.int32),
            lambda tokens, stage: tokens[..., None],
            logits_fn,
            lambda logits, positions, iteration: positions,
            width=8,
            num_iterations=8,
        ),
        jnp.full((2, 64), MASK_TOKEN_ID),
    )
    most = np.diff(halton_released.reveal_counts(64, 8), prepend=0).max()
    assert most < 32 and set(widths) == {most}


@pytest.mark.slow
def test_shared_conditions_give_the_same_tokens_and_images_depend_on_their_keys():
    shared, revealed_at = draw()
    own, _ = draw(conditions={"class_ids": CLASSES[ROWS]})
    np.testing.assert_array_equal(shared, own)
    assert len(np.unique(shared, axis=0)) == len(KEYS)
    assert len(np.unique(revealed_at, axis=0)) > 1


@pytest.mark.slow
def test_without_a_roll_all_images_have_one_order():
    _, revealed_at = draw(roll=False)
    assert len(np.unique(revealed_at, axis=0)) == 1


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"top_k": 1}, {"factor_start": 100.0, "factor_end": 100.0}])
def test_the_likeliest_tokens_alone_leave_nothing_to_chance(options):
    scaled = {**params(), "head": {"bias": 50 * params()["head"]["bias"]}}
    tokens, _ = draw(of=scaled, roll=False, **options)
    np.testing.assert_array_equal(tokens[2], tokens[3])
    varied, _ = draw(roll=False)
    assert (varied[2] != varied[3]).any()


@pytest.mark.slow
def test_a_drawn_mask_becomes_the_last_code():
    bias = jnp.zeros(NET.codebook_size + 1).at[-1].set(1e4)
    tokens, _ = draw(of={**params(), "head": {"bias": bias}})
    assert (tokens == NET.codebook_size - 1).all()


@pytest.mark.slow
def test_guidance_goes_from_no_class_beyond_the_class():
    # So far that no noise matters.
    tokens, _ = draw(guidance=100.0, num_iterations=1, factor_start=100.0, factor_end=100.0)
    unknown = jnp.full((len(KEYS), 9), MASK_TOKEN_ID)

    def logits(**conditions):
        of = {"params": params()}
        return NET.apply(of, unknown, **conditions, method=logits_with_mask)

    beyond = logits(class_ids=CLASSES[ROWS])
    beyond = beyond + 100.0 * (beyond - logits())
    expected = np.minimum(beyond.argmax(-1), NET.codebook_size - 1)
    np.testing.assert_array_equal(tokens, expected)


@pytest.mark.slow
@pytest.mark.parametrize("decoder", ["confidence", "halton", "halton_released"])
def test_guidance_that_rises_begins_without_any(decoder):
    """One iteration of four: none in the first, all in the last."""
    plain, first_of = draw(decoder=decoder)
    rising, _ = draw(decoder=decoder, guidance=5.0, guidance_schedule="pow50")
    begun = first_of < 3  # The schedule has next to nothing before the last iteration.
    np.testing.assert_array_equal(np.where(begun, rising, -1), np.where(begun, plain, -1))
    assert (rising != plain).any()
