"""Methods that change layers or the class, on both of TiTok's generators, stacked or not."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.methods.updates import predicted, two_updates
from tests.random_params import random_params
from vpt_gen.decode.generate import generate
from vpt_gen.methods import METHODS, adaptation
from vpt_gen.methods.record import Target
from vpt_gen.nets.stack import stack_layers
from vpt_gen.nets.titok_maskgit import TiTokMaskGIT
from vpt_gen.nets.vqgan import VQGAN
from vpt_gen.training.objectives import Objective

pytestmark = pytest.mark.slow
C = 3
NAMES = ("class_mixture", "difffit", "class_deep_prompts")
BERT = TiTokMaskGIT(7, 2, 4, 1, 8, 2, 16)
UVIT = BERT.clone(long_skips=True, num_layers=3)


@pytest.mark.parametrize(
    ("net", "is_stacked"), [(BERT, False), (UVIT, True)], ids=["bert", "stacked_uvit"]
)
@pytest.mark.parametrize("name", NAMES)
def test_it_learns_and_draws_the_likeliest_tokens(name, net, is_stacked):
    params = random_params(net, 4)
    if is_stacked:
        params = stack_layers(params, net.layer_prefix)
    method = METHODS[name]().adapt(Target(net, 4, C))
    task = adaptation.make_task(
        method,
        net,
        Objective(net, 0.0, "cosine"),
        VQGAN(),
        {"transformer": params, "tokenizer": {}},
        optax.adam(1e-2),
        num_tokens=4,
        decode_options={},
    )
    batch = {"tokens": np.arange(24).reshape(6, 4) % 7, "label": np.arange(6) % C}
    state, losses, _ = two_updates(task, batch)
    assert losses[1] < losses[0]

    @jax.jit
    def run(params, trained):
        adapted, told = method.params(params, trained), method.conditions(trained, jnp.arange(C))
        keys = jax.random.split(jax.random.key(1), C)
        # So far beyond the source that no noise matters.
        options = {"num_iterations": 1, "guidance": 1e7, "domain_guidance": True, "source": params}
        drawn = generate(net, adapted, keys, 4, **told, **options)[0]
        unknown = np.full((C, 4), -1)
        beyond = predicted(net, adapted, unknown, told) - net.apply({"params": params}, unknown)
        return drawn, beyond

    drawn, beyond = run(params, state.params)
    np.testing.assert_array_equal(drawn, beyond.argmax(-1))
