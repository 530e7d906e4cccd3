"""TiTok's sampler against its own runs: the loop alone, and with its generators."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import golden_titok as golden
from vpt_gen.decode import titok_released
from vpt_gen.decode.iterative import Guided
from vpt_gen.decode.titok_released import TiTokReleased
from vpt_gen.nets.transformer import MASK_TOKEN_ID

pytestmark = golden.needed

SAMPLER = "sampler.npz"
NOTHING = 1e-20


def decoder(run: dict) -> TiTokReleased:
    """The decoder of a run's settings, in the reference's words."""
    scale, decay = run["guidance_scale"], run["guidance_decay"]
    power = run.get("guidance_scale_pow", 3.0)
    schedule = {"constant": "constant", "linear": "ramp", "power-cosine": f"powcosine{power}"}
    if decay == "power-cosine":
        scale -= 1.0  # Its scale of 1 is no guidance.
        schedule["power-cosine"] = schedule["power-cosine"] if power else "constant"
    return TiTokReleased(
        guidance=scale,
        guidance_schedule=schedule[decay],
        num_iterations=run["num_sample_steps"],
        choice_temperature=run["randomize_temperature"],
        anneal_logits=run["softmax_temperature_annealing"],
    )


def scales(made: TiTokReleased, run: dict) -> np.ndarray:
    """Our scales of guidance as the reference counts them."""
    first, all_ = made.scales(made.num_iterations)
    ours = np.full(made.num_iterations, first) if all_ is None else np.asarray(all_)
    return ours + (run["guidance_decay"] == "power-cosine")


def noise(file: str, run: str, shape: tuple[int, ...]):
    """Gumbel noise of a run's uniforms; without, zeros (the run has none)."""
    if f"{run}_u_token" not in golden.names(file, rf"{run}_u_token"):
        steps, b, n, k = shape
        return jnp.zeros((steps, b, n, k)), jnp.zeros((steps, b, n))

    def gumbel(u):
        u = np.asarray(u, np.float64)
        inner = np.maximum(np.log(np.maximum(u, NOTHING)) * -1, NOTHING)
        return jnp.asarray(-np.log(inner), jnp.float32)

    return tuple(gumbel(golden.load(file, f"{run}_u_{part}")) for part in ("token", "confidence"))


def compare(file: str, run: str, logits_fn, shape: tuple[int, ...], stages=None):
    """Runs `step` as `decode` does, and `decode` itself, and compares all that the run recorded."""
    told = golden.settings(file, f"{run}_ids")
    made, (steps, b, n, k) = decoder(told), shape
    drawn_noise = noise(file, run, shape)
    temperatures = titok_released.temperatures(steps, made.choice_temperature)
    counts = titok_released.masked_counts(n, steps)
    first, every = made.scales(steps)
    every = jnp.full(steps, first) if every is None else every
    divisors = titok_released.divisors(steps) if made.anneal_logits else np.ones(steps)
    xs = (jnp.arange(steps), every, jnp.asarray(divisors, jnp.float32))

    tokens = jnp.full((b, n), MASK_TOKEN_ID, jnp.int32)
    found = {name: [] for name in ("ids", "sampled", "logits", "confidence", "mask_len")}
    for t in range(steps):
        unknown = int((tokens == MASK_TOKEN_ID)[0].sum())
        logits = logits_fn(tokens, jax.tree.map(lambda x, t=t: x[t], xs))
        own = (drawn_noise[0][t], drawn_noise[1][t])
        tokens, sampled, confidence = titok_released.step(
            tokens, logits, own, temperatures[t], counts[t]
        )
        if t == steps - 1:
            tokens = sampled
        found["ids"].append(np.where(tokens == MASK_TOKEN_ID, k, tokens))
        found["sampled"].append(sampled)
        found["logits"].append(logits)
        found["confidence"].append(confidence)
        found["mask_len"].append(max(1, min(unknown - 1, int(counts[t]))))
    whole, _ = titok_released.decode(
        jnp.full((b, n), MASK_TOKEN_ID, jnp.int32),
        logits_fn,
        lambda t: (drawn_noise[0][t], drawn_noise[1][t]),
        xs,
        choice_temperature=made.choice_temperature,
        num_iterations=steps,
    )
    golden.check(file, f"{run}_ids", whole)
    golden.check(file, f"{run}_step_cfg", scales(made, told))
    if golden.names(file, f"{run}_step_temperature"):
        golden.check(file, f"{run}_step_temperature", temperatures)
    for name, values in found.items():
        if not golden.names(file, f"{run}_step_{name}"):
            continue
        values = np.stack(values)
        if name == "logits":
            values = values[recorded(file, f"{run}_step_logits")]
        golden.check(file, f"{run}_step_{name}", values)
    return whole


def recorded(file: str, name: str) -> list[int]:
    """The steps whose logits were recorded."""
    meaning = golden.manifest()["arrays"][file][name]["meaning"]
    return [int(t) for t in re.search(r"in the steps ([\d, ]+)\(", meaning)[1].split(",")]


def runs(file: str) -> list[str]:
    return [name.removesuffix("_ids") for name in golden.names(file, r"(s\d+|\w*sample\d*)_ids")]


@pytest.mark.parametrize("run", runs(SAMPLER))
def test_loop_with_given_logits(run):
    conditional = jnp.asarray(golden.load(SAMPLER, "cond_logits"))
    without = jnp.asarray(golden.load(SAMPLER, "uncond_logits"))

    def logits_fn(tokens, stage):
        t, scale, divisor = stage
        return (conditional[t] + scale * (conditional[t] - without[t])) / divisor

    compare(SAMPLER, run, logits_fn, conditional.shape)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "run"),
    [(kind, run) for kind in golden.GENERATORS for run in runs(f"generator_{kind}.npz")],
)
def test_runs_of_generators(kind, run):
    file = f"generator_{kind}.npz"
    net, variables = golden.generator(kind)
    conditions = {"class_ids": jnp.asarray(golden.load(file, "class_ids"))}
    if run.startswith("prompt"):
        conditions = {"prompts": jnp.asarray(golden.load(file, "prompts"))}
    guided = Guided(net, variables["params"])

    @jax.jit
    def logits_fn(tokens, stage):
        _, scale, divisor = stage
        return guided(tokens, conditions, scale) / divisor

    steps, b, n = golden.load(file, f"{run}_step_ids").shape
    compare(file, run, logits_fn, (steps, b, n, net.codebook_size))


@pytest.mark.slow
def test_images_of_a_run():
    file = "generator_bert.npz"
    net = golden.tokenizer("legacy")
    tokens = net[0].arranged(jnp.asarray(golden.load(file, "sample0_ids")))
    golden.check(file, "sample0_decoded", golden.nchw(golden.run(net, "detokenize", tokens)))


def test_tables_of_the_schedule():
    cases = golden.names(SAMPLER, r"mask_len_N\d+_T\d+")
    assert cases
    for name in cases:
        n, steps = map(int, re.findall(r"\d+", name))
        unknown, counts = n, []
        for count in titok_released.masked_counts(n, steps):
            unknown = max(1, min(unknown - 1, int(count)))
            counts.append(unknown)
        golden.check(SAMPLER, name, counts)


def test_tables_of_guidance():
    cases = golden.names(SAMPLER, r"cfg_table_\w+")
    assert cases
    for name in cases:
        told = {
            "num_sample_steps": len(golden.load(SAMPLER, name)),
            "randomize_temperature": 1.0,
            "softmax_temperature_annealing": True,
            **golden.settings(SAMPLER, name),
        }
        golden.check(SAMPLER, name, scales(decoder(told), told))
