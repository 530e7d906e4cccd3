"""The Halton order: the sequence itself, how many tokens an iteration reveals, and which."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.decode.test_parallel import numbered_prompts, prompt_logits, wavy_logits
from vpt_gen.decode import halton
from vpt_gen.nets.transformer import MASK_TOKEN_ID

KEYS = jax.random.split(jax.random.key(0), 3)
MASK = MASK_TOKEN_ID
decode = jax.jit(halton.decode, static_argnames=("logits_fn", "width", "num_iterations"))


def test_the_order_begins_as_the_sequence_does():
    # 1/2 1/4 3/4 1/8 of 16 rows, 1/3 2/3 1/9 4/9 of 16 columns.
    rows, columns = np.divmod(halton.halton_order(16, 16)[:4], 16)
    assert rows.tolist() == [8, 4, 12, 2]
    assert columns.tolist() == [5, 10, 1, 7]


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (8, 8), (16, 16), (32, 32), (5, 12)])
def test_every_position_has_one_turn(shape):
    order = halton.halton_order(*shape)
    assert sorted(order.tolist()) == list(range(shape[0] * shape[1]))


def test_a_quarter_of_the_order_covers_every_part_of_the_grid():
    rows, columns = np.divmod(halton.halton_order(16, 16)[:64], 16)
    quarters = np.bincount((rows // 4) * 4 + columns // 4, minlength=16)
    assert quarters.min() >= 3
    assert quarters.max() <= 5


def test_counts_follow_the_arccos_schedule():
    # floor(256 * 2 / pi * asin(t / 4)); at last, all.
    assert halton.reveal_counts(256, 4, "arccos").tolist() == [41, 85, 138, 256]


@pytest.mark.parametrize("schedule", ["arccos", "cosine", "exp"])
def test_every_iteration_reveals_one_as_long_as_there_are_any(schedule):
    assert (np.diff(halton.reveal_counts(16, 12, schedule), prepend=0) >= 1).all()
    assert halton.reveal_counts(3, 8, schedule).tolist() == [1, 2, 3, 3, 3, 3, 3, 3]


def test_counts_are_known_while_tracing():
    assert jax.jit(lambda: jnp.zeros(halton.reveal_counts(9, 3, "cosine")[0]))().shape == (1,)


@pytest.mark.slow
def test_unknown_tokens_are_decoded_in_their_turn_and_given_ones_stay():
    tokens = np.full((3, 12), MASK)
    tokens[0, 2:7] = np.arange(5)
    decoded, revealed_at = map(
        np.asarray, decode(KEYS, tokens, wavy_logits, width=4, num_iterations=5)
    )
    assert ((decoded >= 0) & (decoded < 9)).all()
    np.testing.assert_array_equal(decoded[0, 2:7], np.arange(5))
    np.testing.assert_array_equal(revealed_at[0, 2:7], -1)
    counts = np.diff(halton.reveal_counts(12, 5, "arccos"), prepend=0)
    for row in revealed_at[1:]:
        np.testing.assert_array_equal(np.bincount(row, minlength=5), counts)
    assert (revealed_at[1] != revealed_at[2]).any()


@pytest.mark.slow
def test_an_iteration_sees_what_those_before_it_revealed():
    """Codes that count the known tokens tell how many each position has seen."""

    def count_known(tokens, prompts):
        known = jnp.sum(tokens != MASK, axis=-1)
        return 1e4 * jax.nn.one_hot(jnp.broadcast_to(known[:, None], tokens.shape), 17)

    tokens, revealed_at = decode(
        KEYS[:1], np.full((1, 16), MASK), count_known, width=4, num_iterations=4
    )
    before = np.concatenate([[0], halton.reveal_counts(16, 4, "arccos")[:-1]])
    np.testing.assert_array_equal(tokens, before[revealed_at])


@pytest.mark.slow
def test_every_iteration_has_its_prompt():
    tokens, revealed_at = decode(
        KEYS[:2],
        np.full((2, 16), MASK),
        prompt_logits,
        numbered_prompts(6, batch=2),
        width=4,
        num_iterations=6,
    )
    np.testing.assert_array_equal(tokens, revealed_at)


@pytest.mark.slow
def test_an_image_hangs_on_its_key_alone():
    tokens = np.full((3, 16), MASK)
    together, _ = decode(KEYS, tokens, wavy_logits, width=4, num_iterations=4)
    alone, _ = decode(KEYS[1:2], tokens[:1], wavy_logits, width=4, num_iterations=4)
    np.testing.assert_array_equal(alone[0], together[1])
