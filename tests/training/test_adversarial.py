"""BigGAN's losses, gradients and updates against reference numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests import golden_gan as golden
from tests.random_params import random_gan
from vpt_gen.machine import sharding
from vpt_gen.nets.biggan import BigGAN
from vpt_gen.training import gan
from vpt_gen.training.adversarial import (
    Adversaries,
    Draws,
    moving_average,
    orthogonal_gradient,
)
from vpt_gen.training.adversarial_task import calls

pytestmark = pytest.mark.slow

FILE = "biggan.npz"


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


def variables() -> dict:
    return {
        name: golden.float64(golden.variables(golden.state_dict(f"{name}.pth")))
        for name in ("generator", "discriminator")
    }


def adversaries(make=golden.adam, accumulations: int = 1) -> Adversaries:
    net, c = golden.net(FILE), golden.facts(FILE)["config"]
    return Adversaries(
        *calls(net.generator, net.discriminator),
        {"generator": make(c["G_lr"], c), "discriminator": make(c["D_lr"], c)},
        gan.group_of,
        accumulations=accumulations,
    )


def one_step(side: str):
    given = golden.float64(golden.group(FILE, "in/"))
    gradients, metrics = golden.one_step(adversaries(golden.descent), variables(), given, (side,))
    return gradients[side][side]["params"], metrics


@golden.needed
def test_discriminator_step(float64):
    gradients, metrics = one_step("discriminator")
    for name in ("loss_real", "loss_fake"):
        found = metrics[f"discriminator_{name.removeprefix('loss_')}"]
        np.testing.assert_allclose(found, golden.load(FILE, f"Dstep/{name}"), rtol=1e-6)
    golden.check_gradients(gradients, golden.group(FILE, "Dstep/grad/"))
    golden.check_norms(gradients, golden.group(FILE, "Dstep/gradnorm/"))


@golden.needed
def test_generator_step(float64):
    gradients, metrics = one_step("generator")
    np.testing.assert_allclose(metrics["loss"], golden.load(FILE, "Gstep/loss"), rtol=1e-6)
    golden.check_gradients(gradients, golden.group(FILE, "Gstep/grad/"))
    golden.check_norms(gradients, golden.group(FILE, "Gstep/gradnorm/"))


@golden.needed
def test_logits_in_the_steps(float64):
    given = golden.float64(golden.group(FILE, "in/"))
    for stage in ("Dstep", "Gstep"):
        golden.check_logits(FILE, stage, adversaries(), variables(), given)


@golden.needed
def test_orthogonal_regularization(float64):
    params = variables()["generator"]["params"]
    added = orthogonal_gradient(params, 1e-4)
    expected = golden.group(FILE, "Gstep/ortho_added/")
    if not expected:
        golden.lacks(f"{FILE} lacks what orthogonal regularization adds")
    for name, value in expected.items():
        # Stored as the difference of two gradients in float64, rounded: 3e-3 as in the manifest.
        found, value = golden.pair(added, name, value)
        np.testing.assert_allclose(found, value, atol=3e-3 * np.abs(value).max(), err_msg=name)


@golden.needed
def test_updates_of_the_reference(float64):
    facts = golden.facts(FILE)["train"]
    both = adversaries(accumulations=facts["num_D_accumulations"])
    state = variables()
    average = [state["generator"]]

    def take_average(number, state):
        decay = 0.0 if number + 1 < facts["ema_start"] else facts["ema_decay"]
        average.append(moving_average(average[-1], state["generator"], decay))

    state, _ = golden.run_steps(
        FILE, "", both, state, both.init_optimizers(state), {"generator": True}, take_average
    )
    golden.check_variables(state["generator"], golden.group(FILE, "steps/after/G/"))
    golden.check_variables(state["discriminator"], golden.group(FILE, "steps/after/D/"))
    golden.check_variables(average[-1], golden.group(FILE, "steps/after/G_ema/"))


def toy(steps: int = 1, accumulations: int = 1, orthogonal: float = 0.0) -> Adversaries:
    """Nets of one number each, with gradient descent by 1."""

    def generate(variables, z, class_ids):
        del class_ids
        count = variables["generator"]["calls"]["n"] + 1.0
        moved = {**variables["generator"], "calls": {"n": count}}
        return z * variables["generator"]["params"]["w"], {**variables, "generator": moved}

    def discriminate(variables, images, class_ids):
        del class_ids
        return images * variables["discriminator"]["params"]["w"], variables

    return Adversaries(
        generate,
        discriminate,
        {"generator": optax.sgd(1.0), "discriminator": optax.sgd(1.0)},
        lambda path: path[0] if path[1] == "params" else None,
        steps=steps,
        accumulations=accumulations,
        orthogonal={"generator": orthogonal},
    )


def toy_update(both: Adversaries, z, real, training=True):
    state = {
        "generator": {"params": {"w": jnp.array(0.5)}, "calls": {"n": jnp.array(0.0)}},
        "discriminator": {"params": {"w": jnp.array(0.25)}},
    }
    draws = Draws(jnp.asarray(z), jnp.zeros(jnp.shape(z)[:2], jnp.int32))
    real = jnp.asarray(real)
    state, _, _ = both.update(
        state,
        both.init_optimizers(state),
        real,
        jnp.zeros(len(real), jnp.int32),
        draws,
        {"generator": training},
    )
    return state


def test_gradients_of_parts_are_averaged():
    z = np.array([[[0.2]], [[0.4]], [[0.6]], [[0.8]]])
    state = toy_update(toy(accumulations=2), z, [[0.1], [0.3]])
    # Hinge, all within the margin: d loss / d w is the mean of fakes less that of reals.
    judge = 0.25 - (np.mean([0.1, 0.2]) - 0.2)
    np.testing.assert_allclose(state["discriminator"]["params"]["w"], judge, rtol=1e-6)
    np.testing.assert_allclose(state["generator"]["params"]["w"], 0.5 + 0.7 * judge, rtol=1e-6)
    assert state["generator"]["calls"]["n"] == 4


def test_a_loop_over_parts_adds_up_the_same(monkeypatch):
    z = np.array([[[0.2]], [[0.4]], [[0.6]], [[0.8]]])
    unrolled = toy_update(toy(accumulations=2), z, [[0.1], [0.3]])
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    looped = toy_update(toy(accumulations=2), z, [[0.1], [0.3]])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), looped, unrolled)


def test_four_devices_update_as_one():
    """Batch normalization is over the whole batch, however it is split."""
    net = BigGAN(3, 32, 4, 2, 8, 4, (16,), ())
    task = gan.make_task(
        net, {"generator": optax.sgd(0.1), "discriminator": optax.sgd(0.1)}, average_start=0
    )
    images = np.random.default_rng(0).random((8, 32, 32, 3), np.float32)
    batch = {"image": images, "label": np.arange(8, dtype=np.int32) % 3}
    start, results = random_gan(task.init), []
    for shape in ((1, 1, 1), (2, 2, 1)):
        mesh = sharding.make_mesh(jax.devices()[: int(np.prod(shape))], shape)
        state = jax.device_put(start, sharding.shardings(start, mesh))
        with sharding.use(mesh):
            step = jax.jit(task.train_step)
            state, _ = step(state, {}, sharding.share(batch, mesh), jax.random.key(1))
        results.append(jax.device_get(state.params))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), *results)


def test_what_does_not_train_stays_as_it_is():
    both = toy()
    judge = toy_update(both, np.full((2, 1, 1), 0.4), [[0.3]])["discriminator"]
    state = toy_update(both, np.full((2, 1, 1), 0.4), [[0.3]], training=jnp.array(False))
    assert state["generator"]["params"]["w"] == 0.5
    assert state["generator"]["calls"]["n"] == 2
    assert state["discriminator"] == judge


def test_discriminator_takes_several_steps():
    z = np.full((3, 1, 1), 0.4)
    state = toy_update(toy(steps=2), z, [[0.1], [0.3]])
    judge = 0.25 - (0.2 - 0.1) - (0.2 - 0.3)
    np.testing.assert_allclose(state["discriminator"]["params"]["w"], judge, rtol=1e-6)


def test_average_is_a_copy_up_to_its_start():
    old, new = {"w": jnp.array(1.0)}, {"w": jnp.array(3.0)}
    assert moving_average(old, new, 0.0)["w"] == 3.0
    np.testing.assert_allclose(moving_average(old, new, 0.75)["w"], 1.5)


def test_orthogonal_weights_are_left_alone():
    params = {"conv": {"kernel": jnp.eye(4)[:, :3], "bias": jnp.ones(3)}}
    added = orthogonal_gradient(params, 1.0)
    jax.tree.map(lambda x: np.testing.assert_allclose(x, 0.0), added)
    # Two equal rows of torch's (out, in): 2 * (1 * w1), for each.
    params = {"conv": {"kernel": jnp.ones((2, 2))}, "shared": {"embedding": jnp.ones((2, 2))}}
    added = orthogonal_gradient(params, 0.5)
    np.testing.assert_allclose(added["conv"]["kernel"], np.full((2, 2), 2.0))
    np.testing.assert_allclose(added["shared"]["embedding"], 0.0)
