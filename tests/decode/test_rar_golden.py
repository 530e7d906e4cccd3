"""AR decoding against RAR's own sampler: guidance that rises, prompts, vectors, images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import golden_rar as golden
from vpt_gen.checkpoints.released.published import BACKBONES
from vpt_gen.decode import autoregressive
from vpt_gen.decode.filters import filter_logits
from vpt_gen.decode.schedules import guidance_shares
from vpt_gen.nets.transformer import NO_CLASS

pytestmark = [golden.needed, pytest.mark.slow]
FILE = "rar.npz"
ends = pytest.mark.parametrize("end", ["", "_modulated"])


def load(name):
    return jnp.asarray(golden.load(FILE, name))


def numbers():
    """The numbers of the reference's runs with classes."""
    return [name.removeprefix("greedy").removesuffix("_ids") for name in runs()]


def runs():
    return golden.names(FILE, r"greedy\d+_ids")


def schedule_of(power):
    """0 ** 0 is 1 in the reference."""
    return f"powcosine{power}" if power else "constant"


def guidance_of(name):
    """Options of guidance in a run of the reference: a scale of 0 switches it off."""
    scale, power = (golden.said(FILE, name, word) for word in ("guidance_scale", "scale_pow"))
    return {"guidance": max(scale - 1.0, 0.0), "guidance_schedule": schedule_of(power)}


def decode(num_tokens, **options):
    net, variables = golden.transformer()
    keys = jax.random.split(jax.random.key(0), len(load("class_ids")))

    @jax.jit
    def run(variables, keys):
        return autoregressive.decode(
            net, variables["params"], keys, num_tokens, temperature=0.0, **options
        )

    return run(variables, keys)


@pytest.mark.parametrize("number", numbers())
def test_greedy_runs(number):
    name = f"greedy{number}_ids"
    expected = golden.load(FILE, name)
    found = decode(expected.shape[1], class_ids=load("class_ids"), **guidance_of(name))
    golden.check(FILE, name, found)


@pytest.mark.parametrize("number", numbers())
def test_scales_of_guidance(number):
    name = f"greedy{number}_cfg"
    scale, power = (golden.said(FILE, name, word) for word in ("guidance_scale", "scale_pow"))
    shares = guidance_shares(len(golden.load(FILE, name)), schedule_of(power))
    golden.check(FILE, name, 1.0 + (scale - 1.0) * np.array(shares, np.float32))


def guided_logits(tokens, options, temperature, **condition):
    """Logits of whole sequences, guided and divided as the decoder does it token by token."""
    net = golden.transformer()
    logits = golden.run(net, "__call__", tokens, **condition)
    alone = golden.run(net, "__call__", tokens, class_ids=jnp.full(len(tokens), NO_CLASS))
    scales = autoregressive._scales(
        options["guidance"], options["guidance_schedule"], 0.0, 1.0, tokens.shape[1]
    )
    guided = logits + scales[:, None] * (logits - alone)
    return filter_logits(guided, temperature, 0, 1.0)


@pytest.mark.parametrize("number", numbers())
def test_distributions_of_given_tokens(number):
    name = f"forced{number}_logits"
    temperature = golden.said(FILE, name, "temperature")
    found = guided_logits(
        load("forced_tokens"), guidance_of(name), temperature, class_ids=load("class_ids")
    )
    golden.check(FILE, name, found)


def test_distributions_of_given_tokens_after_prompts():
    name = "prompt_forced_logits"
    temperature = golden.said(FILE, name, "temperature")
    found = guided_logits(
        load("forced_tokens"), guidance_of(name), temperature, prompts=load("prompts")
    )
    golden.check(FILE, name, found)


def prompted(end):
    condition = {"prompts": load("prompts")}
    return condition | ({"vectors": load("modulation")} if end else {})


@ends
def test_greedy_runs_with_prompts(end):
    name = f"prompt_greedy_ids{end}"
    golden.check(FILE, name, decode(golden.load(FILE, name).shape[1], **prompted(end)))


@ends
def test_guidance_from_no_class_to_prompts(end):
    """Guidance of the configuration; the vector is the condition's alone."""
    options = guidance_of("prompt_guided_ids")
    name = f"prompt_guided_ids{end}"
    found = decode(golden.load(FILE, name).shape[1], **prompted(end), **options)
    golden.check(FILE, name, found)


@pytest.mark.parametrize("name", ["greedy_decoded", "prompt_guided_decoded"])
def test_images_of_a_run(name):
    tokens = runs()[-1] if name == "greedy_decoded" else name.replace("_decoded", "_ids")
    tokens = golden.load(FILE, tokens)
    side = round(tokens.shape[1] ** 0.5)
    images = golden.run(golden.tokenizer(), "detokenize", tokens.reshape(-1, side, side))
    golden.check(FILE, name, golden.nchw(images).clip(0.0, 1.0))


def test_guidance_of_the_published_models():
    """A row for each, and one that is constant."""
    table = golden.load(FILE, "cfg_table")
    found = [
        1.0
        + settings["decode.guidance"]
        * np.array(guidance_shares(table.shape[1], settings["decode.guidance_schedule"]))
        for settings in (BACKBONES[f"rar_{size}"].settings for size in ("b", "l", "xl", "xxl"))
    ]
    constant = golden.said(FILE, "cfg_table", "guidance_scale")
    found.append(1.0 + (constant - 1.0) * np.array(guidance_shares(table.shape[1])))
    golden.check(FILE, "cfg_table", np.array(found, np.float32))
