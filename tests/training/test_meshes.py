"""Prompt tuning on meshes of eight devices: the losses of one, and only the talk a mesh implies.

Whole runs are compared by `python -m tests.many_meshes`.
"""

import functools

import jax
import numpy as np
import optax
import pytest

from tests import made
from tests.collectives import collectives
from vpt_gen.machine import sharding
from vpt_gen.methods import (
    adaptation,
    adapters,
    deep_prompts,
    lora,
    prompts,
)
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.nets.prompt_generator import PromptGenerator
from vpt_gen.nets.transformer import MATRICES
from vpt_gen.nets.vqgan import VQGAN
from vpt_gen.training import transformer
from vpt_gen.training.objectives import Objective
from vpt_gen.training.state import initial_state

pytestmark = pytest.mark.slow

BATCH, LAYERS, WIDTH, HIDDEN, HEADS, CODES, LENGTH = 40, 2, 32, 48, 8, 64, 16
NET = MaskGIT(CODES, 5, LENGTH, LAYERS, WIDTH, HEADS, HIDDEN)
TOKENIZER = VQGAN(32, (1, 1, 1), 1, 8, CODES)
MESHES = {
    "data": (8, 1, 1),
    "fsdp": (1, 8, 1),
    "tensor": (1, 1, 8),
    "mixed": (2, 2, 2),
}


@functools.cache
def frozen_params():
    return {
        "transformer": made.new_params(NET, np.zeros((1, LENGTH), np.int32)),
        "tokenizer": made.new_params(TOKENIZER, np.zeros((1, 16, 16, 3)), seed=1),
    }


def prompt_task(accumulate=1):
    return method_task(prompts.make_method(PromptGenerator(5, 3, WIDTH)), accumulate)


def method_task(method, accumulate=1):
    return adaptation.make_task(
        method,
        NET,
        Objective(NET, 0.1, "cosine"),
        TOKENIZER,
        frozen_params(),
        optax.adamw(1e-2),
        num_tokens=LENGTH,
        decode_options={},
        accumulate=accumulate,
    )


def pretraining_task():
    return transformer.make_task(
        NET,
        Objective(NET, 0.1, "cosine"),
        TOKENIZER,
        {},
        optax.adamw(1e-2),
        num_classes=5,
        num_tokens=LENGTH,
        class_dropout=0.1,
        decode_options={},
    )


def batch(step):
    generator = np.random.default_rng(step)
    tokens = generator.integers(CODES, size=(BATCH, LENGTH)).astype(np.uint16)
    return {"tokens": tokens, "label": generator.integers(5, size=BATCH).astype(np.int32)}


def compiled(task, mesh):
    """The compiled step, its state and frozen parameters, and its text before compilation."""
    state = initial_state(task, 0, mesh)
    frozen = sharding.put(task.frozen, mesh)
    step = jax.jit(
        task.train_step,
        out_shardings=(sharding.shardings(state, mesh), sharding.replicated(mesh)),
    )
    with sharding.use(mesh):
        lowered = step.lower(state, frozen, sharding.to_global(batch(0), mesh), jax.random.key(0))
        return lowered.compile(), state, frozen, lowered.as_text()


def losses(program, mesh, steps):
    step, state, frozen, _ = program
    found = []
    for number in range(steps):
        data = sharding.to_global(batch(number), mesh)
        state, metrics = step(state, frozen, data, jax.random.key(number))
        found.append(metrics["loss"])
    return np.array(found)


@pytest.fixture(scope="module")
def task():
    return prompt_task()


@pytest.fixture(scope="module")
def program_on(task):
    """Shape of a mesh -> the compiled step."""
    return functools.cache(lambda shape: compiled(task, sharding.make_mesh(shape=shape)))


@pytest.fixture(scope="module")
def of_one_device(task):
    mesh = sharding.make_mesh(jax.devices()[:1])
    return losses(compiled(task, mesh), mesh, 5)


@pytest.mark.parametrize("shape", MESHES.values(), ids=MESHES)
def test_losses_are_those_of_one_device(program_on, of_one_device, shape):
    mesh = sharding.make_mesh(shape=shape)
    np.testing.assert_allclose(losses(program_on(shape), mesh, 5), of_one_device, rtol=2e-5)
    assert np.ptp(of_one_device) > 1e-2


@pytest.mark.parametrize(
    "method",
    [
        lora.make_method(NET, 5, 4, 8.0, MATRICES),
        adapters.make_method(NET, 5, 6),
        deep_prompts.make_method(NET, 5, 3),
    ],
    ids=["lora", "adapters", "deep_prompts"],
)
def test_additions_beside_split_matrices_learn_as_on_one_device(method):
    task = method_task(method)
    one, eight = (
        losses(compiled(task, mesh), mesh, 3)
        for mesh in (sharding.make_mesh(jax.devices()[:1]), sharding.make_mesh(shape=(2, 2, 2)))
    )
    np.testing.assert_allclose(eight, one, rtol=2e-5)
    assert np.ptp(one) > 1e-3


@pytest.mark.parametrize("shape", MESHES.values(), ids=MESHES)
def test_a_step_talks_as_its_mesh_implies(program_on, shape):
    data, fsdp, tensor = shape
    step, state, _, text = program_on(shape)
    # The input of the layers, and in each the outputs of both halves and the hidden units.
    assert text.count("sharding_constraint") >= 1 + 3 * LAYERS
    found = collectives(step.as_text())
    assert set(found) <= {"all-gather", "all-reduce", "collective-permute"}
    local = BATCH // (data * fsdp)
    gathered = {tuple(sorted(shape)) for shape in found.get("all-gather", [])}
    # Of heads (as one matrix) and hidden units a device keeps those of its place along `tensor`.
    kernels = {(WIDTH, WIDTH // tensor), (WIDTH, HIDDEN // tensor), (WIDTH, WIDTH)}
    kernels = {tuple(sorted(kernel)) for kernel in kernels}
    assert gathered == (kernels if fsdp > 1 else set())
    assert len(found.get("all-gather", [])) == (6 * LAYERS + 1 if fsdp > 1 else 0)
    # Each half of a layer is summed over `tensor`, forward and backward: its input's gradient once
    # for each of query, key and value, and for the MLP.
    sums = [s for s in found["all-reduce"] if len(s) == 3 and s[0] == local and s[2] == WIDTH]
    assert len(sums) == (6 * LAYERS if tensor > 1 else 0)
    gradients = {x.shape for x in jax.tree.leaves(state.params)}
    reduced = {tuple(size for size in s if size != 1) for s in found["all-reduce"]} - {()}
    reduced -= {tuple(size for size in s if size != 1) for s in sums}
    assert reduced == (gradients if data * fsdp > 1 else set())


def test_parts_of_a_batch_are_of_all_devices(of_one_device):
    mesh = sharding.make_mesh(shape=(2, 2, 2))
    in_parts = compiled(prompt_task(accumulate=5), mesh)
    np.testing.assert_allclose(losses(in_parts, mesh, 5), of_one_device, rtol=2e-5)
    found = collectives(in_parts[0].as_text())
    assert "all-to-all" not in found
    for shape in found.get("collective-permute", []):
        assert BATCH not in shape and LENGTH + 3 not in shape, shape
    # Only matrices of layers are gathered, as with the whole batch.
    kernels = {(WIDTH, WIDTH // 2), (WIDTH, HIDDEN // 2), (WIDTH, WIDTH)}
    assert {tuple(sorted(shape)) for shape in found["all-gather"]} == {
        tuple(sorted(kernel)) for kernel in kernels
    }


def test_pretraining_never_gathers_the_batch():
    step, *_ = compiled(pretraining_task(), sharding.make_mesh(shape=(2, 2, 2)))
    found = collectives(step.as_text())
    for shape in found["all-gather"] + found.get("collective-permute", []):
        assert BATCH not in shape and LENGTH + 1 not in shape, shape
