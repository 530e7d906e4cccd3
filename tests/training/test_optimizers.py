"""Learning rates, and the released trainer's updates repeated one by one."""

import functools

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax
import pytest
from flax import serialization

from tests import golden
from vpt_gen.decode.schedules import mask_rate
from vpt_gen.training.losses import mask_tokens
from vpt_gen.training.objectives import Examples, Objective
from vpt_gen.training.optimizers import make_optimizer, make_schedule
from vpt_gen.training.state import TrainState, apply_gradients

FILE = "train_step.npz"
GENERATOR = "h0"  # which the reference trained, as the shapes in the manifest say
VARIANTS = golden.cases(FILE, r"(p\d)/step0/loss")


def options(**changes) -> ml_collections.ConfigDict:
    defaults = {
        "learning_rate": 0.1,
        "b1": 0.9,
        "b2": 0.99,
        "weight_decay": 0.0,
        "warmup_steps": 0,
        "schedule": "cosine",
        "clip_norm": 0.0,
    }
    return ml_collections.ConfigDict(defaults | changes)


def reference_options() -> tuple[ml_collections.ConfigDict, int]:
    """The reference's optimizer and its number of updates."""
    c = golden.config("generative_transfer_config")
    return options(
        learning_rate=c["optimizer"]["lr"],
        b1=c["optimizer"]["beta1"],
        b2=c["optimizer"]["beta2"],
        weight_decay=float(c["optimizer"]["weight_decay"]),
        warmup_steps=c["optimizer"]["warmup_steps"],
    ), c["num_train_steps"]


def steps(variant: str) -> list[str]:
    numbers = sorted(int(number) for number in golden.find(FILE, rf"{variant}/step(\d+)/loss"))
    return [f"{variant}/step{number}" for number in numbers]


def rates(config, num_steps: int) -> list[float]:
    schedule = make_schedule(config, num_steps)
    return [float(schedule(step)) for step in range(num_steps + 1)]


def test_cosine_falls_from_the_peak_to_zero():
    rate = rates(options(), 10)
    np.testing.assert_allclose([rate[0], rate[5], rate[10]], [0.1, 0.05, 0.0], atol=1e-8)
    assert (np.diff(rate) < 0).all()


def test_cosine_after_warmup():
    rate = rates(options(warmup_steps=4), 10)
    np.testing.assert_allclose(rate[:5], [0.0, 0.025, 0.05, 0.075, 0.1], rtol=1e-6)
    np.testing.assert_allclose([rate[7], rate[10]], [0.05, 0.0], atol=1e-8)


def test_constant():
    np.testing.assert_allclose(rates(options(schedule="constant"), 3), [0.1] * 4)


def test_constant_after_warmup():
    rate = rates(options(schedule="constant", warmup_steps=2), 4)
    np.testing.assert_allclose(rate, [0.0, 0.05, 0.1, 0.1, 0.1], rtol=1e-6)


def test_warmup_longer_than_training_only_climbs():
    rate = rates(options(warmup_steps=100), 3)
    np.testing.assert_allclose(rate, [0.0, 0.001, 0.002, 0.003], rtol=1e-5)


def test_unknown_schedule_is_an_error():
    with pytest.raises(ValueError, match="optimizer.schedule is 'linear'"):
        make_schedule(options(schedule="linear"), 10)


def test_learning_rates_of_the_reference():
    schedule = make_schedule(*reference_options())
    for variant in golden.find(FILE, r"(p\d)/step0/lr"):
        for number, step in enumerate(steps(variant)):
            golden.check(FILE, f"{step}/lr", schedule(number))


def one_update(gradient: float, **changes) -> float:
    """The change of a parameter that is 2."""
    optimizer = make_optimizer(options(schedule="constant", **changes), 10)
    parameter = jnp.array(2.0)
    update, _ = optimizer.update(jnp.array(gradient), optimizer.init(parameter), parameter)
    return float(update)


def test_weight_decay_is_decoupled():
    np.testing.assert_allclose(one_update(0.3), -0.1, rtol=1e-5)
    np.testing.assert_allclose(one_update(0.3, weight_decay=0.5), -0.1 - 0.1 * 0.5 * 2, rtol=1e-5)


@pytest.mark.slow
def test_clip_norm_shortens_the_whole_gradient():
    optimizer = make_optimizer(options(schedule="constant", clip_norm=1.0), 10)
    params = {"a": jnp.zeros(1), "b": jnp.zeros(1)}
    state = optimizer.init(params)
    _, state = optimizer.update({"a": jnp.array([30.0]), "b": jnp.array([40.0])}, state, params)
    (moments,) = (s.mu for s in jax.tree.leaves(state, is_leaf=is_adam) if is_adam(s))
    np.testing.assert_allclose([moments["a"][0], moments["b"][0]], [0.06, 0.08], rtol=1e-5)


def is_adam(state) -> bool:
    return isinstance(state, optax.ScaleByAdamState)


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_masks_of_the_reference(variant):
    for step in steps(variant):
        number = step.split("/")[1]
        tokens = golden.load(FILE, f"{number}/tokens")
        with golden.threefry(variant):
            # As released: the scores' key is the sum of the tokens.
            key = jax.random.split(jax.random.PRNGKey(tokens.sum()))[1]
            scores = jax.random.uniform(key, tokens.shape)
        inputs, weights = mask_tokens(tokens, scores, golden.load(FILE, f"{step}/mask_ratio"))
        np.testing.assert_array_equal(inputs, golden.load(FILE, f"{step}/input_indices")[:, 1:])
        np.testing.assert_array_equal(weights, golden.load(FILE, f"{step}/weights")[:, 1:])


@pytest.mark.parametrize("variant", VARIANTS)
def test_mask_rates_of_the_reference(variant):
    for step in steps(variant):
        number = step.split("/")[1]
        num_tokens = golden.load(FILE, f"{number}/tokens").shape[1]
        schedule = golden.config("generative_transfer_config")["mask_scheduling_method"]
        with golden.threefry(variant):
            key = jax.random.split(jax.random.PRNGKey(golden.load(FILE, f"{number}/seed")), 3)[0]
            rate = mask_rate(jax.random.uniform(key), num_tokens, schedule)
        golden.check(FILE, f"{step}/mask_ratio", rate)


@pytest.mark.slow
@pytest.mark.parametrize("number", golden.cases(FILE, r"(step\d+)/image"))
def test_tokens_of_the_references_images(number):
    tokens = golden.run_vqgan("tokenize", golden.load(FILE, f"{number}/image"))
    golden.check(FILE, f"{number}/tokens", tokens.reshape(len(tokens), -1))


def loss_of(variables, labels, ids, targets, weights):
    net, frozen = golden.maskgit()
    prompts = golden.prompt_generator(GENERATOR)[0].apply(variables, labels)
    smoothing = golden.config("generative_transfer_config")["label_smoothing"]
    # Column 0 is the class token, which prompts replace: it has no weight.
    visual = Examples(*(x[:, 1:] for x in (ids, targets, weights)))
    return Objective(net, smoothing).losses(frozen["params"], visual, prompts=prompts).mean()


@jax.jit
def update(state, *batch):
    loss, gradients = jax.value_and_grad(loss_of)(state.params, *batch)
    return loss, apply_gradients(state, gradients, make_optimizer(*reference_options()))


@functools.cache
def trained(variant: str) -> list[tuple[float, TrainState]]:
    """Loss and next state of each of the reference's updates."""
    variables = golden.prompt_generator(GENERATOR)[1]
    opt_state = make_optimizer(*reference_options()).init(variables)
    state = TrainState(jnp.zeros((), jnp.int32), variables, opt_state)
    history = []
    for step in steps(variant):
        batch = [golden.load(FILE, f"{step.split('/')[1]}/label")]
        batch += [
            golden.load(FILE, f"{step}/{name}")
            for name in ("input_indices", "output_indices", "weights")
        ]
        loss, state = update(state, *batch)
        history.append((loss, state))
    return history


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_updates_of_the_reference(variant):
    for step, (loss, state) in zip(steps(variant), trained(variant), strict=True):
        golden.check(FILE, f"{step}/loss", loss)
        golden.check_all(FILE, f"{step}/after", state.params)


@pytest.mark.slow
def test_last_state_of_the_reference():
    saved = golden.checkpoint("prompt_trainstate.msgpack")
    if not steps("p1"):
        pytest.skip(f"{golden.FOLDER / FILE} lacks the updates that the state was saved after")
    state = trained("p1")[-1][1]
    assert state.step == saved["step"]
    for name, mine in (("model_state", state.params), ("optimizer_state", state.opt_state)):
        mine = golden.flat(serialization.to_state_dict(mine))
        theirs = golden.flat(saved[name])
        assert mine.keys() == theirs.keys()
        for path in mine:
            np.testing.assert_allclose(mine[path], theirs[path], rtol=1e-4, atol=1e-7, err_msg=path)
