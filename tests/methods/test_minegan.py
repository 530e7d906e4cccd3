"""MineGAN's gradients and both of its stages against reference numbers."""

import functools

import jax
import numpy as np
import pytest
from flax import traverse_util

from tests import golden_gan as golden
from vpt_gen.methods import minegan
from vpt_gen.methods.minegan import (
    DISCRIMINATOR,
    GENERATOR,
    MINER,
)
from vpt_gen.nets.biggan import BigGAN

pytestmark = pytest.mark.slow

FILE = "minegan.npz"
STAGES = {"stage1": (MINER,), "stage2": (MINER, GENERATOR)}
LOSSES = {"repo": "non-saturating", "hinge": "hinge"}
NETS = {"M": MINER, "G": GENERATOR}


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


def variables() -> dict:
    """Of the reference's files; the discriminator without its table, and with the set's bias."""
    judge = dict(golden.state_dict("discriminator.pth"))
    judge["linear.bias"] = golden.load(FILE, "in/D_linear_bias")
    tensors = {
        MINER: golden.without("shared", golden.state_dict("minegan_M.pth")),
        GENERATOR: golden.state_dict("generator.pth"),
        DISCRIMINATOR: golden.without("embed", judge),
    }
    return {name: golden.float64(golden.variables(part)) for name, part in tensors.items()}


def adversaries(make=golden.adam, accumulations: int = 1, loss: str = "non-saturating"):
    c = golden.facts(FILE)["config"]
    groups = dict.fromkeys(minegan.GROUPS, make(c["G_lr"], c))
    return minegan.make_adversaries(
        golden.net(FILE),
        {**groups, DISCRIMINATOR: make(c["D_lr"], c)},
        loss=loss,
        accumulations=accumulations,
    )


def check_losses_of_the_discriminator(metrics, prefix):
    for name in ("real", "fake"):
        expected = golden.load(FILE, f"{prefix}loss_{name}")
        found = metrics[f"discriminator_{name}"]
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


def step(groups, loss):
    given = golden.float64(golden.group(FILE, "in/"))
    return golden.one_step(adversaries(golden.descent, loss=loss), variables(), given, groups)


@golden.needed
def test_discriminator_step(float64):
    gradients, metrics = step((DISCRIMINATOR,), LOSSES["repo"])
    check_losses_of_the_discriminator(metrics, "Dstep/")
    found = gradients[DISCRIMINATOR][DISCRIMINATOR]["params"]
    golden.check_gradients(found, golden.group(FILE, "Dstep/grad/"))
    golden.check_norms(found, golden.group(FILE, "Dstep/gradnorm/"))


@golden.needed
def test_discriminator_step_with_the_hinge_loss(float64):
    """The reference's gradients are of the other loss: without them, the program is small."""
    metrics = jax.jit(lambda: step((DISCRIMINATOR,), LOSSES["hinge"])[1])()
    check_losses_of_the_discriminator(metrics, "Dstep/hinge_")


@functools.cache
def miner_step(kind):
    """Gradients of what trains in either stage; the stages have the same loss."""
    return step((MINER, GENERATOR), LOSSES[kind])


@golden.needed
@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("stage", STAGES)
def test_miner_step(stage, kind, float64):
    gradients, metrics = miner_step(kind)
    prefix = f"Mstep_{stage}_{kind}"
    np.testing.assert_allclose(metrics["loss"], golden.load(FILE, f"{prefix}/loss"), rtol=1e-6)
    for side, name in NETS.items():
        if name not in STAGES[stage]:
            continue
        found = gradients[name][name]["params"]
        if expected := golden.group(FILE, f"{prefix}/grad/{side}/"):
            golden.check_gradients(found, expected)
        golden.check_norms(found, golden.group(FILE, f"{prefix}/gradnorm/{side}/"))


@golden.needed
def test_logits_in_the_steps(float64):
    given = golden.float64(golden.group(FILE, "in/"))
    both = adversaries()
    for stage in ("Dstep", "Mstep_stage1_repo"):
        golden.check_logits(FILE, stage, both, variables(), given)


@golden.needed
def test_what_a_stage_trains():
    both = adversaries()
    sets = golden.facts(FILE)["sets"]
    for stage, groups in STAGES.items():
        for side, name in NETS.items():
            wanted = {golden.our_name(n)[1] for n in sets[stage][f"{side}_gradient"]}
            part = both.take(variables(), name)[name]["params"] if name in groups else {}
            assert set(golden.flat(part)) == wanted


@golden.needed
def test_updates_of_the_reference(float64):
    both = adversaries(accumulations=golden.facts(FILE)["train"]["num_D_accumulations"])
    state = variables()
    opt_state, update = jax.jit(both.init_optimizers)(state), jax.jit(both.update)
    for stage, groups in STAGES.items():
        training = {MINER: np.array(True), GENERATOR: np.array(GENERATOR in groups)}
        state, opt_state = golden.run_steps(
            FILE, f"{stage}/", both, state, opt_state, training, update=update
        )
        after = golden.group(FILE, f"steps/{stage}/after/")
        for side, name in {**NETS, "D": DISCRIMINATOR}.items():
            part = {
                key.removeprefix(f"{side}/"): value
                for key, value in after.items()
                if key.startswith(f"{side}/")
            }
            for unused in ("embed", *(["shared"] if name == MINER else [])):
                part = golden.without(unused, part)
            golden.check_variables(state[name], part)


def test_a_source_of_tables_is_an_error():
    source = BigGAN(3, 32, 2, 2, 8, 0, (), (), hierarchical=False, shared=False)
    with pytest.raises(ValueError, match="shared embedding"):
        minegan.make_miner(source.generator)


def test_the_miner_begins_as_torch_does():
    miner = minegan.make_miner(BigGAN(3, 32, 2, 2, 64, 16, (), ()).generator)
    params = jax.jit(miner.init)(jax.random.key(0), np.zeros((1, 64)))["params"]
    bound = 1.0 / np.sqrt(64)
    for leaf in jax.tree.leaves(traverse_util.flatten_dict(params)):
        assert np.abs(leaf).max() <= bound
    assert np.abs(params["linear"]["kernel"]).max() > 0.99 * bound
    assert params["linear8"]["kernel"].shape == (64, 16)
