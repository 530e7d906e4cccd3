"""Split folders and classes that are named like splits."""

import pytest

from tests.data.folders.test_opening import draw
from vpt_gen.config.check import check_config
from vpt_gen.config.fields import default_config
from vpt_gen.data.batches import open_sources
from vpt_gen.data.folders.splits import split_folder
from vpt_gen.errors import UserError


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("VPT_GEN_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def config(tmp_path):
    config = default_config("prompts")
    config.data.path = str(tmp_path)
    config.data.holdout = 0.0
    return config


def draw_all(root, *files):
    for value, file in enumerate(files):
        draw(root / file, value, size=(2, 2))


@pytest.mark.parametrize(
    "inside",
    ["@eaDir/1.png/thumb.png", "#recycle/2.png", ".hidden/3.png", "empty/", "notes/readme.txt"],
)
def test_leftovers_and_empty_folders_make_no_split(config, tmp_path, inside):
    draw_all(tmp_path, "bus/1.png", "car/1.png", "train/1.png")
    extra = tmp_path / "train" / inside
    if inside.endswith("/"):
        extra.mkdir()
    elif extra.suffix == ".png":
        draw(extra, 0)
    else:
        extra.parent.mkdir()
        extra.touch()
    assert open_sources(config)[0].class_names == ("bus", "car", "train")


def test_a_class_with_folders_next_to_others_may_be_a_split(config, tmp_path):
    draw_all(tmp_path, "bus/1.png", "car/1.png", "train/steam/1.png", "train/electric/1.png")
    with pytest.raises(UserError, match="may be a split, or a class like bus, car next") as error:
        open_sources(config)
    assert "config.data.train_split='' to read all of them as classes" in str(error.value)
    assert f"config.data.path={tmp_path / 'train'} to read" in str(error.value)
    config.data.train_split = ""
    check_config(config)
    assert open_sources(config)[0].class_names == ("bus", "car", "train")
    config.data.train_split, config.data.path = "train", str(tmp_path / "train")
    assert open_sources(config)[0].class_names == ("electric", "steam")


def test_a_class_of_images_and_folders_is_no_split(config, tmp_path):
    draw_all(tmp_path, "bus/1.png", "train/1.png", "train/at night/2.png")
    source, _ = open_sources(config)
    assert (source.class_names, source.labels.tolist()) == (("bus", "train"), [0, 1, 1])


@pytest.mark.parametrize(("inside", "listed"), [("", True), ("", False), ("/cats", False)])
def test_a_split_that_cannot_be_listed_is_not_missing(tmp_path, forbid, inside, listed):
    draw_all(tmp_path, "train/cats/1.png", "val/cats/1.png")
    forbid(f"{tmp_path}/train{inside}", listed)
    message = f"^{tmp_path}/train{inside}/? cannot be listed: Permission denied; .*chmod"
    with pytest.raises(UserError, match=message):
        split_folder(str(tmp_path), "train", "val")


@pytest.mark.parametrize("split", ["train", "test"])
def test_arms_of_a_study(tmp_path, split):
    draw_all(tmp_path, "control/p1/1.png", "test/p1/2.png")
    if split == "train":
        assert split_folder(str(tmp_path), split) == ""
    else:
        with pytest.raises(UserError, match="may be a split, or a class like control next to it"):
            split_folder(str(tmp_path), split)


def test_what_is_next_to_splits_and_not_read_is_told(config, tmp_path, capsys):
    for split in ("train", "val", "test"):
        draw_all(tmp_path / split, "cats/1.png", "dogs/1.png")
    draw_all(tmp_path, "Meta/1.png", ".trash/1.png", "#recycle/1.png")
    config.data.eval_split = "val"
    train, held_out = open_sources(config)
    assert train.class_names == held_out.class_names == ("cats", "dogs")
    assert f"Not read in {tmp_path}: Meta, test, because" in capsys.readouterr().out


def test_upper_case_splits_are_not_taken_for_classes(config, tmp_path, capsys):
    draw_all(tmp_path, "Train/0/1.png", "Train/1/1.png", "Test/1.png", "Meta/1.png")
    assert open_sources(config)[0].class_names == ("Meta", "Test", "Train")
    assert "The classes Test, Train are named like splits" in capsys.readouterr().out
    (tmp_path / "Meta" / "1.png").unlink()
    with pytest.raises(UserError, match="folders for the splits Train, but none for 'train'"):
        open_sources(config)
    config.data.train_split = "Train"
    assert open_sources(config)[0].class_names == ("0", "1")


def test_splits_of_other_names_are_those_of_the_config(config, tmp_path):
    for year in ("2019", "2020", "2021"):
        draw_all(tmp_path / year, "cats/1.png", "dogs/1.png")
    assert open_sources(config)[0].class_names == ("2019", "2020", "2021")
    config.data.train_split, config.data.eval_split = "2019", "2020"
    train, held_out = open_sources(config)
    assert train.class_names == held_out.class_names == ("cats", "dogs")


def test_a_split_is_needed_where_there_are_no_class_folders(config):
    config.data.kind, config.data.path, config.data.train_split = "tfds", "", ""
    with pytest.raises(UserError, match="train_split is ''; it must be the name of a split"):
        check_config(config)
