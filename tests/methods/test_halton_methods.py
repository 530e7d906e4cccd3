"""Every method of adaptation on Halton-MaskGIT, and prompts with a vector."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import traverse_util

from tests.nets.test_halton_maskgit import NET, params
from vpt_gen.decode.generate import generate
from vpt_gen.errors import UserError
from vpt_gen.methods import (
    adaptation,
    adapters,
    class_deep_prompts,
    class_embedding,
    class_mixture,
    deep_prompts,
    difffit,
    finetune,
    lora,
    norm_bias,
    norms,
    prompts,
    scratch,
)
from vpt_gen.methods.lora import LoRA
from vpt_gen.methods.prompts import Prompts
from vpt_gen.methods.record import Target
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.nets.prompt_generator import PromptGenerator
from vpt_gen.nets.stack import stack_layers, unstack_layers
from vpt_gen.nets.vqgan import VQGAN
from vpt_gen.training.objectives import Objective

C, WIDTH = 3, NET.hidden_size
MATRICES = tuple(NET.parts.matrices)
METHODS = {
    "prompts": lambda: prompts.make_method(PromptGenerator(C, 4, WIDTH, dropout_rate=0.0)),
    "prompts_and_vector": lambda: prompts.make_method(
        PromptGenerator(C, 4, WIDTH, dropout_rate=0.0, vector=True)
    ),
    "vector": lambda: prompts.make_method(PromptGenerator(C, 0, WIDTH, vector=True)),
    "class_embedding": lambda: class_embedding.make_method(NET, C),
    "deep_prompts": lambda: deep_prompts.make_method(NET, C, num_prompt_tokens=5),
    "class_deep_prompts": lambda: class_deep_prompts.make_method(NET, C, num_prompt_tokens=2),
    "class_mixture": lambda: class_mixture.make_method(NET, C, NET.num_classes),
    "norms": lambda: norm_bias.make_method(NET, C, norms.norms),
    "norm_bias": lambda: norm_bias.make_method(NET, C),
    "difffit": lambda: difffit.make_method(NET, C),
    "lora": lambda: lora.make_method(NET, C, 2, 4.0, MATRICES),
    "adapters": lambda: adapters.make_method(NET, C, size=6),
    "finetune": lambda: finetune.make_method(NET, C, "float32"),
    "scratch": lambda: scratch.make_method(NET, C, 9, "float32"),
}
WHOLE = ("finetune", "scratch")
# Whose function is the source's before the first update.
FROM_SOURCE = ["class_embedding", "norm_bias", "difffit", "lora", "adapters", "finetune"]
methods = pytest.mark.parametrize("name", METHODS)


def make_task(name, source):
    return adaptation.make_task(
        METHODS[name](),
        NET,
        Objective(NET, 0.1, "cosine"),
        VQGAN(),
        {"transformer": source, "tokenizer": {}},
        optax.sgd(0.3),
        num_tokens=9,
        decode_options={"decoder": "halton_released", "num_iterations": 3},
    )


def batch():
    tokens = jax.random.randint(jax.random.key(0), (6, 9), 0, NET.codebook_size)
    return {"tokens": tokens, "label": jnp.arange(6) % C}


@functools.cache
def trained(name, stacked=False):
    """The trained parameters before and after two updates."""
    source = stack_layers(params(), NET.layer_prefix) if stacked else params()
    task = make_task(name, source)
    state = task.init(jax.random.key(3))
    before, step = state.params, jax.jit(task.train_step)
    for number in range(2):
        state, metrics = step(state, task.frozen, batch(), jax.random.key(number))
    assert np.isfinite(float(metrics["loss"]))
    return before, state.params


def paths(tree):
    return traverse_util.flatten_dict(tree, sep="/")


@pytest.mark.slow
@methods
def test_all_that_a_method_trains_moves(name):
    before, after = map(paths, trained(name))
    still = {path for path in before if np.array_equal(before[path], after[path])}
    # From a start without modulation, the branches of layers have no weight in the first update.
    if name == "scratch":
        still = {path for path in still if "layer_" not in path and "norm" not in path}
    # Classes have rows of their own.
    assert still <= {"label_embeddings/embedding"}
    expected = {
        "prompts": {"prompt_embeddings", "prompt_position_embeddings", "prompt_embeddings_ln"},
        "vector": {"prompt_vector_embeddings"},
    }
    expected["prompts_and_vector"] = expected["prompts"] | expected["vector"]
    if name in expected:
        assert {path.split("/")[0] for path in before} == expected[name]
    if name == "norm_bias":
        assert "layer_0/modulation/linear/bias" in before
        assert "head/bias" in before
    if name == "lora":
        assert {path.split("/")[2] for path in before if "/mlp/" in path} == {
            "mlp_in",
            "mlp_gate",
            "mlp_out",
        }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["prompts_and_vector", "lora"])
def test_stacked_layers_train_as_single_ones(name):
    after = trained(name, stacked=True)[1]
    if "layers" in after:
        after = unstack_layers(after, NET.layer_prefix)
    chex.assert_trees_all_close(after, trained(name)[1], rtol=1e-3, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", FROM_SOURCE)
def test_at_first_a_new_class_is_the_sources(name):
    method = METHODS[name]()
    of = method.params({} if name in WHOLE else params(), method.init(jax.random.key(5), params()))
    ids = jnp.array([0, 1, 2, 2, 1, 0])
    chex.assert_trees_all_close(
        NET.apply({"params": of}, batch()["tokens"], class_ids=ids),
        NET.apply({"params": params()}, batch()["tokens"], class_ids=ids),
        atol=1e-5,
    )


@pytest.mark.slow
@pytest.mark.parametrize("decoder", ["confidence", "halton", "halton_released"])
def test_a_marquee_changes_prompts_and_vectors(decoder):
    """An image that stays on one condition is drawn as without a marquee; others differ."""
    method, (_, of) = METHODS["prompts_and_vector"](), trained("prompts_and_vector")
    told = method.conditions(of, jnp.arange(C))
    assert told["prompts"].shape == (C, 4, WIDTH)
    # Large, so that they decide.
    told = {**told, "vectors": 30 * told["vectors"]}
    options = {"decoder": decoder, "num_iterations": 3, "guidance": 1.0}
    keys = jax.random.split(jax.random.key(1), 4)
    rows = jnp.array([0, 2, 1, 2])

    @jax.jit
    def draw(staged):
        return generate(NET, params(), keys, 9, rows=rows, **staged, **options)[0]

    constant = draw({name: x[None] for name, x in told.items()})
    repeated = {name: jnp.stack([x] * 3) for name, x in told.items()}
    np.testing.assert_array_equal(draw(repeated), constant)
    changed = {**repeated, "vectors": repeated["vectors"].at[1:].set(-told["vectors"])}
    assert not np.array_equal(draw(changed), constant)
    assert constant.min() >= 0
    assert constant.max() < NET.codebook_size


def test_a_vector_needs_a_net_that_one_modulates():
    method = Prompts(vector=True)
    assert method.adapt(Target(NET, 9, C)).generator.vector
    with pytest.raises(UserError, match="config.prompt.vector is True, but .* a MaskGIT: set it"):
        method.adapt(Target(MaskGIT(), 256, C))


def test_a_matrix_that_the_net_lacks_is_named():
    method = LoRA(matrices=("query", "mlp_gate"))
    method.adapt(Target(NET, 9, C))
    with pytest.raises(UserError, match="config.lora.matrices has 'mlp_gate', .* MaskGIT"):
        method.adapt(Target(MaskGIT(), 256, C))


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"num_prompt_tokens": 0}, "num_prompt_tokens"),
        ({"num_prompt_tokens": 0, "vector": True}, None),
    ],
)
def test_no_prompts_need_a_vector(fields, field):
    failed = [name for name, holds, _ in Prompts(**fields).requirements() if not holds]
    assert failed == ([field] if field else [])
