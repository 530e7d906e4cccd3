"""Guidance trained into conditions: the loss is that of what would have to be guided."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import made
from vpt_gen.config import default_config
from vpt_gen.config.check import check_config, check_decoding
from vpt_gen.decode.iterative import Guided
from vpt_gen.errors import UserError
from vpt_gen.nets.gpt import GPT
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.nets.transformer import MASK_TOKEN_ID, NO_CLASS
from vpt_gen.training.objectives import Examples, Objective, without_guidance

SIZES = {"num_layers": 1, "hidden_size": 16, "num_heads": 2, "intermediate_size": 32}
NETS = {
    "nar": MaskGIT(8, 3, 4, **SIZES),
    "ar": GPT(8, 4, **SIZES),
    "ar with class dropout": GPT(8, 4, null_class=7, **SIZES),
}
TOKENS = jnp.array([[1, 5, 2, 7], [0, 3, 3, 6]])
CLASSES = jnp.array([0, 2])


def large(net):
    """Parameters that make logits differ."""
    return made.sharpened(made.new_params(net, TOKENS, class_ids=CLASSES))


@pytest.mark.slow
def test_it_is_the_inverse_of_guidance():
    net = NETS["nar"]
    params, tokens = large(net), TOKENS.at[:, 1:3].set(MASK_TOKEN_ID)
    ids = net.ids(tokens, CLASSES)
    guided = Guided(net, params)(ids, {}, 1.5)[:, 1:]
    conditional, unconditional = (
        net.apply({"params": params}, tokens, class_ids=x) for x in (CLASSES, jnp.full(2, NO_CLASS))
    )
    assert np.abs(guided - conditional).max() > 0.1
    np.testing.assert_allclose(
        without_guidance(guided, unconditional, 1.5), conditional, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("kind", [name for name in NETS if name != "nar"])
def test_no_class_is_the_prefix_that_guidance_leads_away_from(kind):
    net, params = NETS[kind], {"params": large(NETS[kind])}
    prefix, _ = net.apply(params, method="unconditional_prefix")
    no_class, _ = net.apply(params, class_ids=jnp.array([NO_CLASS]), method="prefix")
    np.testing.assert_array_equal(prefix, no_class)


@pytest.mark.slow
@pytest.mark.parametrize("kind", NETS)
def test_the_loss_leads_the_prompts_alone(kind):
    """Without a scale it is the loss of the logits; with one, that of what would be guided."""
    net = NETS[kind]
    params = large(net)
    prompts = jax.random.normal(jax.random.key(1), (2, 3, 16))
    examples = Examples(TOKENS, TOKENS, jnp.ones(TOKENS.shape))

    @jax.jit
    @jax.value_and_grad
    def distilled(source, prompts):
        objective = Objective(net, 0.0, distilled_guidance=2.0)
        return objective.losses(params, examples, source=source, prompts=prompts).mean()

    value, of_source = distilled(params, prompts)
    logits = net.apply({"params": params}, TOKENS, prompts=prompts)
    nothing = net.apply({"params": params}, TOKENS, class_ids=jnp.full(2, NO_CLASS))
    chosen = jax.nn.log_softmax((logits + 2.0 * nothing) / 3.0)
    expected = -np.take_along_axis(np.asarray(chosen), np.asarray(TOKENS)[..., None], axis=-1)
    np.testing.assert_allclose(value, expected.mean(), rtol=1e-5)
    assert all((x == 0).all() for x in jax.tree.leaves(of_source))


def adapting(method, **fields):
    config = default_config(method)
    config.data.path = "images"
    config.distilled_guidance = 1.0
    config.decode.update(fields)
    return config


def test_what_cannot_be_distilled():
    check_config(adapting("prompts", guidance=0.0))
    with pytest.raises(UserError, match=r"decode\.guidance is 1\.0; it must be 0"):
        check_config(adapting("prompts", guidance=1.0))
    with pytest.raises(UserError, match="distilled_guidance is 1.0; it must be 0 with"):
        check_config(adapting("finetune", guidance=0.0))
    with pytest.raises(UserError, match="0 with config.distilled_guidance, as these conditions"):
        check_decoding(adapting("prompts", guidance=1.0))
    check_decoding(adapting("prompts", guidance=0.0))
