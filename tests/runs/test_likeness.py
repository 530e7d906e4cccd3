"""The source classes that a prompt acts like."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import made
from tests.export.test_export import make_run
from tests.programs import opened
from vpt_gen.checkpoints.backbone import load_net, save_net
from vpt_gen.nets.halton_maskgit import HaltonMaskGIT
from vpt_gen.runs.likeness import images_for, likenesses

pytestmark = pytest.mark.slow


def halton(net):
    """A Halton-MaskGIT of a MaskGIT's tokens; before training, nothing would modulate it."""
    sizes = {"num_layers": 2, "hidden_size": 16, "num_heads": 2, "intermediate_size": 16}
    modulated = HaltonMaskGIT(net.codebook_size, 4, net.num_tokens, **sizes)
    shapes = jax.eval_shape(modulated.init, jax.random.key(0), jnp.zeros((1, net.num_tokens), int))
    draw = np.random.default_rng(0).normal
    return modulated, jax.tree.map(lambda x: np.float32(draw(0, 0.4, x.shape)), shapes["params"])


@pytest.fixture(scope="module", params=["nar", "ar", "vector"])
def run(request, tiny_nets, tmp_path_factory):
    """Its transformer predicts differently for each condition."""
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "vqgan").symlink_to(tiny_nets / "vqgan")
    family = "ar" if request.param == "ar" else "nar"
    loaded = load_net(str(tiny_nets / family), "maskgit", "gpt")
    net, params = loaded.net, made.sharpened(loaded.params)
    if request.param == "vector":
        net, params = halton(net)
    save_net(str(folder / family), net, params, {})
    options = {"prompt.vector": True} if request.param == "vector" else {}
    return opened(make_run(folder / "run", folder, family=family, **options))


def with_conditions(run, of_classes):
    """The run, whose class c has the entries c of `of_classes` as its condition."""

    def conditions(trained, class_ids, instance_ids=None, dropout_key=None):
        return {name: x[class_ids] for name, x in of_classes.items()}

    method = dataclasses.replace(run.sampler.method, conditions=conditions)
    return dataclasses.replace(run, sampler=dataclasses.replace(run.sampler, method=method))


def class_conditions(run):
    """The source's four classes as tuned conditions: their tokens or vectors in the first layer."""
    net, variables = run.sampler.transformer, {"params": run.sampler.frozen["transformer"]}
    classes = jnp.arange(4)
    if net.family == "ar":
        tokens, _ = net.apply(variables, None, classes, method="prefix")
        return {"prompts": tokens[:, -1:]}
    if net.takes_vectors:
        table = variables["params"]["label_embeddings"]["embedding"]
        return {"prompts": jnp.zeros((4, 0, net.hidden_size)), "vectors": table[:4] - table[4]}
    ids = net.unknown_ids(4, run.sampler.num_tokens, classes)
    return {"prompts": net.apply(variables, ids, None, method="sequence")[:, :1]}


def test_a_condition_that_is_a_class_acts_like_that_class(run):
    run, classes = with_conditions(run, class_conditions(run)), np.array([2, 0, 3])
    tokens = images_for(run, classes, seed=1).samples().tokens
    found = likenesses(run, classes, 4, tokens)
    assert [alike[0][0] for alike in found] == [2, 0, 3]
    for alike in found:
        divergences = [divergence for _, divergence in alike]
        np.testing.assert_allclose(divergences[0], 0, atol=1e-4)
        assert divergences == sorted(divergences) and divergences[1] > 1e-4
        assert sorted(number for number, _ in alike) == list(range(len(alike)))
