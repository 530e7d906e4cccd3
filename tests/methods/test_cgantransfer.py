"""cGANTransfer's gradients and both of its stages against reference numbers."""

import functools

import jax
import numpy as np
import pytest
from flax import traverse_util

from tests import golden_gan as golden
from vpt_gen.methods import cgantransfer
from vpt_gen.methods.cgantransfer import (
    DISCRIMINATOR,
    GENERATOR,
    RESIDUALS,
    SCORES,
)
from vpt_gen.nets.biggan import BigGAN

FILE = "cgantransfer.npz"
STAGES = {"BN": (SCORES, RESIDUALS), "FT": (RESIDUALS, GENERATOR)}


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


def variables() -> dict:
    """Of the reference's files, without what no pass reads."""
    unused = golden.unused_by_transfer
    return {
        "generator": golden.float64(
            golden.variables(unused(golden.state_dict("cgantransfer_G.pth")))
        ),
        "discriminator": golden.float64(golden.variables(golden.state_dict("cgantransfer_D.pth"))),
    }


def adversaries(make=golden.adam, accumulations: int = 1):
    c, facts = golden.facts(FILE)["config"], golden.facts(FILE)
    groups = dict.fromkeys(cgantransfer.GROUPS, make(c["G_lr"], c))
    return cgantransfer.make_adversaries(
        golden.transfer_source(FILE),
        c["n_classes"],
        {**groups, DISCRIMINATOR: make(c["D_lr"], c)},
        scores_l1=facts["comb_l1_scale"],
        residuals_l2=facts["res_l2_scale"],
        accumulations=accumulations,
    )


def merged(gradients: dict, net: str) -> dict:
    """{path: gradient} of all groups."""
    flat = {}
    for part in gradients.values():
        flat |= traverse_util.flatten_dict(part[net]["params"])
    return traverse_util.unflatten_dict(flat)


@pytest.mark.slow
@golden.needed
def test_discriminator_step(float64):
    given = golden.float64(golden.group(FILE, "in/"))
    both = adversaries(golden.descent)
    gradients, metrics = golden.one_step(both, variables(), given, (DISCRIMINATOR,))
    for name in ("real", "fake"):
        expected = golden.load(FILE, f"Dstep/loss_{name}")
        np.testing.assert_allclose(metrics[f"discriminator_{name}"], expected, rtol=1e-6)
    found = merged(gradients, "discriminator")
    golden.check_gradients(found, golden.group(FILE, "Dstep/grad/"))
    golden.check_norms(found, golden.group(FILE, "Dstep/gradnorm/"))


@functools.cache
def generator_step():
    """Gradients of what trains in either stage; the stages have the same loss."""
    given = golden.float64(golden.group(FILE, "in/"))
    groups = (SCORES, RESIDUALS, GENERATOR)
    return golden.one_step(adversaries(golden.descent), variables(), given, groups)


@pytest.mark.slow
@golden.needed
@pytest.mark.parametrize("stage", STAGES)
def test_generator_step(stage, float64):
    gradients, metrics = generator_step()
    loss = golden.load(FILE, f"Gstep_{stage}/loss")
    np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-6)
    found = merged({group: gradients[group] for group in STAGES[stage]}, "generator")
    golden.check_gradients(found, golden.group(FILE, f"Gstep_{stage}/grad/"))
    golden.check_norms(found, golden.group(FILE, f"Gstep_{stage}/gradnorm/"))


@golden.needed
@pytest.mark.parametrize("stage", STAGES)
def test_what_a_stage_trains(stage):
    """Exactly what gets a gradient in the reference; it also names what nothing reads."""
    names = golden.facts(FILE)["sets"][stage]["receives_gradient"]
    expected = {golden.our_name(name)[1] for name in names}
    both = adversaries()
    parts = [both.take(variables(), group)["generator"]["params"] for group in STAGES[stage]]
    assert {path for part in parts for path in golden.flat(part)} == expected


@pytest.mark.slow
@golden.needed
def test_logits_in_the_steps(float64):
    given = golden.float64(golden.group(FILE, "in/"))
    both = adversaries()
    for stage in ("Dstep", "Gstep_BN", "Gstep_FT"):
        golden.check_logits(FILE, stage, both, variables(), given)


@golden.needed
def test_penalties(float64):
    params, penalties = variables()["generator"]["params"], jax.jit(cgantransfer.penalties)
    for scales, name in (((1.0, 0.0), "l1"), ((0.0, 1.0), "l2")):
        expected = golden.load(FILE, f"Gstep_BN/{name}_sum_of_means")
        np.testing.assert_allclose(penalties(params, *scales), expected, rtol=1e-6)


@pytest.mark.slow
@golden.needed
def test_updates_of_the_reference(float64):
    both = adversaries(accumulations=golden.facts(FILE)["train"]["num_D_accumulations"])
    state = variables()
    opt_state, update = jax.jit(both.init_optimizers)(state), jax.jit(both.update)
    for stage, groups in STAGES.items():
        training = {group: np.array(group in groups) for group in cgantransfer.GROUPS}
        state, opt_state = golden.run_steps(
            FILE, f"{stage}/", both, state, opt_state, training, update=update
        )
        for net, name in (("G", "generator"), ("D", "discriminator")):
            after = golden.group(FILE, f"steps/{stage}/after/{net}/")
            golden.check_variables(state[name], golden.unused_by_transfer(after))


def test_a_source_without_hierarchy_is_an_error():
    source = BigGAN(3, 32, 2, 2, 8, 4, (), (), hierarchical=False)
    with pytest.raises(ValueError, match="hierarchical"):
        cgantransfer.generator(source, 2)
