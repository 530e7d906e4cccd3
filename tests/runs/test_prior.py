"""What the source draws for prior preservation: the same for all runs, and for a resumed one."""

import types

import chex
import jax
import numpy as np
import pytest

from tests import made
from tests.programs import train
from tests.runs.test_methods import train_with_a_break
from vpt_gen.checkpoints.backbone import PretrainedNet
from vpt_gen.checkpoints.store import Store
from vpt_gen.config.fields import default_config
from vpt_gen.data.batches import open_sources
from vpt_gen.data.tokens.cache import open_cache
from vpt_gen.errors import UserError
from vpt_gen.machine import sharding
from vpt_gen.methods.prior import LABELS, TOKENS
from vpt_gen.nets.gpt import GPT
from vpt_gen.runs import prior, transformers


def test_classes_are_spread_evenly():
    assert prior.even_labels(6, 3).tolist() == [0, 0, 1, 1, 2, 2]
    assert prior.even_labels(3, 9).tolist() == [0, 3, 6]
    assert np.bincount(prior.even_labels(1000, 7)).tolist() == [143, 143, 143, 143, 143, 143, 142]


def test_classes_of_a_source_that_tells_them():
    sizes = {"num_layers": 1, "hidden_size": 16, "num_heads": 2, "intermediate_size": 32}
    for about, null_class, expected in (({}, 5, 5), ({"class_names": list("abc")}, -1, 3)):
        source = PretrainedNet(GPT(8, 4, null_class=null_class, **sizes), {}, "", about)
        assert prior.unchanged(source).num_classes == expected
    with pytest.raises(UserError, match="does not record any class of its own: set it to 0"):
        prior.unchanged(PretrainedNet(GPT(8, 4, **sizes), {}, "", {}))
    with pytest.raises(UserError, match="numbers below 65536: set it to 0"):
        net = types.SimpleNamespace(known_classes=2, codebook_size=2**17)
        prior.unchanged(PretrainedNet(net, {}, "", {}))


@pytest.fixture(scope="module")
def make_config(tiny_nets, tmp_path_factory):
    folder = tmp_path_factory.mktemp("prior")
    data = made.write_folder(folder / "shapes", side=32)

    def make(method="finetune", cache="tokens"):
        config = made.shared(default_config(method), data)
        config.eval_every = 0
        config.data.image_size = 32
        config.data.cache_dir = str(folder / cache)
        config.backbone.tokenizer = str(tiny_nets / "vqgan")
        config.backbone.transformer = str(tiny_nets / "nar")
        config.decode.batch_size = 4
        config.decode.num_iterations = 2
        config.prior.weight = 1.0
        config.prior.num_samples = 10
        return config

    return make


def first_batches(config, workdir):
    """The start of a run's training batches."""
    mesh = sharding.make_mesh(jax.devices()[:1])
    nets = transformers.load_nets(config, mesh)
    batches, _ = transformers.make_batches(config, str(workdir), mesh, *open_sources(config), nets)
    stream = batches(0)
    return [next(stream) for _ in range(3)]


def drawn(config, workdir):
    """Labels and tokens that the source drew, in order."""
    first_batches(config, workdir)
    found = [open_cache(path.parent) for path in workdir.rglob("manifest.json")]
    (cache,) = (cache for cache in found if len(cache) == config.prior.num_samples)
    return cache.labels, cache.gather(np.zeros(10, int), np.arange(10))


@pytest.mark.slow
def test_the_same_seed_draws_the_same(make_config, tmp_path, monkeypatch):
    config = make_config()
    config.data.cache_dir = ""
    labels, tokens = drawn(config, tmp_path / "one")
    assert labels.tolist() == [0, 0, 0, 1, 1, 2, 2, 2, 3, 3]
    monkeypatch.setattr(prior, "_SHARD", 4)
    chex.assert_trees_all_equal(drawn(config, tmp_path / "two"), (labels, tokens))
    (second,) = (tmp_path / "two").rglob("shard-00001-of-00003.tfrecord")
    second.unlink()
    (second.parent / "manifest.json").unlink()
    chex.assert_trees_all_equal(drawn(config, tmp_path / "two"), (labels, tokens))
    config.prior.seed = 1
    other = drawn(config, tmp_path / "three")
    assert other[0].tolist() == labels.tolist()
    assert (other[1] != tokens).any()


@pytest.mark.slow
def test_batches_have_as_many_images_of_the_source(make_config, tmp_path):
    config = make_config()
    with_prior = first_batches(config, tmp_path)
    config.prior.weight = 0.0
    for batch, alone in zip(with_prior, first_batches(config, tmp_path), strict=True):
        assert batch.keys() - alone.keys() == {TOKENS, LABELS}
        assert batch[TOKENS].shape == (8, 64)
        assert set(batch[LABELS].tolist()) <= {0, 1, 2, 3}
        chex.assert_trees_all_equal({name: batch[name] for name in alone}, alone)


@pytest.mark.slow
def test_a_resumed_run_ends_with_the_same_parameters(make_config, tmp_path):
    config = make_config()
    train(config, tmp_path / "whole")
    train_with_a_break(make_config(cache="other"), tmp_path / "parts")
    whole, parts = (
        Store(tmp_path / name, read_only=True).restore_params() for name in ("whole", "parts")
    )
    chex.assert_trees_all_equal(whole, parts)
