"""Parallel decoding without a network: ties, given tokens, prompts by iteration, one loop."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import golden
from vpt_gen.decode import parallel

FILE = "decode.npz"
KEY = jax.random.PRNGKey(0)
MASK = parallel.MASK_TOKEN_ID
decode = jax.jit(
    parallel.decode,
    static_argnames=("logits_fn", "num_iterations", "start_iteration", "schedule"),
)


def wavy_logits(ids, prompts=None):
    """Logits that depend on what is known so far, over 9 codes."""
    known = jnp.sum(ids, axis=-1)[:, None, None]
    position = jnp.arange(ids.shape[1])[:, None]
    return 2.0 * jnp.sin(known * jnp.arange(9) + position)


def prompt_logits(ids, prompts):
    """Logits that leave no choice: the code is the number that the prompt holds."""
    code = prompts[:, :1, 0].astype(jnp.int32)
    return 1e4 * jax.nn.one_hot(jnp.broadcast_to(code, ids.shape), 9)


def numbered_prompts(num_iterations: int, batch: int) -> np.ndarray:
    numbers = np.arange(num_iterations, dtype=np.float32)[:, None, None, None]
    return np.broadcast_to(numbers, (num_iterations, batch, 2, 3))


@pytest.mark.parametrize("case", golden.cases(FILE, r"topk/(p\d/t[\d.]+)/masking"))
def test_choose_masked(case, monkeypatch):
    variant, temperature = case.split("/t")
    draws = golden.noted(monkeypatch, jax.random, "gumbel")
    with golden.threefry(variant):
        key = jax.random.PRNGKey(golden.load(FILE, f"topk/t{temperature}/seed"))
        masked = parallel.choose_masked(
            key,
            golden.load(FILE, "topk/probs"),
            golden.load(FILE, "topk/mask_len"),
            float(temperature),
        )
    golden.check(FILE, f"topk/{case}/masking", masked)
    ((_, noise),) = draws
    golden.check(FILE, f"topk/{case}/gumbel", noise)


def choose(probabilities, num_masked):
    return parallel.choose_masked(
        KEY, jnp.array([probabilities]), jnp.array([[num_masked]]), 0.0
    ).tolist()[0]


def test_positions_tied_with_the_first_kept_one_are_kept():
    assert choose([0.4, 0.1, 0.2, 0.2, 0.3], 2) == [False, True, False, False, False]
    assert choose([0.4, 0.1, 0.2, 0.2, 0.3], 3) == [False, True, True, True, False]
    assert choose([0.3, 0.3, 0.3, 0.3, 0.3], 3) == [False] * 5


def test_a_position_that_must_stay_is_never_masked():
    assert choose([np.inf, 0.9, np.inf, 0.8], 1) == [False, False, False, True]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("schedule", "num_iterations"), [("cosine", 1), ("cosine", 8), ("uniform", 3), ("exp", 8)]
)
def test_every_unknown_token_is_decoded_and_every_given_one_stays(schedule, num_iterations):
    ids = np.array([[3, MASK, MASK, 5, MASK, MASK, MASK, 1], [MASK] * 8, [MASK, *range(7)]])
    tokens, revealed_at = map(
        np.asarray,
        decode(KEY, ids, wavy_logits, num_iterations=num_iterations, schedule=schedule),
    )
    assert ((tokens >= 0) & (tokens < 9)).all()
    np.testing.assert_array_equal(np.where(ids == MASK, MASK, tokens), ids)
    np.testing.assert_array_equal(revealed_at == -1, ids != MASK)
    assert (revealed_at < num_iterations).all()
    # Each iteration leaves at least one token for the last.
    assert (revealed_at.max(axis=1) == num_iterations - 1).all()


def test_a_given_class_id_may_lie_outside_the_logits():
    ids = np.array([[1000, MASK, MASK, MASK]])
    tokens, revealed_at = decode(KEY, ids, wavy_logits, num_iterations=3)
    assert tokens[0, 0] == 1000
    assert revealed_at[0, 0] == -1


def test_nothing_unknown_changes_nothing():
    ids = np.arange(8).reshape(2, 4)
    tokens, revealed_at = decode(KEY, ids, wavy_logits, num_iterations=3)
    np.testing.assert_array_equal(tokens, ids)
    np.testing.assert_array_equal(revealed_at, -np.ones_like(ids))


@pytest.mark.slow
@pytest.mark.parametrize("start_iteration", [0, 2])
def test_a_token_comes_from_the_prompt_of_the_iteration_that_revealed_it(start_iteration):
    ids = np.full((3, 20), MASK)
    ids[:, 4] = 8
    tokens, revealed_at = decode(
        KEY,
        ids,
        prompt_logits,
        numbered_prompts(6, 3),
        num_iterations=6,
        start_iteration=start_iteration,
    )
    np.testing.assert_array_equal(tokens, np.where(ids == MASK, revealed_at, ids))
    assert sorted(set(np.asarray(revealed_at).ravel().tolist())) == [-1, *range(start_iteration, 6)]


def test_wrong_number_of_prompts_is_an_error():
    ids = jnp.full((3, 4), MASK)
    with pytest.raises(ValueError, match="5 iterations but decoding takes 6"):
        parallel.decode(KEY, ids, prompt_logits, numbered_prompts(5, 3), num_iterations=6)


@pytest.mark.parametrize("start_iteration", [-1, 4, 5])
def test_start_outside_the_iterations_is_an_error(start_iteration):
    with pytest.raises(ValueError, match="start_iteration"):
        parallel.decode(
            KEY,
            jnp.full((1, 4), MASK),
            wavy_logits,
            num_iterations=4,
            start_iteration=start_iteration,
        )


def test_unknown_schedule_is_an_error():
    with pytest.raises(ValueError, match="schedule"):
        parallel.decode(KEY, jnp.full((1, 4), MASK), wavy_logits, schedule="linear")


@pytest.mark.slow
def test_jit_changes_nothing():
    given = (KEY, np.full((2, 10), MASK), wavy_logits)
    chex.assert_trees_all_equal(
        decode(*given, num_iterations=5), parallel.decode(*given, num_iterations=5)
    )


def scans(jaxpr) -> list:
    """The scan equations of a jaxpr and of the jaxprs inside it."""
    found = []
    for equation in jaxpr.eqns:
        if equation.primitive.name == "scan":
            found.append(equation)
        for inner in jax.core.jaxprs_in_params(equation.params):
            found += scans(inner)
    return found


@pytest.mark.parametrize(("num_iterations", "start_iteration"), [(3, 0), (12, 0), (12, 5)])
def test_one_scan_that_is_not_unrolled(num_iterations, start_iteration):
    calls = []

    def logits_fn(ids, prompts):
        calls.append(ids)
        return prompt_logits(ids, prompts)

    jaxpr = jax.make_jaxpr(
        lambda key, ids, prompts: parallel.decode(
            key,
            ids,
            logits_fn,
            prompts,
            num_iterations=num_iterations,
            start_iteration=start_iteration,
        )
    )(KEY, jnp.full((2, 4), MASK), numbered_prompts(num_iterations, 2))
    (scan,) = scans(jaxpr.jaxpr)
    assert scan.params["length"] == num_iterations - start_iteration
    assert scan.params["unroll"] == 1
    assert len(calls) == 1
