"""The released sampler of Halton-MaskGIT against its own numbers."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import golden_halton as golden
from vpt_gen import nets
from vpt_gen.checkpoints import released
from vpt_gen.decode import halton, halton_released
from vpt_gen.decode.filters import top_k_filter
from vpt_gen.decode.generate import tokens_to_images
from vpt_gen.decode.iterative import Guided
from vpt_gen.nets.transformer import MASK_TOKEN_ID

pytestmark = golden.needed

SCHEDULE, SAMPLER = "schedule.npz", "sampler.npz"
TOKENIZER = "vq_ds16_c2i.pt"  # Of LlamaGen's folder in the same set.
RUNS = golden.sampler_runs()
# Those of which the reference was handed the tokens.
GIVEN = {"given": "given", "init": "given_init"}


def named(pattern: str) -> list[tuple[int, ...]]:
    """The numbers in the names of the schedule's arrays."""
    found = [re.fullmatch(pattern, name) for name in golden.arrays(SCHEDULE)]
    return [tuple(map(int, match.groups())) for match in found if match]


def test_golden_orders():
    sides = named(r"order_(\d+)")
    assert sides
    for (side,) in sides:
        order = np.stack(np.divmod(halton.halton_order(side, side), side), axis=1)
        golden.check(SCHEDULE, f"order_{side}", order)


def test_golden_counts():
    cases = named(r"counts_(\d+)_(\d+)")
    assert cases
    for steps, side in cases:
        known = np.minimum(halton_released.reveal_counts(side**2, steps), side**2)
        golden.check(SCHEDULE, f"counts_{steps}_{side}", np.diff(known, prepend=0))


def options(run: str) -> dict:
    return golden.manifest()["sampler_cases"][run]


def factors(run: str, warmup: int) -> np.ndarray:
    case = options(run)
    ends = (case.get("sm_temp_min", 1.0), case.get("sm_temp_max", 1.0))
    return halton_released.factors(case["step"], *ends, case.get("temp_pow", 1.0), warmup)


@pytest.mark.parametrize("run", RUNS)
def test_golden_factors(run):
    golden.check(SAMPLER, f"{run}_temperature", factors(run, warmup=0))


def conditions(run: str) -> dict:
    stored = golden.arrays(SAMPLER)
    if run != "prompt":
        return {"class_ids": stored["labels"].astype(np.int32)}
    return {"prompts": golden.arrays("prompts.npz")["prompts"][: len(stored["labels"])]}


def states_fn(run: str):
    """States of a run after guidance: of (tokens, stage)."""
    net, params = golden.transformer()
    guided = Guided(net, params, method="hidden_states")
    return lambda tokens, stage: guided(tokens, conditions(run), float(options(run)["w"]))


def logits_fn(run: str):
    """Logits of a run, after factor and filter: of (states, iteration)."""
    net, params = golden.transformer()
    case = options(run)
    scales = jnp.asarray(factors(run, case.get("temp_warmup", 0)))

    def logits(states, iteration):
        made = net.apply({"params": params}, states, method="predict_with_mask")
        return top_k_filter(made * scales[iteration], case.get("top_k", 0))

    return logits


def draw_fn(run: str):
    stored = golden.arrays(SAMPLER)
    if run in GIVEN:
        handed = jnp.asarray(stored[GIVEN[run]])
        return lambda logits, positions, iteration: jnp.take_along_axis(
            handed[iteration], positions, axis=1
        )
    noise = jnp.asarray(stored["gumbel"]) * (run != "argmax")

    def draw(logits, positions, iteration):
        own = jnp.take_along_axis(noise[iteration], positions[..., None], axis=1)
        return jnp.argmax(logits + own, axis=-1)

    return draw


@functools.cache
def decoded(run: str):
    """Tokens before the clamp, the iteration that wrote each, and the tokens of the start."""
    stored, case = golden.arrays(SAMPLER), options(run)
    b, h, w = stored[f"{run}_final"].shape
    start = np.full((b, h * w), MASK_TOKEN_ID)
    if run == "init":
        start = golden.tokens(SAMPLER, "init_code")
    offsets = stored["offsets"] if case["randomize"] else np.zeros(b, int)
    decode = functools.partial(
        halton_released.decode,
        states_fn=states_fn(run),
        logits_fn=logits_fn(run),
        draw_fn=draw_fn(run),
        width=w,
        num_iterations=case["step"],
    )
    made = jax.jit(decode)(jnp.asarray(start), jnp.asarray(offsets))
    return (*map(np.asarray, made), start)


@pytest.mark.slow
@pytest.mark.parametrize("run", RUNS)
def test_golden_runs(run):
    tokens, revealed_at, start = decoded(run)
    shape = golden.arrays(SAMPLER)[f"{run}_final"].shape
    mask_id = golden.transformer()[0].codebook_size
    after = []
    for step in range(options(run)["step"]):
        then = np.where(revealed_at <= step, tokens, start)
        after.append(np.where(then == MASK_TOKEN_ID, mask_id, then))
    golden.check(SAMPLER, f"{run}_after", np.stack(after).reshape(-1, *shape))
    steps = np.arange(len(after))[:, None, None]
    golden.check(SAMPLER, f"{run}_reveal", (revealed_at == steps).reshape(-1, *shape))
    final = np.where(tokens == MASK_TOKEN_ID, mask_id - 1, tokens)
    golden.check(SAMPLER, f"{run}_final", final.reshape(shape))


@pytest.mark.slow
@pytest.mark.parametrize("run", RUNS)
def test_golden_probabilities(run):
    stored, case = golden.arrays(SAMPLER), options(run)
    if f"{run}_probs" not in stored:
        return
    expected = stored[f"{run}_probs"]
    grids = golden.tokens(SAMPLER, f"{run}_after")
    steps = range(case["step"]) if len(expected) == case["step"] else (0, 1, case["step"] - 1)

    @jax.jit
    def compute(tokens, step):
        return jax.nn.softmax(logits_fn(run)(states_fn(run)(tokens, None), step))

    found = []
    for step in steps:
        before = grids[step - 1] if step else np.full_like(grids[0], MASK_TOKEN_ID)
        found.append(np.asarray(compute(before, step)))
    probabilities = np.stack(found)
    if "top_k" in case:
        probabilities = -np.sort(-probabilities)[..., : case["top_k"]]
    golden.check(SAMPLER, f"{run}_probs", probabilities)


@pytest.mark.slow
def test_golden_image_of_a_run():
    file = golden.FOLDER.parent / "llamagen" / TOKENIZER
    if not file.exists():
        pytest.skip(f"there is no {file}")
    config, params = released.read("llamagen_vqgan", file)
    tokens = golden.arrays(SAMPLER)["guided_final"]
    flat = jnp.asarray(tokens.reshape(len(tokens), -1))
    images = jax.jit(functools.partial(tokens_to_images, nets.build(config)))(params, flat)
    golden.check(SAMPLER, "guided_image", np.moveaxis(2.0 * images - 1.0, -1, 1))
