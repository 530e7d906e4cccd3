"""Exact duplicates are counted wherever images come from, and told in one sentence."""

import numpy as np
import pytest
from PIL import Image

from vpt_gen.config.fields import default_config
from vpt_gen.data import duplicates
from vpt_gen.data.arrays import from_arrays
from vpt_gen.data.batches import open_sources
from vpt_gen.data.duplicates import Duplicates
from vpt_gen.data.folders.opening import open_folder
from vpt_gen.data.source import Source


def noise(seed):
    return np.random.default_rng(seed).integers(0, 256, (6, 5, 3), np.uint8)


def write(root, images):
    """Writes images, given as path -> seed of the pixels."""
    for name, seed in images.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(seed)).save(path)


def source(seeds, labels):
    images = np.stack([noise(seed) for seed in seeds])
    return from_arrays("made", images, np.array(labels), ("a", "b"))


@pytest.mark.parametrize(
    ("seeds", "labels", "expected"),
    [
        ([0, 1, 2], [0, 0, 1], (0, 0)),
        ([0] * 10, [0] * 10, (9, 0)),
        ([0, 0, 1], [0, 1, 1], (0, 2)),
        # Twice in one class, once in the other: one repeats, and all three are in two classes.
        ([0, 0, 0], [0, 0, 1], (1, 3)),
    ],
)
def test_repeats_within_classes_and_across_them(seeds, labels, expected):
    found = duplicates.count(source(seeds, labels), None)
    assert found == Duplicates(*expected, 0)


def test_held_out_images_that_are_trained_on():
    train, held_out = source([0, 1, 2], [0, 0, 1]), source([2, 3, 0], [1, 0, 1])
    assert duplicates.count(train, held_out) == Duplicates(1, 2, 2)
    assert duplicates.number_in(held_out, train) == 2
    assert duplicates.number_in(train, train) == 3


def test_the_pixels_decide_and_not_the_file(tmp_path):
    write(tmp_path, {"a/0.png": 0, "a/1.bmp": 0, "a/2.png": 1, "b/0.tiff": 0, "b/1.png": 2})
    opened = open_folder(str(tmp_path))
    assert duplicates.count(opened, None) == Duplicates(1, 3, 0)
    # From the folder's index, and with an image that has changed since.
    write(tmp_path, {"b/0.tiff": 3})
    assert duplicates.count(open_folder(str(tmp_path)), None) == Duplicates(1, 0, 0)
    array = from_arrays("made", noise(1)[None], np.array([0]), ("a",))
    assert duplicates.number_in(array, opened) == 1


def test_images_whose_content_is_not_known_are_not_counted():
    unknown = Source("far", ("a",), np.zeros(2, np.int32), noise, "digest")
    assert duplicates.count(unknown, None) is None
    assert duplicates.count(source([0], [0]), unknown) is None
    assert duplicates.number_in(unknown, source([0], [0])) == 0
    assert duplicates.sentence(None, "far") == ""


def test_they_are_told_in_one_sentence():
    assert duplicates.sentence(Duplicates(0, 0, 0), "my_images") == ""
    assert duplicates.sentence(Duplicates(1, 0, 0), "my_images") == (
        "Exact duplicates in my_images: 1 image repeats another image of the same class."
    )
    assert duplicates.sentence(Duplicates(9, 2, 1), "x") == (
        "Exact duplicates in x: 9 images repeat another image of the same class, 2 images are "
        "also in another class, 1 image is held out but also among the training images."
    )


@pytest.fixture
def config(tmp_path):
    config = default_config("prompts")
    config.data.path = str(tmp_path)
    config.data.holdout = 0.5
    return config


def test_opening_data_tells_of_them(config, tmp_path, capsys):
    write(tmp_path, {f"a/{i}.png": 0 for i in range(10)})
    write(tmp_path, {f"b/{i}.png": i for i in range(4)})
    open_sources(config)
    said = capsys.readouterr().out
    assert said.count("Exact duplicates") == 1
    assert "9 images repeat another image of the same class, 11 images are also in another" in said
    assert "are held out but also among the training images" in said


@pytest.mark.parametrize("kind", ["folder", "npz"])
def test_other_data_are_opened_without_a_word_of_them(config, tmp_path, capsys, kind):
    config.data.kind = kind
    write(tmp_path / "images", {f"{name}/{i}.png": 10 * i for i in range(4) for name in "a"})
    write(tmp_path / "images", {f"{name}/{i}.png": 10 * i + 1 for i in range(4) for name in "b"})
    config.data.path = str(tmp_path / "images")
    if kind == "npz":
        config.data.path = str(tmp_path / "images.npz")
        images, labels = np.stack([noise(i) for i in range(8)]), np.arange(8) % 2
        np.savez(config.data.path, images=images, labels=labels, class_names=["a", "b"])
    open_sources(config)
    assert "duplicate" not in capsys.readouterr().out


def test_a_class_too_small_for_its_held_out_share_is_named(config, tmp_path, capsys):
    write(tmp_path, {f"a/{i}.png": i for i in range(10)})
    write(tmp_path, {f"b/{i}.png": 20 + i for i in range(3)})
    config.data.holdout = 0.2
    assert len(open_sources(config)[1]) == 2
    said = capsys.readouterr().out
    assert "No held-out images of 1 of 2 classes (b): config.data.holdout = 0.2 is less" in said
    config.data.validation = 0.2
    config.data.evaluate_on = "validation"
    open_sources(config)
    assert "No validation images of 1 of 2 classes (b)" in capsys.readouterr().out
    config.data.holdout = 0.5
    config.data.evaluate_on = "holdout"
    open_sources(config)
    assert "No held-out" not in capsys.readouterr().out


def test_a_share_that_holds_nothing_out_is_said(config, tmp_path, capsys):
    write(tmp_path, {f"{name}/0.png": ord(name) for name in "ab"})
    assert open_sources(config)[1] is None
    assert "Nothing is held out, as config.data.holdout = 0.5 is less" in capsys.readouterr().out
    config.data.holdout = 0.0
    open_sources(config)
    assert "held out" not in capsys.readouterr().out
