"""From `config.data` to sources: splits, classes and shots of folders as people have them."""

import dataclasses
import itertools
import pathlib

import jax
import numpy as np
import pytest
from PIL import Image

from tests.made import write_folder
from vpt_gen.checkpoints.backbone import load_net
from vpt_gen.config.fields import default_config
from vpt_gen.data.batches import open_sources, token_batches
from vpt_gen.data.folders.opening import open_folder
from vpt_gen.data.source import digest_of
from vpt_gen.errors import UserError
from vpt_gen.machine import sharding


@pytest.fixture
def config(tmp_path):
    config = default_config("prompts")
    config.data.kind = "folder"
    config.data.path = str(tmp_path)
    config.data.holdout = 0.5
    return config


def sizes(config):
    train_source, eval_source = open_sources(config)
    return len(train_source), eval_source and len(eval_source)


def test_a_folder_without_splits_holds_examples_out(config, tmp_path):
    write_folder(tmp_path, classes=("train", "plane"), count=4)
    assert sizes(config) == (4, 4)
    config.data.holdout = 0.0
    assert sizes(config) == (8, None)


@pytest.mark.parametrize("kind", ["folder", "tfds"])
def test_folders_of_splits_are_the_splits(config, tmp_path, kind):
    config.data.kind = kind
    write_folder(tmp_path / "train", count=6)
    write_folder(tmp_path / "test", count=3)
    assert sizes(config) == (6, 6)
    config.data.eval_split = "test"
    assert sizes(config) == (12, 6)
    config.data.train_split = "test"
    assert sizes(config) == (6, 6)
    config.data.train_split = "training"
    with pytest.raises(UserError, match="splits train, test, but none for 'training'"):
        open_sources(config)


def test_a_kind_of_data_that_is_not_there_is_named(config):
    config.data.kind = "zip"
    with pytest.raises(UserError, match="kind is 'zip'; it must be one of 'folder', 'vtab'"):
        open_sources(config)


def test_splits_of_other_classes_are_named(config, tmp_path):
    write_folder(tmp_path / "train", classes=("bars", "discs"))
    write_folder(tmp_path / "test", classes=("bars", "rings"))
    config.data.eval_split = "test"
    with pytest.raises(UserError, match="have different classes: discs, rings"):
        open_sources(config)
    config.data.classes = ("bars",)
    assert sizes(config) == (6, 6)


def test_splits_whose_names_look_the_same_have_the_same_classes(config, tmp_path):
    """In composed and decomposed form, which are sorted differently."""
    write_folder(tmp_path / "train", classes=("cafe\u0301", "cafz"), count=2)
    write_folder(tmp_path / "test", classes=("caf\xe9", "cafz"), count=3)
    config.data.eval_split = "test"
    train, held_out = open_sources(config)
    assert train.class_names == held_out.class_names == ("cafe\u0301", "cafz")
    plain = open_folder(str(tmp_path / "test"))
    assert plain.class_names == ("cafz", "caf\xe9")
    of_cafz = [held_out.load(i) for i in np.flatnonzero(held_out.labels == 1)]
    np.testing.assert_array_equal(
        of_cafz, [plain.load(i) for i in np.flatnonzero(plain.labels == 0)]
    )
    config.data.classes = ("cafz", "caf\xe9")
    train, held_out = open_sources(config)
    assert train.class_names == held_out.class_names == ("cafz", "caf\xe9")


def test_no_folder_is_not_the_present_one(config, tmp_path, monkeypatch):
    write_folder(tmp_path / "train")
    monkeypatch.chdir(tmp_path)
    config.data.path = ""
    with pytest.raises(UserError, match="'' does not exist"):
        open_sources(config)


def test_few_shots_of_some_classes(config, tmp_path):
    write_folder(tmp_path, classes=("bars", "discs", "rings"), count=6)
    config.data.classes = ("rings", "bars")
    config.data.shots = 2
    train_source, eval_source = open_sources(config)
    assert train_source.class_names == eval_source.class_names == ("rings", "bars")
    assert train_source.labels.tolist() == [1, 1, 0, 0]
    assert len(eval_source) == 6


def examples(config):
    """Digests of the images trained on and evaluated on."""
    return [
        {digest_of(source.load(i)) for i in range(len(source))} for source in open_sources(config)
    ]


def test_validation_is_neither_trained_on_nor_held_out(config, tmp_path):
    for number, name in enumerate(("bars", "discs")):
        (tmp_path / name).mkdir()
        for i in range(20):
            noise = np.random.default_rng([number, i]).integers(0, 256, (8, 8, 3), np.uint8)
            Image.fromarray(noise).save(tmp_path / name / f"{i}.png")
    config.data.holdout = 0.25
    config.data.validation = 0.2
    train, held_out = examples(config)
    config.data.evaluate_on = "validation"
    same_train, validation = examples(config)
    assert train == same_train
    assert [len(part) for part in (train, held_out, validation)] == [24, 10, 6]
    assert not any(a & b for a, b in itertools.combinations((train, held_out, validation), 2))
    # A run's own seed and its shots change neither.
    config.seed, config.data.shots, config.data.shots_seed = 1, 3, 1
    shots, again = examples(config)
    assert again == validation and shots < train and len(shots) == 6
    config.data.holdout_seed = 1
    assert examples(config)[1] not in (validation, held_out)


def test_an_empty_validation_part_is_named(config, tmp_path):
    write_folder(tmp_path, count=4)
    config.data.validation = 0.2
    config.data.evaluate_on = "validation"
    with pytest.raises(UserError, match="validation is 0.2, less than one image of any class"):
        open_sources(config)


@pytest.mark.slow
def test_a_tokenizer_that_the_devices_hold_is_not_read_again(config, tmp_path, tiny_nets):
    config.data.path = str(write_folder(tmp_path / "images", count=4, side=32))
    config.data.image_size, config.batch_size = 32, 4
    source, _ = open_sources(config)
    mesh = sharding.make_mesh(jax.devices()[:1])
    held = load_net(str(tiny_nets / "vqgan"), "vqgan", mesh=mesh)
    unplaced = load_net(str(tiny_nets / "vqgan"), "vqgan")
    gone = {"path": pathlib.Path("gone")}

    def first_tokens(workdir, vqgan):
        batches, _ = token_batches(config, str(tmp_path / workdir), mesh, source, None, vqgan)
        return next(batches(0))["tokens"]

    tokens = first_tokens("held", dataclasses.replace(held, **gone))
    np.testing.assert_array_equal(tokens, first_tokens("unplaced", unplaced))
    with pytest.raises(UserError, match="gone"):
        first_tokens("gone", dataclasses.replace(unplaced, **gone))
    # A tokenizer of which only the decoder differs takes the first cache.
    anew = {"digest": "of other parameters", "about": {"tokens_of": unplaced.digest}, **gone}
    np.testing.assert_array_equal(
        tokens, first_tokens("held", dataclasses.replace(unplaced, **anew))
    )
