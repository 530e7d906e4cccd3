"""BigGAN's losses, gradients and updates against reference numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests import golden_gan as golden
from vpt_gen.training import gan
from vpt_gen.training.adversarial import Adversaries, Draws, moving_average, orthogonal_gradient

FILE = "biggan.npz"
METRICS = {
    "G_loss": "loss",
    "D_loss_real": "discriminator_real",
    "D_loss_fake": "discriminator_fake",
}


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


def variables() -> dict:
    return {
        name: golden.float64(golden.variables(golden.state_dict(f"{name}.pth")))
        for name in ("generator", "discriminator")
    }


def optimizers(make) -> dict:
    """`make(learning rate, config)` for both nets, of the reference's config."""
    c = golden.facts(FILE)["config"]
    return {"generator": make(c["G_lr"], c), "discriminator": make(c["D_lr"], c)}


def adam(rate: float, c: dict) -> optax.GradientTransformation:
    return optax.adam(rate, b1=c["G_B1"], b2=c["G_B2"], eps=c["adam_eps"])


def adversaries(make=adam, accumulations: int = 1) -> Adversaries:
    return Adversaries(
        *gan.calls(golden.net(FILE)),
        optimizers(make),
        lambda path: path[0] if path[1] == "params" else None,
        accumulations=accumulations,
    )


def descend(rate: float, c: dict) -> optax.GradientTransformation:
    """An optimiser whose state is the gradient."""
    del rate, c
    return optax.GradientTransformation(lambda p: p, lambda g, s, p=None: (g, g))


def one_step(side: str):
    """Losses and gradients of the file's batch, of nets as they are in the files."""
    given = golden.float64(golden.group(FILE, "in/"))
    both = adversaries(descend)
    draws = Draws(given["z"][None], given["y"][None])
    real = {"images": golden.to_unit(given["x"])[None], "class_ids": given["dy"][None]}
    loss, parts = {
        "discriminator": (both._discriminator_loss, (draws, real)),
        "generator": (both._generator_loss, (draws,)),
    }[side]
    start = variables()
    _, gradients, metrics = jax.jit(lambda v, s: both._step(v, s, (side,), loss, parts))(
        start, both.init_optimizers(start)
    )
    return gradients[side][side]["params"], metrics


def check_gradients(found, expected: dict[str, np.ndarray]) -> None:
    """Float64: 1e-6 of a tensor's largest gradient; where that should be 0, 2e-6."""
    flat = golden.flat(found)
    assert expected
    for name, value in expected.items():
        gradient = np.asarray(flat[golden.our_name(name)[1]])
        value = golden.our_value(name, value)
        largest = np.abs(value).max()
        allowed = 2e-6 if largest < 1e-9 else max(1e-6 * largest, 1e-9)
        assert np.abs(gradient - value).max() <= allowed, name


@golden.needed
def test_discriminator_step(float64):
    gradients, metrics = one_step("discriminator")
    for name in ("loss_real", "loss_fake"):
        found = metrics[f"discriminator_{name.removeprefix('loss_')}"]
        np.testing.assert_allclose(found, golden.load(FILE, f"Dstep/{name}"), rtol=1e-6)
    check_gradients(gradients, golden.group(FILE, "Dstep/grad/"))
    check_norms(gradients, golden.group(FILE, "Dstep/gradnorm/"))


@golden.needed
def test_generator_step(float64):
    gradients, metrics = one_step("generator")
    np.testing.assert_allclose(metrics["loss"], golden.load(FILE, "Gstep/loss"), rtol=1e-6)
    check_gradients(gradients, golden.group(FILE, "Gstep/grad/"))
    check_norms(gradients, golden.group(FILE, "Gstep/gradnorm/"))


def check_norms(gradients, expected: dict[str, np.ndarray]) -> None:
    flat = golden.flat(gradients)
    for name, norm in expected.items():
        found = np.linalg.norm(np.ravel(flat[golden.our_name(name)[1]]))
        np.testing.assert_allclose(found, norm, rtol=1e-6, atol=2e-6, err_msg=name)


@golden.needed
def test_orthogonal_regularisation(float64):
    params = variables()["generator"]["params"]
    added = golden.flat(orthogonal_gradient(params, 1e-4))
    expected = golden.group(FILE, "Gstep/ortho_added/")
    assert len(expected) >= 4
    for name, value in expected.items():
        # Stored as the difference of two gradients in float64, rounded: 3e-3 as in the manifest.
        value = golden.our_value(name, value)
        np.testing.assert_allclose(
            added[golden.our_name(name)[1]], value, atol=3e-3 * np.abs(value).max(), err_msg=name
        )


@golden.needed
def test_updates_of_the_reference(float64):
    facts = golden.facts(FILE)["train"]
    both = adversaries(accumulations=facts["num_D_accumulations"])
    steps = golden.float64(golden.group(FILE, "steps/in/"))
    state = variables()
    opt_state, average = both.init_optimizers(state), state["generator"]
    update = jax.jit(both.update)
    for number in range(facts["iterations"]):
        rows = slice(number * both.num_parts, (number + 1) * both.num_parts)
        state, opt_state, metrics = update(
            state,
            opt_state,
            golden.to_unit(steps["x"][number]),
            steps["dy"][number],
            Draws(steps["z"][rows], steps["y"][rows]),
        )
        decay = 0.0 if number + 1 < facts["ema_start"] else facts["ema_decay"]
        average = moving_average(average, state["generator"], decay)
        for name, ours in METRICS.items():
            # The reference logs the generator's loss divided by its accumulations.
            share = facts["num_G_accumulations"] if name == "G_loss" else 1
            expected = golden.load(FILE, f"steps/metrics/it{number + 1}/{name}")
            np.testing.assert_allclose(metrics[ours] / share, expected, rtol=1e-6, atol=1e-6)
    golden.check_variables(state["generator"], golden.group(FILE, "steps/after/G/"))
    golden.check_variables(state["discriminator"], golden.group(FILE, "steps/after/D/"))
    golden.check_variables(average, golden.group(FILE, "steps/after/G_ema/"))


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


def toy_update(both: Adversaries, z, real):
    state = {
        "generator": {"params": {"w": jnp.array(0.5)}, "calls": {"n": jnp.array(0.0)}},
        "discriminator": {"params": {"w": jnp.array(0.25)}},
    }
    draws = Draws(jnp.asarray(z), jnp.zeros(jnp.shape(z)[:2], jnp.int32))
    real = jnp.asarray(real)
    state, _, _ = both.update(
        state, both.init_optimizers(state), real, jnp.zeros(len(real), jnp.int32), draws
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
