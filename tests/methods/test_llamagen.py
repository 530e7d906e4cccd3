"""Every method of adaptation on a LlamaGen, which none of them knows."""

import functools

import jax
import numpy as np
import optax
import pytest
from flax import traverse_util

from tests.methods.updates import greedy, predicted, two_updates
from tests.random_params import random_params
from vpt_gen.errors import UserError
from vpt_gen.methods import METHODS, adaptation
from vpt_gen.methods.class_mixture import ClassMixture
from vpt_gen.methods.lora import LoRA
from vpt_gen.methods.prompts import Prompts
from vpt_gen.methods.prompts_lora import PromptsLoRA
from vpt_gen.methods.record import Target, TransformerMethod
from vpt_gen.nets.gpt import GPT
from vpt_gen.nets.llamagen import LlamaGen
from vpt_gen.nets.transformer import GATE, MATRICES
from vpt_gen.nets.vqgan import VQGAN
from vpt_gen.training.objectives import Objective

C = 3
NET = LlamaGen(23, 5, 9, num_layers=1, hidden_size=16, num_heads=2, intermediate_size=24)
OPTIONS = {
    "prompts": {"num_prompt_tokens": 4, "dropout_rate": 0.0},
    "prompts_lora": {"num_prompt_tokens": 4, "dropout_rate": 0.0, "prompt_steps": 0},
    "lora": {"rank": 2, "matrices": (*MATRICES, GATE)},
    "adapters": {"size": 6},
    "deep_prompts": {"num_prompt_tokens": 5},
    "class_deep_prompts": {"num_prompt_tokens": 2},
}
RECORDS = {
    name: record(**OPTIONS.get(name, {}))
    for name, record in METHODS.items()
    if issubclass(record, TransformerMethod)
} | {"identity prompts": Prompts(**OPTIONS["prompts"], rotation="identity")}


@functools.cache
def params():
    return random_params(NET, 9)


def make_task(record):
    # A norm makes much of small prompts.
    rate = 1e-3 if isinstance(record, Prompts) else 0.1
    net = record.prepared(NET)
    return (
        net,
        adaptation.make_task(
            method := record.adapt(Target(net, 9, C)),
            net,
            Objective(net, 0.1),
            VQGAN(),
            {"transformer": params(), "tokenizer": {}},
            optax.sgd(rate),
            num_tokens=9,
            decode_options={},
        ),
        method,
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", RECORDS)
def test_it_trains_its_parameters_and_a_cache_changes_nothing(name):
    net, task, method = make_task(RECORDS[name])
    state, losses, still = two_updates(task)
    assert losses[1] < losses[0]
    # Scratch and fine-tuning have the source's own classes besides, which are not drawn.
    assert still <= {"condition_embeddings/embedding"}

    adapted = method.params(task.frozen["transformer"], state.params)
    told = method.conditions(state.params, np.arange(C))
    drawn = greedy(net, adapted, told)
    again = predicted(net, adapted, drawn, told).argmax(axis=-1)
    np.testing.assert_array_equal(drawn, again)


@pytest.mark.parametrize("name", [name for name in OPTIONS if name != "prompts"])
def test_every_layer_has_its_part(name):
    net = NET.clone(num_layers=2)
    method = RECORDS[name].adapt(Target(net, 9, C))
    shapes = jax.eval_shape(method.init, jax.random.key(0), random_params(net, 9))
    paths = traverse_util.flatten_dict(shapes, sep="/")
    layers = {path.split("/")[0] for path in paths if not path.startswith(("class_", "prompt_"))}
    assert layers == {"block_0", "block_1"}


def test_options_that_a_transformer_does_not_have_are_named():
    gpt = GPT(23, 9, 1, 16, 2, 32)
    with pytest.raises(UserError, match="config.prompt.rotation is 'identity': a GPT rotates"):
        Prompts(rotation="identity").prepared(gpt)
    with pytest.raises(UserError, match="rotation is 'up': it must be '' or one of zero, plain"):
        Prompts(rotation="up").prepared(NET)
    for record in (LoRA, PromptsLoRA):
        message = f"config.{record.group}.matrices has 'mlp_gate', which a GPT does not have"
        with pytest.raises(UserError, match=message):
            record(matrices=("query", GATE)).adapt(Target(gpt, 9, C))
    # Which of its codes are classes, a GPT knows only if one of them is none.
    with pytest.raises(UserError, match="this GPT does not record any class of its own"):
        ClassMixture().adapt(Target(gpt, 9, C))
    shapes = jax.eval_shape(
        ClassMixture().adapt(Target(gpt.clone(null_class=7), 9, C)).init, jax.random.key(0), {}
    )
    assert shapes["class_embeddings"]["logits"].shape == (C, 7)
