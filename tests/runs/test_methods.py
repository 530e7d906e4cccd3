"""Runs of every method on tiny nets: they resume, and can be sampled, measured and looked at."""

import json

import chex
import numpy as np
import pytest

from tests import made
from tests.programs import call, opened, train
from tests.report.pages import read
from vpt_gen import sample
from vpt_gen.checkpoints.store import Store
from vpt_gen.checkpoints.tuned_file import serialized
from vpt_gen.config.fields import default_config
from vpt_gen.errors import UserError
from vpt_gen.export import __main__ as export
from vpt_gen.report.document import make_page
from vpt_gen.runs.generation import plain_generation

pytestmark = pytest.mark.slow

# Whose runs the other tests need; tests/test_new_transformer.py opens a run of every method.
OPENED = ("class_embedding", "lora", "adapters", "finetune")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return made.write_folder(tmp_path_factory.mktemp("data") / "shapes", side=32)


@pytest.fixture(scope="module")
def make_config(data, tiny_nets, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")

    def make(method, family="nar"):
        config = made.shared(default_config(method, family), data)
        config.eval_every = 0
        config.data.image_size = 32
        config.data.cache_dir = str(cache)
        config.backbone.tokenizer = str(tiny_nets / "vqgan")
        config.backbone.transformer = str(tiny_nets / family)
        config.decode.batch_size = 4
        if family == "nar":
            config.decode.num_iterations = 2
        return config

    return make


@pytest.mark.parametrize("method", OPENED)
def test_a_run_is_opened_by_its_workdir_alone(method, trained):
    run = opened(trained(method))
    images = plain_generation(run, np.array([0, 1, 1]), seed=0).samples().images
    chex.assert_shape(images, (3, 32, 32, 3))
    assert "class_embeddings" in run.params


def test_layers_may_be_scanned_when_a_run_is_opened_and_were_not_in_training(trained, monkeypatch):
    once = plain_generation(opened(trained("lora")), np.array([0, 1]), 0).samples()
    monkeypatch.setattr("vpt_gen.training.compute.scans_layers", lambda compute: True)
    run = opened(trained("lora"))
    assert "layers" in run.params
    again = plain_generation(run, np.array([0, 1]), 0).samples()
    np.testing.assert_array_equal(once.tokens, again.tokens)


def test_a_fine_tuned_run_keeps_its_source_for_domain_guidance_alone(trained):
    decode = ["guidance=3.0", "domain_guidance=True"]
    for changes, is_kept in ((decode[:1], False), (decode, True)):
        run = opened(trained("finetune"), decode=changes)
        assert bool(run.token_sampler.frozen["transformer"]) == is_kept
    images = plain_generation(run, np.array([0, 1]), seed=0).samples().images
    chex.assert_shape(images, (2, 32, 32, 3))


def test_figures_and_page_of_a_run_without_prompts(make_config, tmp_path):
    config = make_config("lora", "ar")
    config.evaluation.num_samples = 4
    train(config, tmp_path)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    # Two classes of width 32; rank 4 beside queries and values of the one layer.
    assert metrics["trained_parameters"] == 2 * 32 + 2 * 4 * (32 + 32)
    assert metrics["optimizer_bytes"] == 8 * metrics["trained_parameters"] + 2 * 4
    assert metrics["protocol"]["generated"]["method"] == "lora"
    run = opened(tmp_path)
    reader = read(make_page(run, num=2, seed=0, compared={}))
    sections = [a["id"] for tag, a in reader.elements if tag == "section"]
    assert sections == ["samples", "figures", "curves", "decoding", "run"]
    assert "LoRA of rank 4 and a class token for each class" in "".join(reader.text)
    with pytest.raises(UserError, match="need prompts, but .* is a run of lora: leave them out"):
        call(sample, f"--checkpoint={tmp_path}", "--marquee=scroll", "--headers=0")


def train_with_a_break(config, workdir):
    """Trains, and is interrupted by its first checkpoint."""
    save = Store.save

    def save_and_stop(self, *arguments):
        save(self, *arguments)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "save", save_and_stop)
        with pytest.raises(KeyboardInterrupt):
            train(config, workdir)
    assert Store(workdir).latest_step() == 1
    train(config, workdir)


def test_an_average_is_drawn_from_exported_and_resumed(make_config, trained, tmp_path):
    config = make_config("class_embedding")
    config.ema = 0.5
    config.evaluation.num_samples = 4
    train_with_a_break(config, tmp_path)
    params = Store(tmp_path, read_only=True).restore_params()
    # Training is as without the average.
    unaveraged = Store(trained("class_embedding"), read_only=True).restore_params()
    chex.assert_trees_all_close(params["trained"], unaveraged, rtol=1e-5, atol=1e-6)
    assert json.loads((tmp_path / "metrics.json").read_text())["trained_parameters"] == 2 * 32
    run = opened(tmp_path)
    chex.assert_trees_all_equal(run.params, params["average"])
    average, last = (x["class_embeddings"]["embedding"] for x in (run.params, params["trained"]))
    assert np.abs(average - last).max() > 1e-5
    file = tmp_path / "average.safetensors"
    file.write_bytes(serialized([export._shared(run)]))
    nets = {name: config.backbone[name] for name in ("tokenizer", "transformer")}
    chex.assert_trees_all_equal(opened(file, **nets).params, params["average"])


def test_an_interrupted_run_ends_with_the_same_parameters(make_config, trained, tmp_path):
    train_with_a_break(make_config("adapters"), tmp_path / "parts")
    whole, parts = (
        Store(folder, read_only=True).restore_params()
        for folder in (trained("adapters"), tmp_path / "parts")
    )
    chex.assert_trees_all_equal(whole, parts)
    with pytest.raises(UserError, match="task was 'adapters', is 'norm_bias'"):
        train(make_config("norm_bias"), trained("adapters"))
