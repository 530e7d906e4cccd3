"""The whole way on made data: tokenizer, transformer, prompts, report, samples."""

import copy
import dataclasses
import functools
import json
import shutil
import sys

import chex
import jax
import numpy as np
import pytest
from PIL import Image

from tests import made, programs
from vpt_gen.checkpoints.backbone import load_net, save_net
from vpt_gen.checkpoints.store import Store, read_record
from vpt_gen.config import migration
from vpt_gen.config.fields import default_config
from vpt_gen.data.tokens import cache as tokens
from vpt_gen.errors import UserError
from vpt_gen.nets.gpt import GPT
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.nets.vqgan import VQGAN
from vpt_gen.packing import ship
from vpt_gen.report import about
from vpt_gen.runs.compatibility import check_num_tokens
from vpt_gen.runs.generation import plain_generation

pytestmark = pytest.mark.slow
# Runs share two devices: enough to split a batch, and quick on few cores.
train = functools.partial(programs.train, devices=2)
opened = functools.partial(programs.opened, devices=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return made.write_folder(tmp_path_factory.mktemp("data") / "shapes")


@pytest.fixture(scope="module")
def tokenizer(data, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("tokenizer")
    train(made.tokenizer_config(data), workdir)
    return workdir


@pytest.fixture(scope="module")
def transformer(data, tokenizer, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("transformer")
    train(made.transformer_config(data, tokenizer / "net"), workdir)
    return workdir


@pytest.fixture(scope="module")
def finished(data, tokenizer, transformer, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    train(made.prompts_config(data, tokenizer / "net", transformer / "net"), workdir)
    return workdir


@pytest.fixture
def workdir(finished, tmp_path):
    """A finished run of `config`, to be changed."""
    return shutil.copytree(finished, tmp_path / "run")


@pytest.fixture
def config(data, tokenizer, transformer):
    return made.prompts_config(data, tokenizer / "net", transformer / "net")


def test_pretraining_exports_its_net_and_draws(tokenizer, transformer):
    assert load_net(tokenizer / "net", "vqgan").net.codebook_size == 16
    net = load_net(transformer / "net", "maskgit")
    assert (net.net.num_classes, net.net.num_tokens) == (2, 16)
    assert net.about["class_names"] == ["bars", "discs"]
    assert (tokenizer / "pictures" / "original_and_reconstruction_0000002.png").is_file()
    assert (transformer / "pictures" / "samples_0000002.png").is_file()


def test_pretraining_at_a_constant_rate_ends_where_it_is_told(
    data, tokenizer, transformer, tmp_path
):
    config = made.transformer_config(data, tokenizer / "net")
    config.optimizer.schedule = "constant"
    config.eval_every = 0
    train(config, tmp_path / "whole")
    config.num_steps = 1
    train(config, tmp_path / "parts")
    early = load_net(tmp_path / "parts" / "net", "maskgit").digest
    config.num_steps = 2
    config.backbone.tokenizer = str(with_another_decoder(tokenizer / "net", tmp_path / "second"))
    train(config, tmp_path / "parts")
    digests = [load_net(tmp_path / name / "net", "maskgit").digest for name in ("whole", "parts")]
    assert digests[0] == digests[1] != early
    config.num_steps = 1
    with pytest.raises(UserError, match="has reached update 2, beyond config.num_steps = 1"):
        train(config, tmp_path / "parts")
    assert read_record(tmp_path / "parts")["config"]["num_steps"] == 2
    falling = made.transformer_config(data, tokenizer / "net")
    assert falling.optimizer.schedule == "cosine"
    falling.num_steps = 3
    with pytest.raises(UserError, match="config.num_steps was 2, is 3"):
        train(falling, transformer)


def with_another_decoder(path, new):
    """Writes a tokenizer as its second stage of training leaves it: its tokens stay."""
    first = load_net(path, "vqgan")
    decoder = jax.tree.map(lambda x: 2 * x, first.params["decoder"])
    save_net(new, first.net, {**first.params, "decoder": decoder}, {"tokens_of": first.digest})
    return new


@pytest.fixture(scope="module")
def ar_transformer(data, tokenizer, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("ar_transformer")
    train(made.transformer_config(data, tokenizer / "net", "ar"), workdir)
    return workdir


def test_the_autoregressive_family_goes_the_same_way(data, tokenizer, ar_transformer, tmp_path):
    assert load_net(ar_transformer / "net", "gpt").net.num_positions == 16
    config = made.prompts_config(data, tokenizer / "net", ar_transformer / "net", "ar")
    config.evaluation.num_samples = 8
    train(config, tmp_path / "run")
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["num_samples"] == 8
    config.family = "nar"
    with pytest.raises(UserError, match="Unknown config field config.decode"):
        train(config, tmp_path / "other")
    masked = made.prompts_config(data, tokenizer / "net", ar_transformer / "net")
    with pytest.raises(UserError, match="holds a GPT, which is of the family 'ar'"):
        train(masked, tmp_path / "other")


def test_prompts_of_instances(config, tmp_path):
    config.prompt.condition = "class+instance"
    config.prompt.design = "factorized"
    config.prompt.num_factors = 2
    train(config, tmp_path / "run")
    params = Store(tmp_path / "run").restore_params()
    assert params["prompt_instance_embeddings"]["embedding"].shape == (6, 32)
    facts = read_record(str(tmp_path / "run"))["facts"]
    assert facts["instance_labels"] == [0, 0, 0, 1, 1, 1] and facts["num_images"] == 12
    config.prompt.condition = "instance"
    with pytest.raises(UserError, match="none can be held out"):
        train(config, tmp_path / "other")


def test_prompt_tuning_reports_before_and_after(config, tmp_path, capsys):
    config.evaluation.num_samples = 12
    train(config, tmp_path)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["num_samples"] == 12
    assert metrics["trained_parameters"] == (2 + 3) * 16 + 2 * 16
    assert metrics["tuning_seconds"] > 0
    for name in ("untuned", "real", "reconstructed"):
        assert 0 <= metrics[f"class_agreement_{name}"] <= 1
    assert metrics["frechet_pixels"] >= 0
    assert "class agreement" in capsys.readouterr().out
    assert np.asarray(Image.open(tmp_path / "samples.png")).ndim == 3


def test_an_interrupted_run_ends_with_the_same_prompts(config, finished, tmp_path, monkeypatch):
    original = tokens.token_batches

    def interrupted(cache, **options):
        yield next(original(cache, **options))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tokens, "token_batches", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(config, tmp_path)
    train(config, tmp_path)
    whole, parts = (
        Store(folder, read_only=True).restore_params() for folder in (finished, tmp_path)
    )
    chex.assert_trees_all_equal(whole, parts)


def test_training_on_images_stores_only_the_generator(config, tmp_path):
    config.data.cache = False
    train(config, tmp_path)
    assert set(Store(tmp_path).restore_params()) == {
        "prompt_embeddings",
        "prompt_position_embeddings",
        "prompt_embeddings_ln",
    }
    assert not (tmp_path / "tokens").exists()


def test_a_workdir_of_another_config_is_refused(config, workdir):
    config.optimizer.learning_rate = 0.5
    with pytest.raises(UserError, match="optimizer.learning_rate was 0.001, is 0.5"):
        train(config, workdir)


def make_older(workdir, *fields):
    """Takes fields out of a run's record, as if the run had been started before them."""
    record = json.loads((workdir / "config.json").read_text())
    for name in fields:
        *groups, last = name.split(".")
        group = functools.reduce(dict.__getitem__, groups, record["config"])
        del group[last]
    (workdir / "config.json").write_text(json.dumps(record))


def test_pretraining_starts_from_a_net(data, tokenizer, transformer, tmp_path):
    config = made.transformer_config(data, tokenizer / "net")
    config.start_from = str(shutil.copytree(transformer / "net", tmp_path / "net"))
    config.optimizer.learning_rate = 1e-12
    config.eval_every = 0
    train(config, tmp_path / "run")
    nets = [
        load_net(folder / "net", "maskgit").params for folder in (transformer, tmp_path / "run")
    ]
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-6), *nets)
    other = copy.deepcopy(config)
    other.model.num_layers = 2
    with pytest.raises(UserError, match="has other sizes than config.model"):
        train(other, tmp_path / "other")
    shutil.rmtree(tmp_path / "net")
    train(config, tmp_path / "run")  # A run that resumes does not need the net.


@pytest.mark.parametrize("task", ["transformer", "prompts"])
def test_a_run_older_than_fields_resumes(
    task, config, data, tokenizer, transformer, workdir, tmp_path
):
    if task == "transformer":
        config = made.transformer_config(data, tokenizer / "net")
        workdir = shutil.copytree(transformer, tmp_path / "transformer")
    newest = ["ema"] if task == "transformer" else ["evaluation.judge_shots"]
    make_older(workdir, "data.negative", *newest)
    config.data.negative = True
    with pytest.raises(UserError, match="data.negative was False, is True"):
        train(config, workdir)
    config.data.negative = False
    train(config, workdir)


def test_a_run_older_than_fields_draws_and_is_described_in_those_of_today(config, workdir):
    images = plain_generation(opened(workdir), np.array([0, 1]), 0).samples().images
    make_older(workdir, "data.negative", "evaluation.judge_shots")
    run = opened(workdir)
    again = plain_generation(run, np.array([0, 1]), 0).samples().images
    np.testing.assert_array_equal(again, images)
    assert about._started_config(run) == json.loads(json.dumps(config.to_dict()))


def test_a_run_with_a_removed_field_opens_and_resumes(config, workdir, monkeypatch):
    record = json.loads((workdir / "config.json").read_text())
    record["config"]["data"]["sepia"] = False
    (workdir / "config.json").write_text(json.dumps(record))
    for use in (lambda: opened(workdir), lambda: train(config, workdir)):
        with pytest.raises(UserError, match="config.data.sepia, which .* a newer version made"):
            use()
        with monkeypatch.context() as patch:
            patch.setitem(migration.REMOVED, "data.sepia", (False,))
            use()


def test_another_backbone_is_refused(config, transformer, workdir, tmp_path):
    net = load_net(transformer / "net", "maskgit")
    params = jax.tree.map(lambda x: x + 1, net.params)
    save_net(str(tmp_path / "other"), net.net, params, net.about)
    config.backbone.transformer = str(tmp_path / "other")
    with pytest.raises(UserError, match="transformer differs from the run's: .* then, .* now"):
        train(config, workdir)


def test_impossible_sizes_are_named(config, tmp_path):
    config.batch_size = 9
    with pytest.raises(UserError, match="batch_size 9 cannot be shared by 2 devices"):
        train(config, tmp_path / "run")
    config.batch_size = 8
    config.data.image_size = 18
    with pytest.raises(UserError, match="image_size 18 does not fit the tokenizer"):
        train(config, tmp_path / "run")
    config.data.image_size = 32
    with pytest.raises(UserError, match="set it to 16"):
        train(config, tmp_path / "run")
    config.backbone.tokenizer = str(tmp_path)
    with pytest.raises(UserError, match="holds no pretrained vqgan"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("family", "fields", "sentence"),
    [
        ("nar", {"num_tokens": 16}, None),
        ("nar", {"num_tokens": 64}, "transformer takes 64: set it to 16"),
        ("ar", {"num_positions": 80, "order": ()}, None),
        ("ar", {"num_positions": 9, "order": ()}, "transformer takes at most 9: set it to 6"),
        ("ar", {"num_positions": 80, "order": (0,) * 64}, "transformer takes 64: set it to 16"),
    ],
)
def test_a_transformer_fits_the_image_size(family, fields, sentence):
    config = default_config("prompts", family)
    config.data.image_size = 8
    check = functools.partial(
        check_num_tokens,
        config,
        VQGAN(32, (1, 1), 1, 8, 4),
        {"nar": MaskGIT, "ar": GPT}[family](**fields),
        num_tokens=16,
    )
    if sentence is None:
        return check()
    with pytest.raises(UserError, match=f"gives 16 visual tokens, but the {sentence}"):
        check()


def test_a_best_metric_that_cannot_be_measured_is_named(config, tmp_path):
    config.best_metric = "accuracy"
    with pytest.raises(UserError, match="best_metric is 'accuracy'; .* measures loss"):
        train(config, tmp_path / "run")
    config.evaluation.num_samples = 2
    config.evaluation.every = 1
    with pytest.raises(UserError, match="measures loss, frechet, kid, .*, intra_class_lpips"):
        train(config, tmp_path / "run")
    config.best_metric = "intra_class_lpips"
    with pytest.raises(UserError, match="neither where it is lowest nor where it is highest"):
        train(config, tmp_path / "run")
    config.best_metric, config.data.holdout = "frechet", 0.0
    with pytest.raises(UserError, match="'frechet' would choose the best copies of the images tr"):
        train(config, tmp_path / "run")
    config.evaluation.every = 0
    config.best_metric = "loss"
    with pytest.raises(UserError, match="best_metric needs held-out examples"):
        train(config, tmp_path / "run")
    config.eval_every = 0
    with pytest.raises(UserError, match="best_metric is 'loss'; it must be ''"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_shipped_nets_are_small_and_show_how_they_were_made(tokenizer, tmp_path):
    ship.ship("tokenizer", str(tokenizer), {"archives": "made"}, tmp_path)
    whole = load_net(tokenizer / "net", "vqgan")
    shipped = load_net(tmp_path / "tokenizer", "vqgan")
    chex.assert_trees_all_close(shipped.params, whole.params, rtol=1e-3, atol=1e-6)
    assert shipped.digest != whole.digest
    assert shipped.about["data_record"] == {"archives": "made"}
    assert shipped.about["figures"]["train/loss"] > 0
    ship.draw_reconstructions(shipped, tmp_path / "pairs.png", count=4)
    for name in ("tokenizer_curves.png", "pairs.png"):
        assert np.asarray(Image.open(tmp_path / name)).std() > 0


def test_adversarial_training_runs(data, tmp_path):
    config = made.tokenizer_config(data, adversarial_weight=0.1)
    config.eval_every = 0
    train(config, tmp_path)
    assert (tmp_path / "net" / "net.json").is_file()


def test_without_held_out_images_no_reconstructions_are_shipped(tokenizer, tmp_path, capsys):
    net = load_net(tokenizer / "net", "vqgan")
    config = copy.deepcopy(net.about["config"])
    config["data"] |= {"holdout": 0.0, "eval_split": ""}
    net = dataclasses.replace(net, about={**net.about, "config": config})
    ship.draw_reconstructions(net, tmp_path / "pairs.png")
    assert not (tmp_path / "pairs.png").exists()
    assert "pairs.png: the tokenizer's run held no images out" in capsys.readouterr().out


def test_shipping_without_matplotlib_is_refused_before_anything_is_written(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UserError, match="Curves need matplotlib"):
        ship.main()
