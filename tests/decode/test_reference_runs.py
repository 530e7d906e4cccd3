"""Whole decoding runs of both released samplers, token by token.

Runs `gt` condition by prompts, and every position is unknown at first; runs `maskgit` condition by
a given class token; runs `maskgit_edit` start late with some visual tokens given.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import golden
from vpt_gen.decode import parallel

pytestmark = pytest.mark.slow

FILE = "decode.npz"
RUNS = golden.cases(FILE, r"(\w+/T\d+/p\d)/final_seqs")
GENERATOR = "h0"  # whose prompts the runs used, as the manifest says


def load(run: str, name: str) -> np.ndarray:
    return golden.load(FILE, f"{run}/{name}")


def options(run: str) -> dict:
    """What `decode_iteration` needs to know of a run."""
    part = "generative_transfer_config" if run.startswith("gt/") else "maskgit_config"
    return {
        "num_iterations": int(load(run, "num_iter")),
        "choice_temperature": float(load(run, "choice_temperature")),
        "schedule": golden.config(part)["mask_scheduling_method"],
    }


def iterations(run: str) -> range:
    return range(int(load(run, "start_iter")), int(load(run, "num_iter")))


def prompts_of(run: str) -> jax.Array | None:
    if not run.startswith("gt/"):
        return None
    net, variables = golden.prompt_generator(GENERATOR)
    return net.apply(variables, golden.load(FILE, "gt/class_ids")[:, 0])


visual_logits = functools.partial(golden.run_maskgit, "visual_logits")


@functools.partial(
    jax.jit, static_argnames=("num_iterations", "start_iteration", "choice_temperature", "schedule")
)
def decode(key, ids, prompts, **kwargs):
    return parallel.decode(key, ids, visual_logits, prompts, **kwargs)


step = jax.jit(parallel.decode_iteration, static_argnames="schedule")


def start(run: str) -> parallel.DecodeState:
    key = jax.random.PRNGKey(load(run, "seed"))
    return parallel.init_state(key, jnp.asarray(load(run, "inputs")))


def revealed_at(run: str) -> np.ndarray:
    """The last iteration that began with a position unknown; -1 where it was never so."""
    before = np.concatenate([load(run, "inputs")[None], load(run, "cur_seqs")[:-1]])
    numbers = np.array(iterations(run))[:, None, None]
    return np.where(before == parallel.MASK_TOKEN_ID, numbers, -1).max(axis=0)


@pytest.mark.parametrize("run", RUNS)
def test_iteration_by_iteration(run):
    prompts = prompts_of(run)
    with golden.threefry(run[-2:]):
        state = start(run)
        for row, iteration in enumerate(iterations(run)):
            logits = visual_logits(state.ids, prompts)
            if row == 0:
                like = ("prompt.npz", "cond_logits_sliced_h0")
                golden.check(FILE, f"{run}/logits_first_iter", logits, like=like)
            state, sampled = step(state, logits, iteration, **options(run))
            where = f"{run} iteration {iteration}"
            np.testing.assert_array_equal(sampled, load(run, "final_seqs")[:, iteration], where)
            np.testing.assert_array_equal(state.ids, load(run, "cur_seqs")[row], where)
            masked = jnp.sum(state.ids == parallel.MASK_TOKEN_ID, axis=-1)
            np.testing.assert_array_equal(masked, load(run, "mask_len")[row], where)
    np.testing.assert_array_equal(state.revealed_at, revealed_at(run))


@pytest.mark.parametrize("run", RUNS)
def test_what_an_iteration_decides_by(run, monkeypatch):
    """Keys, confidences and temperature of every iteration; not compiled, so that they show."""
    drawn = golden.noted(monkeypatch, jax.random, "categorical")
    chosen = golden.noted(monkeypatch, parallel, "choose_masked")
    prompts = prompts_of(run)
    with golden.threefry(run[-2:]):
        state = start(run)
        for iteration in iterations(run):
            logits = visual_logits(state.ids, prompts)
            state, _ = parallel.decode_iteration(state, logits, iteration, **options(run))
    golden.check(FILE, f"{run}/sample_key", np.stack([key for (key, _), _ in drawn]))
    keys, confidences, _, temperatures = zip(*(arguments for arguments, _ in chosen), strict=True)
    golden.check(FILE, f"{run}/choice_key", np.stack(keys))
    golden.check(FILE, f"{run}/topk_temperature", np.float32(temperatures))
    golden.check(FILE, f"{run}/masking", np.stack([masked for _, masked in chosen]))
    name = f"{run}/selected_probs"
    confidences, expected = np.stack(confidences), load(run, "selected_probs")
    np.testing.assert_array_equal(np.isinf(confidences), np.isinf(expected), name)
    # A probability is as exact as the logits that it comes from.
    atol = golden.tolerance(FILE, name) + golden.tolerance("prompt.npz", "cond_logits_sliced_h0")
    golden.assert_near(*(np.nan_to_num(x, posinf=0.0) for x in (confidences, expected)), atol, name)


@pytest.mark.parametrize("run", [run for run in RUNS if str(run).startswith("maskgit/")])
def test_classes_of_a_call(run):
    net, variables = golden.maskgit()
    ids, labels = load(run, "inputs"), golden.load(FILE, "maskgit/labels")
    np.testing.assert_array_equal(ids[:, :1], net.codebook_size + labels)
    logits = net.apply(variables, ids[:, 1:], class_ids=labels[:, 0])
    atol = golden.tolerance("prompt.npz", "cond_logits_sliced_h0")
    golden.assert_near(logits, load(run, "logits_first_iter")[:, 1:], atol, run)


@pytest.mark.parametrize("run", RUNS)
def test_whole_run(run):
    prompts = prompts_of(run)
    if prompts is not None:
        prompts = jnp.stack([prompts] * int(load(run, "num_iter")))
    with golden.threefry(run[-2:]):
        state = start(run)
        tokens, revealed = decode(
            state.key, state.ids, prompts, start_iteration=iterations(run)[0], **options(run)
        )
    np.testing.assert_array_equal(tokens, load(run, "final_seqs")[:, -1])
    np.testing.assert_array_equal(revealed, revealed_at(run))
    given = load(run, "inputs") != parallel.MASK_TOKEN_ID
    np.testing.assert_array_equal(tokens[given], load(run, "inputs")[given])


@pytest.mark.parametrize("run", golden.cases(FILE, r"(\w+/T\d+/p\d)/images"))
def test_images_of_the_tokens(run):
    tokens = load(run, "final_seqs")[:, -1, 1:]
    height, width = (n // golden.vqgan()[0].downsampling for n in load(run, "images").shape[1:3])
    images = golden.run_vqgan("detokenize", tokens.reshape(-1, height, width))
    like = ("tokenizer.npz", "decode_from_indices")
    golden.check(FILE, f"{run}/images", images, like=like)
