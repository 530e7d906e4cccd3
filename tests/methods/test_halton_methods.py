"""Every method of adaptation on Halton-MaskGIT, and prompts with a vector."""

import functools

import chex
import jax
import numpy as np
import optax
import pytest
from flax import traverse_util

from tests.methods.updates import unmoved
from tests.random_params import random_params
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
from vpt_gen.nets.halton_maskgit import HaltonMaskGIT
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.nets.prompt_generator import PromptGenerator
from vpt_gen.nets.stack import stack_layers, unstack_layers
from vpt_gen.nets.vqgan import VQGAN
from vpt_gen.training.objectives import Objective

# Heads do not divide the width: attention has 12 channels of 14.
NET = HaltonMaskGIT(11, 3, 9, 1, 14, 4, 20, 2, dropout_rate=0.0)
C, WIDTH = 3, NET.hidden_size
MATRICES = tuple(NET.parts.matrices)
METHODS = {
    "prompts": lambda net: prompts.make_method(PromptGenerator(C, 4, WIDTH, dropout_rate=0.0)),
    "prompts_and_vector": lambda net: prompts.make_method(
        PromptGenerator(C, 4, WIDTH, dropout_rate=0.0, vector=True)
    ),
    "vector": lambda net: prompts.make_method(PromptGenerator(C, 0, WIDTH, vector=True)),
    "class_embedding": lambda net: class_embedding.make_method(net, C),
    "deep_prompts": lambda net: deep_prompts.make_method(net, C, num_prompt_tokens=5),
    "class_deep_prompts": lambda net: class_deep_prompts.make_method(net, C, num_prompt_tokens=2),
    "class_mixture": lambda net: class_mixture.make_method(net, C, net.num_classes),
    "norms": lambda net: norm_bias.make_method(net, C, norms.norms),
    "norm_bias": lambda net: norm_bias.make_method(net, C),
    "difffit": lambda net: difffit.make_method(net, C),
    "lora": lambda net: lora.make_method(net, C, 2, 4.0, MATRICES),
    "adapters": lambda net: adapters.make_method(net, C, size=6),
    "finetune": lambda net: finetune.make_method(net, C, "float32"),
    "scratch": lambda net: scratch.make_method(net, C, 9, "float32"),
}
WHOLE = ("finetune", "scratch")
# Whose function is the source's before the first update.
FROM_SOURCE = ["class_embedding", "norm_bias", "difffit", "lora", "adapters", "finetune"]
methods = pytest.mark.parametrize("name", METHODS)


@functools.cache
def params(net=NET):
    return random_params(net, 9, scale=0.3)


def batch():
    tokens = np.random.default_rng(0).integers(0, NET.codebook_size, (6, 9))
    return {"tokens": tokens, "label": np.arange(6) % C}


@functools.cache
def trained(name, net=NET, is_stacked=False):
    """The trained parameters before and after two updates."""
    source = stack_layers(params(net), net.layer_prefix) if is_stacked else params(net)
    task = adaptation.make_task(
        METHODS[name](net),
        net,
        Objective(net, 0.1, "cosine"),
        VQGAN(),
        {"transformer": source, "tokenizer": {}},
        optax.sgd(0.3),
        num_tokens=9,
        decode_options={"decoder": "halton_released", "num_iterations": 3},
    )
    state = task.init(jax.random.key(3))
    before, step = state.params, jax.jit(task.train_step)
    for number in range(2):
        state, metrics = step(state, task.frozen, batch(), jax.random.key(number))
    assert np.isfinite(float(metrics["loss"]))
    return before, state.params


@pytest.mark.slow
@methods
def test_all_that_a_method_trains_moves(name):
    before, after = trained(name)
    still, paths = unmoved(before, after), traverse_util.flatten_dict(before, sep="/")
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
        assert {path.split("/")[0] for path in paths} == expected[name]
    if name == "norm_bias":
        assert "layer_0/modulation/linear/bias" in paths
        assert "head/bias" in paths
    if name == "lora":
        assert {path.split("/")[2] for path in paths if "/mlp/" in path} == {
            "mlp_in",
            "mlp_gate",
            "mlp_out",
        }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["prompts_and_vector", "lora"])
def test_stacked_layers_train_as_single_ones(name):
    net = NET.clone(num_layers=2)
    after = trained(name, net, is_stacked=True)[1]
    if "layers" in after:
        after = unstack_layers(after, net.layer_prefix)
    chex.assert_trees_all_close(after, trained(name, net)[1], rtol=1e-3, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", FROM_SOURCE)
def test_at_first_a_new_class_is_the_sources(name):
    of = METHODS[name](NET).params({} if name in WHOLE else params(), trained(name)[0])
    chex.assert_trees_all_close(logits(of), logits(params()), atol=1e-5)


@jax.jit
def logits(params):
    ids = np.array([0, 1, 2, 2, 1, 0])
    return NET.apply({"params": params}, batch()["tokens"], class_ids=ids)


@pytest.mark.slow
@pytest.mark.parametrize("decoder", ["confidence", "halton", "halton_released"])
def test_a_marquee_changes_prompts_and_vectors(decoder):
    """An image that stays on one condition is drawn as without a marquee; others differ."""
    method, (_, of) = METHODS["prompts_and_vector"](NET), trained("prompts_and_vector")
    told = {name: np.asarray(x) for name, x in method.conditions(of, np.arange(C)).items()}
    assert told["prompts"].shape == (C, 4, WIDTH)
    # Large, so that they decide.
    told = {**told, "vectors": 30 * told["vectors"]}
    options = {"decoder": decoder, "num_iterations": 3, "guidance": 1.0}
    keys = jax.random.split(jax.random.key(1), 4)
    rows = np.array([0, 2, 1, 2])

    @jax.jit
    def draw(params, staged):
        return generate(NET, params, keys, 9, rows=rows, **staged, **options)[0]

    constant = draw(params(), {name: x[None] for name, x in told.items()})
    repeated = {name: np.stack([x] * 3) for name, x in told.items()}
    np.testing.assert_array_equal(draw(params(), repeated), constant)
    repeated["vectors"][1:] *= -1
    assert not np.array_equal(draw(params(), repeated), constant)
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
