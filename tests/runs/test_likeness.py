"""The source classes that a prompt acts like."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.export.test_export import make_run
from tests.programs import opened
from vpt_gen.checkpoints.backbone import load_net, save_net
from vpt_gen.runs.likeness import likenesses

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["nar", "ar"])
def run(request, tiny_nets, tmp_path_factory):
    """Its transformer predicts differently for each condition."""
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "vqgan").symlink_to(tiny_nets / "vqgan")
    loaded = load_net(str(tiny_nets / request.param), "maskgit", "gpt")
    params = jax.tree.map(lambda x: 20.0 * x if x.ndim > 1 else x, loaded.params)
    save_net(str(folder / request.param), loaded.net, params, {})
    return opened(make_run(folder / "run", folder, family=request.param))


def with_prompts(run, prompts):
    """The run, whose class c has the prompt prompts[c] (S, D)."""

    def conditions(trained, class_ids, instance_ids=None, dropout_key=None):
        return {"prompts": jnp.asarray(prompts)[class_ids]}

    method = dataclasses.replace(run.sampler.method, conditions=conditions)
    return dataclasses.replace(run, sampler=dataclasses.replace(run.sampler, method=method))


def class_tokens(run):
    """The source's class tokens (4, 1, D), as they enter the first layer."""
    net, variables = run.sampler.transformer, {"params": run.sampler.frozen["transformer"]}
    classes = jnp.arange(4)
    if net.family == "ar":
        return net.apply(variables, None, classes, method="prefix")[0][:, -1:]
    ids = net.unknown_ids(4, run.sampler.num_tokens, classes)
    return net.apply(variables, ids, None, method="sequence")[:, :1]


def test_a_prompt_that_is_a_class_token_acts_like_that_class(run):
    found = likenesses(with_prompts(run, class_tokens(run)), np.array([2, 0, 3]), 4, seed=1)
    assert [alike[0][0] for alike in found] == [2, 0, 3]
    for alike in found:
        divergences = [divergence for _, divergence in alike]
        np.testing.assert_allclose(divergences[0], 0, atol=1e-4)
        assert divergences == sorted(divergences) and divergences[1] > 1e-4
        assert sorted(number for number, _ in alike) == list(range(len(alike)))
