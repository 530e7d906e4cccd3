"""AR decoding against LlamaGen's own sampler: guidance, filters, noise, images."""

import jax
import jax.numpy as jnp
import pytest

from tests import golden_llamagen as golden
from vpt_gen.decode import autoregressive
from vpt_gen.decode.filters import filter_logits

pytestmark = [golden.needed, pytest.mark.slow]
FILE = "gpt.npz"
SMALLEST_TEMPERATURE = 1e-5  # As released: a temperature of 0 is this one.


def load(name, file=FILE):
    return jnp.asarray(golden.load(file, name))


def cases():
    """The reference's runs of its sampler."""
    if not golden._FOLDER.is_there():
        return []
    return [pytest.param(case, id=case["name"]) for case in golden.manifest()["sampler_cases"]]


def stop_of(cfg_interval, num_tokens):
    """The share of tokens before guidance ends: the first one and steps 0..cfg_interval."""
    return 1.0 if cfg_interval < 0 else min((cfg_interval + 2) / num_tokens, 1.0)


def given_noise(monkeypatch, noise):
    """Lets decoding draw with given noise (N, B, K); returns the keys that select it."""
    monkeypatch.setattr(jax.random, "fold_in", lambda key, n: key.at[1].set(n.astype(key.dtype)))
    monkeypatch.setattr(
        jax.random,
        "categorical",
        lambda key, logits: jnp.argmax(logits + noise[key[1], key[0]]),
    )
    images = jnp.arange(noise.shape[1], dtype=jnp.uint32)
    return jnp.stack([images, jnp.zeros_like(images)], axis=1)


def decode(net, num_tokens, **options):
    module, variables = net
    keys = options.pop("keys", None)
    if keys is None:
        count = len(next(x for x in map(options.get, ("prompts", "class_ids")) if x is not None))
        keys = jax.random.split(jax.random.key(0), count)

    @jax.jit
    def run(variables, keys):
        return autoregressive.decode(module, variables["params"], keys, num_tokens, **options)

    return run(variables, keys)


@pytest.mark.parametrize("case", cases())
def test_runs_of_the_sampler(case, monkeypatch):
    net, ids = golden.transformer(), load("class_ids_real")
    expected = golden.load(FILE, f"gen_{case['name']}")
    options = {
        "class_ids": ids,
        "temperature": case["temperature"],
        "top_k": case["top_k"],
        "top_p": case["top_p"],
        "guidance": max(case["cfg_scale"] - 1.0, 0.0),
        "guidance_stop": stop_of(case["cfg_interval"], expected.shape[1]),
    }
    if case["noise"]:
        options["keys"] = given_noise(monkeypatch, load("gumbel"))
    else:
        options["temperature"] = 0.0
    golden.check(FILE, f"gen_{case['name']}", decode(net, expected.shape[1], **options))


@pytest.mark.parametrize("case", cases())
def test_distributions_of_the_sampler(case):
    name = f"genprobs_{case['name']}"
    if name not in golden.names(FILE, "genprobs_"):
        return
    net, tokens = golden.transformer(), load(f"gen_{case['name']}")
    found = guided_logits(
        net, tokens, case["cfg_scale"], case["cfg_interval"], class_ids=load("class_ids_real")
    )
    allowed = filter_logits(found, case["temperature"], case["top_k"], case["top_p"])
    golden.check(FILE, name, jnp.moveaxis(jax.nn.softmax(allowed), 1, 0))


def guided_logits(net, tokens, cfg_scale, cfg_interval, **condition):
    """Logits of whole sequences, guided as the decoder does it token by token."""
    module, variables = net
    conditional = golden.run(net, "__call__", tokens, **condition)
    nothing = jnp.full(len(tokens), -1)
    alone = golden.run(net, "__call__", tokens, class_ids=nothing)
    count = tokens.shape[1]
    stop = stop_of(cfg_interval, count)
    scales = autoregressive._scales(cfg_scale - 1.0, "constant", 0.0, stop, count)
    return conditional + scales[:, None] * (conditional - alone)


def test_guided_logits():
    meaning = golden.manifest()["arrays"][FILE]["logits_guided"]["meaning"]
    scale, interval = (
        float(meaning.split(word)[1].split(",")[0].split()[0])
        for word in ("cfg_scale ", "cfg_interval ")
    )
    found = guided_logits(
        golden.transformer(),
        load("tokens"),
        scale,
        int(interval),
        class_ids=load("class_ids_real"),
    )
    golden.check(FILE, "logits_guided", found)


@pytest.mark.parametrize(
    ("rows", "name"), [("plain", "prompt_greedy"), ("identity", "prompt_identity_greedy")]
)
def test_greedy_runs_with_prompts(rows, name):
    net, expected = golden.transformer(prompt_rotation=rows), golden.load(FILE, name)
    found = decode(net, expected.shape[1], prompts=load("prompts"), temperature=0.0)
    golden.check(FILE, name, found)


def test_guidance_from_the_dropped_class_to_prompts():
    """The reference's run has sequences of two lengths, as prompts that weigh more than a class."""
    net, expected = golden.transformer(prompt_rotation="plain"), load("prompt_cfg_greedy")
    meaning = golden.manifest()["arrays"][FILE]["prompt_cfg_greedy"]["meaning"]
    scale = float(meaning.split("guidance ")[1].split(":")[0])
    found = decode(
        net,
        expected.shape[1],
        prompts=load("prompts"),
        temperature=0.0,
        guidance=scale - 1.0,
    )
    golden.check(FILE, "prompt_cfg_greedy", found)
    golden.check(
        FILE, "prompt_cfg_logits", guided_logits(net, expected, scale, -1, prompts=load("prompts"))
    )


def test_images_of_a_run():
    tokens = golden.load(FILE, "gen_greedy_cfg")
    side = golden.config(golden.TRANSFORMER)["grid"]
    images = golden.run(golden.tokenizer(), "detokenize", tokens.reshape(-1, side, side))
    golden.check(FILE, "gen_greedy_cfg_decoded", golden.from_unit(images))


def test_filters():
    file = "filters.npz"
    options = (golden.load(file, name) for name in ("temperature", "top_k", "top_p"))
    filtered = jnp.stack(
        [
            filter_logits(
                load("logits", file), max(float(t), SMALLEST_TEMPERATURE), int(k), float(p)
            )
            for t, k, p in zip(*options, strict=True)
        ]
    )
    golden.check(file, "keep", jnp.isfinite(filtered))
    golden.check(file, "probs", jax.nn.softmax(filtered))
