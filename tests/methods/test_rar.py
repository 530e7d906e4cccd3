"""Every method of adaptation on a RAR, which none of them knows; and decoding with vectors."""

import functools
import re

import jax
import numpy as np
import optax
import pytest

from tests.methods.updates import greedy, predicted, two_updates
from tests.random_params import random_params
from vpt_gen.decode import autoregressive
from vpt_gen.decode.generate import generate
from vpt_gen.methods import METHODS, adaptation
from vpt_gen.methods.prompts import Prompts
from vpt_gen.methods.record import Target, TransformerMethod
from vpt_gen.nets.rar import RAR
from vpt_gen.nets.transformer import MATRICES, NO_CLASS
from vpt_gen.nets.vqgan import VQGAN
from vpt_gen.training.objectives import Objective

pytestmark = pytest.mark.slow
C = 3
NET = RAR(23, 5, 9, num_layers=1, hidden_size=16, num_heads=2, intermediate_size=24)
PROMPTS = np.random.default_rng(2).normal(size=(3, 4, 16)).astype(np.float32)
VECTORS = np.random.default_rng(3).normal(size=(3, 16)).astype(np.float32)
OPTIONS = {
    "prompts": {"num_prompt_tokens": 4, "dropout_rate": 0.0},
    "prompts_lora": {"num_prompt_tokens": 4, "dropout_rate": 0.0, "prompt_steps": 0},
    "lora": {"rank": 2, "matrices": MATRICES},
    "adapters": {"size": 6},
    "deep_prompts": {"num_prompt_tokens": 5},
    "class_deep_prompts": {"num_prompt_tokens": 2},
}
RECORDS = {
    name: record(**OPTIONS.get(name, {}))
    for name, record in METHODS.items()
    if issubclass(record, TransformerMethod)
} | {
    "prompts and a vector": Prompts(**OPTIONS["prompts"], vector=True),
    "vector": Prompts(num_prompt_tokens=0, vector=True),
}
# A norm makes much of small prompts. Gates are closed at first in training from scratch, so that a
# scale of 1 needs a large step to become another number.
RATES = {"prompts": 1e-3, "prompts_lora": 1e-3, "scratch": 1.0}


@functools.cache
def params():
    return random_params(NET, 9)


@pytest.mark.parametrize("name", RECORDS)
def test_it_trains_its_parameters_and_a_cache_changes_nothing(name):
    method = RECORDS[name].adapt(Target(NET, 9, C))
    task = adaptation.make_task(
        method,
        NET,
        Objective(NET, 0.1),
        VQGAN(),
        {"transformer": params(), "tokenizer": {}},
        optax.sgd(RATES.get(RECORDS[name].name, 1e-2)),
        num_tokens=9,
        decode_options={},
    )
    state, losses, still = two_updates(task)
    assert losses[1] < losses[0]
    # Softmax does not see a constant per query: the bias of keys acts on nothing.
    still = {path for path in still if not path.endswith("key_norm/bias")}
    if name == "scratch":  # All queries see alike at first.
        still = {path for path in still if not re.search("(query|key)_norm/scale", path)}
    assert still <= {"condition_embeddings/embedding"}

    adapted = method.params(task.frozen["transformer"], state.params)
    told = method.conditions(state.params, np.arange(C))
    drawn = greedy(NET, adapted, told)
    again = predicted(NET, adapted, drawn, told).argmax(axis=-1)
    np.testing.assert_array_equal(drawn, again)


@pytest.mark.parametrize(
    ("count", "vector", "domain"),
    [(1, False, False), (1, True, False), (4, False, False), (4, True, True)],
)
def test_guidance_is_that_of_whole_sequences(count, vector, domain):
    """In one batch where the prefix is as long as that of no class, and next to it elsewhere."""
    source = jax.tree.map(lambda x: 1.5 * x, params())
    given = {"prompts": PROMPTS[:, :count]} | ({"vectors": VECTORS} if vector else {})
    keys = jax.random.split(jax.random.key(1), 3)
    options = {"guidance": 30.0, "guidance_schedule": "powcosine2", "guidance_stop": 7 / 9}

    @jax.jit
    def run(held, source, given):
        without = source if domain else None
        return autoregressive.decode(
            NET, held, keys, 9, temperature=0.0, without=without, **given, **options
        )

    found = run(params(), source, given)
    of_nothing = source if domain else params()
    alone = predicted(NET, of_nothing, found, {"class_ids": np.full(3, NO_CLASS)})
    logits = np.asarray(predicted(NET, params(), found, given))
    n = np.arange(9)
    scale = np.where(n < 7, 30.0 * (1 - np.cos(np.pi * (n / 9) ** 2)) / 2, 0.0)[:, None]
    np.testing.assert_array_equal(found, (logits + scale * (logits - alone)).argmax(-1))
    assert (found != logits.argmax(-1)).any()


@pytest.mark.parametrize("guidance", [0.0, 0.5])
def test_images_share_conditions_and_a_marquee_acts_from_its_stretch_on(guidance):
    keys, rows = jax.random.split(jax.random.key(4), 4), np.array([0, 2, 0, 1])

    @jax.jit
    def run(params, rows, staged):
        return generate(NET, params, keys, 9, rows=rows, guidance=guidance, **staged)[0]

    # One more condition than there are, so that both runs are of the same program.
    four = [0, 1, 2, 0]
    given = {"prompts": PROMPTS[None, four], "vectors": VECTORS[None, four]}
    together = np.asarray(run(params(), rows, given))
    each = run(params(), np.arange(4), {name: x[:, rows] for name, x in given.items()})
    np.testing.assert_array_equal(together, each)
    staged = {name: np.concatenate([x] * 3) for name, x in given.items()}
    np.testing.assert_array_equal(run(params(), rows, staged), together)
    # A marquee of prompts alone shares its modulation.
    jax.eval_shape(run, params(), rows, {"prompts": staged["prompts"]})
    staged["vectors"][1:] *= -3.0
    changed = np.asarray(run(params(), rows, staged))
    np.testing.assert_array_equal(changed[:, :3], together[:, :3])
    assert (changed[:, 3:] != together[:, 3:]).any()
