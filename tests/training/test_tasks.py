"""The three tasks on tiny nets: what moves, what does not, and that they learn."""

import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests import made
from vpt_gen.methods import adaptation, prompts
from vpt_gen.nets.discriminator import Discriminator
from vpt_gen.nets.gpt import GPT
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.nets.prompt_generator import PromptGenerator
from vpt_gen.nets.vqgan import VQGAN
from vpt_gen.training import tokenizer, transformer
from vpt_gen.training.objectives import Objective

pytestmark = pytest.mark.slow

VQGAN_NET = VQGAN(32, (1, 1), 1, 8, 16)
NET = MaskGIT(
    16, 2, 16, num_layers=1, hidden_size=16, num_heads=2, intermediate_size=32, dropout_rate=0.1
)
DECODE = {"num_iterations": 2, "choice_temperature": 4.5, "schedule": "cosine"}
AR_NET = GPT(16, 16, num_layers=1, hidden_size=16, num_heads=2, intermediate_size=32)
AR_DECODE = {"temperature": 1.0, "top_k": 4, "top_p": 0.9}
TRANSFORMER_TASKS = ["prompt_task", "transformer_task", "ar_prompt_task", "ar_transformer_task"]


@pytest.fixture(scope="module")
def batch():
    images = jax.random.uniform(jax.random.key(0), (8, 8, 8, 3))
    return {"image": images, "label": jnp.arange(8) % 2}


@pytest.fixture(scope="module")
def vqgan_params(batch):
    return made.new_params(VQGAN_NET, batch["image"], seed=1)


@pytest.fixture(scope="module")
def prompt_task(vqgan_params):
    return make_prompt_task(NET, DECODE, vqgan_params)


@pytest.fixture(scope="module")
def ar_prompt_task(vqgan_params):
    return make_prompt_task(AR_NET, AR_DECODE, vqgan_params)


def make_prompt_task(net, decode_options, vqgan_params, generator=None):
    tokens = jnp.zeros((1, 16), jnp.int32)
    params = made.new_params(net, tokens, seed=2, class_ids=tokens[:, 0])
    return adaptation.make_task(
        prompts.make_method(generator or PromptGenerator(2, 3, 16, dropout_rate=0.0)),
        net,
        Objective(net, 0.1, "cosine"),
        VQGAN_NET,
        {"transformer": params, "tokenizer": vqgan_params},
        optax.adam(1e-2),
        num_tokens=16,
        decode_options=decode_options,
    )


@pytest.fixture(scope="module")
def transformer_task(vqgan_params):
    return make_transformer_task(NET, DECODE, vqgan_params, class_dropout=0.5)


@pytest.fixture(scope="module")
def ar_transformer_task(vqgan_params):
    return make_transformer_task(AR_NET, AR_DECODE, vqgan_params, class_dropout=0.0)


def make_transformer_task(net, decode_options, vqgan_params, class_dropout):
    return transformer.make_task(
        net,
        Objective(net, 0.1, "cosine"),
        VQGAN_NET,
        vqgan_params,
        optax.adam(1e-2),
        num_classes=2,
        num_tokens=16,
        class_dropout=class_dropout,
        decode_options=decode_options,
    )


def tokenizer_task(adversarial_weight, **options):
    options = {"adversarial_start": 0, "quantizer_start": 0, "codebook_factor": 1.0} | options
    options = {"reconstruction_weight": 1.0} | options
    return tokenizer.make_task(
        VQGAN_NET,
        optax.adam(1e-3),
        image_size=8,
        adversarial_weight=adversarial_weight,
        r1_cost=10.0,
        discriminator=Discriminator({4: 8, 8: 8}),
        perceptual_weight=0.0,
        **options,
    )


def start(task):
    """Its first state, by one program."""
    return jax.jit(task.init)(jax.random.key(3))


def apply_vqgan(params, *given, method):
    """A method of the tokenizer, as one program."""
    return _APPLY({"params": params}, *given, method=method)


_APPLY = jax.jit(VQGAN_NET.apply, static_argnames="method")


def updates(task, batch):
    """The state after 0, 1, 2, ... updates, and the loss of the last."""
    step = jax.jit(task.train_step)
    state, loss = start(task), None
    for i in itertools.count():
        yield state, loss
        state, metrics = step(state, task.frozen, batch, jax.random.key(i))
        loss = float(metrics["loss"])


def train(task, batch, steps):
    states, losses = zip(*itertools.islice(updates(task, batch), steps + 1), strict=True)
    return states[-1], losses[1:]


def moved(before, after):
    changed = jax.tree.map(lambda a, b: bool(np.any(a != b)), before, after)
    return {jax.tree_util.keystr(p) for p, x in jax.tree_util.tree_leaves_with_path(changed) if x}


@pytest.mark.parametrize("name", ["prompt_task", "ar_prompt_task"])
def test_prompt_tuning_moves_every_generator_parameter_and_holds_nothing_else(name, batch, request):
    task = request.getfixturevalue(name)
    state, _ = train(task, batch, 1)
    names = {jax.tree_util.keystr(p) for p, _ in jax.tree_util.tree_leaves_with_path(state.params)}
    assert moved(start(task).params, state.params) == names
    assert len(names) == 4
    sizes = [x.size for x in jax.tree.leaves(state.opt_state)]
    assert sum(sizes) <= 2 * sum(x.size for x in jax.tree.leaves(state.params)) + 2


def shapes_made(task, batch):
    """Shapes of all that a train step computes."""
    step = jax.make_jaxpr(task.train_step)
    state = start(task)
    jaxpr = step(state, task.frozen, batch, jax.random.key(0)).jaxpr
    return {v.aval.shape for e in jaxpr.eqns for v in e.outvars if hasattr(v.aval, "shape")}


@pytest.mark.parametrize("family", ["", "ar_"])
def test_only_pretraining_forms_a_gradient_of_the_transformer(family, batch, request):
    kernel = {(16, 32), (32, 16)}  # Of the MLP: (D, intermediate) and back.
    pretraining = request.getfixturevalue(f"{family}transformer_task")
    assert kernel & shapes_made(pretraining, batch)
    assert not kernel & shapes_made(request.getfixturevalue(f"{family}prompt_task"), batch)


@pytest.mark.parametrize("num_classes", [0, 2])
@pytest.mark.parametrize("design", ["additive", "factorized", "full"])
def test_instance_prompts_learn_their_images(design, num_classes, vqgan_params, batch):
    generator = PromptGenerator(
        num_classes, 3, 16, dropout_rate=0.0, design=design, num_factors=1, num_instances=8
    )
    task = make_prompt_task(NET, DECODE, vqgan_params, generator)
    batch = {**batch, "index": jnp.arange(8)}
    state, _ = train(task, batch, 40)
    tables = {"prompt_instance_embeddings"} | ({"prompt_embeddings"} if num_classes else set())
    assert tables <= set(state.params)
    step = jax.jit(task.train_step)
    before, after = (
        step(s, task.frozen, batch, jax.random.key(9))[1]["loss"] for s in (start(task), state)
    )
    assert after < before
    pictures = jax.jit(task.pictures)(state.params, task.frozen, batch, jax.random.key(0))
    chex.assert_shape(pictures["samples"], (16, 8, 8, 3))


@pytest.mark.parametrize("name", TRANSFORMER_TASKS)
def test_tokens_in_the_batch_stand_for_its_images(name, batch, vqgan_params, request):
    task = request.getfixturevalue(name)
    tokens = apply_vqgan(vqgan_params, batch["image"], method="tokenize")
    from_tokens = {"tokens": np.asarray(tokens, np.uint16).reshape(8, -1), "label": batch["label"]}
    params, key = start(task).params, jax.random.key(4)
    eval_step = jax.jit(task.eval_step)
    a = eval_step(params, task.frozen, batch, key)["loss"]
    b = eval_step(params, task.frozen, from_tokens, key)["loss"]
    chex.assert_shape(a, (8,))
    chex.assert_trees_all_close(a, b)


@pytest.mark.parametrize("name", TRANSFORMER_TASKS)
def test_the_loss_falls_and_the_step_counts(name, batch, request):
    task = request.getfixturevalue(name)
    state, _ = train(task, batch, 60)
    assert int(state.step) == 60
    eval_step = jax.jit(task.eval_step)
    before, after = (
        eval_step(params, task.frozen, batch, jax.random.key(9))["loss"].mean()
        for params in (start(task).params, state.params)
    )
    assert after < before


@pytest.mark.parametrize("name", TRANSFORMER_TASKS)
def test_pictures_are_images_and_repeatable(name, batch, request):
    task = request.getfixturevalue(name)
    params = start(task).params
    pictures = jax.jit(task.pictures)
    first, second = (
        pictures(params, task.frozen, batch, jax.random.key(5))["samples"] for _ in range(2)
    )
    chex.assert_shape(first, (16 if "prompt" in name else 64, 8, 8, 3))
    assert first.min() >= 0
    assert first.max() <= 1
    chex.assert_trees_all_equal(first, second)


def test_masks_differ_between_examples(batch):
    from vpt_gen.training.losses import draw_masks

    _, weights = draw_masks(jax.random.key(0), jnp.zeros((64, 16), jnp.int32), "cosine")
    counts = np.asarray(weights).sum(axis=1)
    assert counts.min() >= 1
    assert len(set(counts.tolist())) > 8
    assert len({tuple(w) for w in np.asarray(weights).tolist()}) > 40


def test_the_tokenizer_learns_without_a_discriminator(batch):
    state, losses = train(tokenizer_task(0.0), batch, 20)
    assert set(state.params) == {"vqgan"}
    assert losses[-1] < losses[0]


def test_a_tokenizer_whose_tokens_stay_trains_its_decoder_alone(batch):
    start = made.new_params(VQGAN_NET, batch["image"], seed=9)
    state, losses = train(tokenizer_task(0.1, start=start), batch, 20)
    after = dict(state.params["vqgan"])
    assert (
        jnp.abs(after["decoder"]["Conv_0"]["bias"] - start["decoder"]["Conv_0"]["bias"]).max() > 0
    )
    chex.assert_trees_all_equal({**after, "decoder": start["decoder"]}, dict(start))
    assert set(state.opt_state["vqgan"][0].mu) == {"decoder"}
    assert losses[-1] < losses[0]


def test_the_codebook_has_a_learning_rate_of_its_own(batch):
    moves = {}
    for factor in (1.0, 3.0):
        task = tokenizer_task(0.0, codebook_factor=factor)
        before = start(task).params["vqgan"]
        after, _ = train(task, batch, 1)
        moves[factor] = jax.tree.map(jnp.subtract, after.params["vqgan"], before)
    codebooks = [moves[factor].pop("quantizer")["codebook"] for factor in moves]
    assert jnp.abs(codebooks[0]).max() > 0
    chex.assert_trees_all_close(3.0 * codebooks[0], codebooks[1], atol=1e-7)
    chex.assert_trees_all_equal(moves[1.0], moves[3.0])


def test_the_error_weighs_what_it_is_given(batch):
    terms = {}
    for weight in (1.0, 4.0):
        task = tokenizer_task(0.0, reconstruction_weight=weight)
        state = start(task)
        _, found = jax.jit(task.train_step)(state, task.frozen, batch, jax.random.key(0))
        terms[weight] = {name: float(value) for name, value in found.items()}
    error = terms[1.0]["reconstruction"]
    assert terms[4.0]["reconstruction"] == pytest.approx(4 * error)
    assert terms[4.0]["loss"] == pytest.approx(terms[1.0]["loss"] + 3 * error, rel=1e-5)


def test_a_quantizer_that_starts_later_begins_with_latents(batch):
    task = tokenizer_task(0.0, quantizer_start=2)
    before = start(task).params["vqgan"]
    (_, _), (early, _), (late, _), (after, _) = itertools.islice(updates(task, batch), 4)
    chex.assert_trees_all_equal(early.params["vqgan"]["quantizer"], before["quantizer"])
    codebook = late.params["vqgan"]["quantizer"]["codebook"]
    latents = apply_vqgan(early.params["vqgan"], batch["image"], method="encode")
    apart = jnp.abs(codebook[:, None] - latents.reshape(-1, codebook.shape[-1])).max(axis=-1)
    assert apart.min(axis=1).max() < 1e-5 < apart.mean()
    assert (after.params["vqgan"]["quantizer"]["codebook"] != codebook).any()


def test_before_its_start_the_quantizer_is_passed_over(batch):
    task = tokenizer_task(0.0, quantizer_start=2)
    state = start(task)
    _, metrics = jax.jit(task.train_step)(state, task.frozen, batch, jax.random.key(0))
    latents = apply_vqgan(state.params["vqgan"], batch["image"], method="encode")
    images = apply_vqgan(state.params["vqgan"], latents, method="decode")
    assert float(metrics["loss"]) == pytest.approx(
        float(jnp.mean((batch["image"] - images) ** 2)), rel=1e-5
    )


def test_the_discriminator_and_its_optimizer_rest_until_their_start(batch):
    task = tokenizer_task(0.1, adversarial_start=2)
    (initial, _), _, (early, _), (late, _) = itertools.islice(updates(task, batch), 4)
    before, after = (state.params["discriminator"] for state in (early, late))
    chex.assert_trees_all_equal(before, initial.params["discriminator"])
    # Gradients before the start would leave moments behind; zeros would drain them, and make the
    # first steps many times as long.
    chex.assert_trees_all_equal(
        initial.opt_state["discriminator"], early.opt_state["discriminator"]
    )
    assert moved(initial.opt_state["vqgan"], early.opt_state["vqgan"])
    adam, *_ = late.opt_state["discriminator"]
    assert int(adam.count) == 1
    assert len(moved(before, after)) == len(jax.tree.leaves(before))
    # Adam's first step is the learning rate, or less where a gradient is next to nothing.
    steps = jax.tree.map(lambda a, b: jnp.abs(a - b).max(), before, after)
    assert 0.9e-3 < max(jax.tree.leaves(steps)) < 1.01e-3
