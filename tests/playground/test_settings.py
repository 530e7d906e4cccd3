"""What the page may ask for, and the commands that repeat it, without a page."""

import dataclasses
import shlex
import zipfile

import numpy as np
import pytest
from absl import flags
from PIL import Image

from vpt_gen.errors import UserError
from vpt_gen.playground.asked import number_of
from vpt_gen.playground.commands import edit_command, sample_command
from vpt_gen.playground.drawing import Drawn
from vpt_gen.playground.files import archive, of_editor
from vpt_gen.playground.settings import Images, Settings, Stages
from vpt_gen.playground.shelf import Shelf

GOOD = Settings((0, 2), 3, 7, (("decoder", "halton"), ("num_iterations", 8), ("guidance", 1.0)))
NAMES = ["cat", "0", 'a "b", c']
SOURCE = {"checkpoint": "runs/my run", "step": 5}


def test_what_a_page_may_ask_for_is_bounded():
    GOOD.check()
    for changes, message in [
        ({"num": 65}, "The page's num is 65; it must be a whole number from 1 to 64"),
        ({"num": 2.5}, "The page's num is 2.5"),
        ({"seed": -1}, "The page's seed is -1"),
        ({"seed": None}, "The page's seed is None"),
        ({"stages": float("nan")}, "The page's stages is nan"),
        ({"options": (("num_iterations", 65),)}, "Iterations is 65"),
        ({"options": (("guidance", 11.0),)}, "Guidance is 11.0"),
        ({"options": (("temperature", "hot"),)}, "Temperature is 'hot'"),
        ({"subjects": ()}, "Choose one or more classes"),
        ({"num": 33}, "2 classes with 33 images each are more than 64"),
    ]:
        with pytest.raises(UserError, match=message):
            dataclasses.replace(GOOD, **changes).check()


def test_numbers_of_a_browser_get_their_kind():
    assert repr([number_of(x, Images) for x in (3.0, 3, 2.5)]) == "[3, 3, 2.5]"
    assert repr([number_of(x, Stages) for x in (6, None, True, "6")]) == "[6.0, None, True, '6']"


def test_a_command_spells_what_differs_from_the_run():
    command = sample_command(SOURCE, GOOD, NAMES, True, {"num_iterations": 8})
    words = shlex.split(command)
    assert words[:4] == ["python", "-m", "vpt_gen.sample", "--set=num_iterations=8"]
    given = dict(word.split("=", 1) for word in words[4:])
    assert given.pop("--checkpoint") == "runs/my run" and given.pop("--step") == "5"
    listed = flags.ListParser().parse(given.pop("--classes"))
    assert listed == ["cat", 'a "b", c']
    assert given == {"--num": "3", "--seed": "7", "--output": "played"}


def test_a_command_opens_local_runs_and_nets_from_any_folder(tmp_path, monkeypatch):
    """A repaint is repeated in the folder of its image."""
    for name in ("run", "nets"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    source = Shelf(["run"], "nets", str(tmp_path / "nets")).source("run", 5)
    run, nets = str(tmp_path / "run"), str(tmp_path / "nets")
    assert source == {"checkpoint": run, "step": 5, "tokenizer": nets, "transformer": nets}
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Shelf(["~/run"]).source("~/run", 5) == {"checkpoint": run, "step": 5}
    address = "hf://somebody/a_run"
    shelf = Shelf([address], transformer="published_name")
    assert shelf.source(address, None) == {"checkpoint": address, "transformer": "published_name"}


def test_training_images_and_marquees_have_their_flags():
    assert "--instances=0,2" in sample_command(SOURCE, GOOD, NAMES, False, {})
    started = dataclasses.replace(GOOD, start=1, stages=2.5)
    for command in (
        sample_command(SOURCE, started, NAMES, True, {}),
        edit_command(SOURCE, started, NAMES, 0.5, True, {}),
    ):
        assert "--marquee=instance_to_class --headers=0 --cutoff=2.5" in command


def test_an_edit_names_its_mask_and_what_stays_only_if_there_are_such():
    command = edit_command(SOURCE, GOOD, NAMES, 0.0, True, {})
    assert "--image=image.png --mask=mask.png '--classes" in command
    kept = edit_command(SOURCE, GOOD, NAMES, 0.5, False, {})
    assert "--image=image.png --keep=0.5 '--classes" in kept


def layer(alpha):
    return np.dstack([np.zeros((*alpha.shape, 3), np.uint8), alpha.astype(np.uint8)])


def test_what_is_drawn_on_any_layer_is_masked_and_images_are_put_on_white():
    background = layer(np.array([[255, 0], [255, 255]]))
    layers = [layer(np.array([[255, 0], [0, 0]])), layer(np.array([[0, 0], [90, 255]]))]
    image, mask = of_editor({"background": background, "layers": layers, "composite": None})
    np.testing.assert_array_equal(image[..., 0], [[0, 255], [0, 0]])
    np.testing.assert_array_equal(mask, [[True, False], [False, True]])


@pytest.mark.parametrize("value", [None, {"background": None, "layers": [], "composite": None}])
def test_an_empty_editor_has_no_image(value):
    image, mask = of_editor(value)
    assert image is None and not mask.any()


def test_an_archive_has_the_images_and_what_repeats_them(tmp_path):
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    drawn = Drawn({"cat_0000.png": image}, None, "python -m x", {"mask.png": image[..., 0]})
    paths = [archive(drawn, str(tmp_path)) for _ in range(2)]
    assert paths[0] != paths[1]
    with zipfile.ZipFile(paths[0]) as file:
        assert file.read("command.txt") == b"python -m x\n"
        np.testing.assert_array_equal(Image.open(file.open("cat_0000.png")), image)
        np.testing.assert_array_equal(Image.open(file.open("mask.png")), image[..., 0])
