"""Runs of a page: they open while they train, and what is drawn can be repeated to the last bit."""

import contextlib
import dataclasses
import shlex
import shutil
import zipfile

import jax
import numpy as np
import pytest

from tests import made
from tests.export.test_export import make_run
from tests.programs import call
from vpt_gen import sample
from vpt_gen.checkpoints.store import Store
from vpt_gen.edit import __main__ as edit
from vpt_gen.errors import UserError
from vpt_gen.images import grids
from vpt_gen.machine import lock
from vpt_gen.playground import asked
from vpt_gen.playground.drawing import draw
from vpt_gen.playground.files import archive
from vpt_gen.playground.painting import paint
from vpt_gen.playground.settings import Settings
from vpt_gen.playground.shelf import Shelf

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tiny_nets, tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("played") / "run", tiny_nets)


@pytest.fixture(scope="module")
def shelf(folder):
    return Shelf([str(folder)])


def settings_of(shelf, folder, **changes):
    """What the controls ask for when they are as a visitor finds them, but for some changes."""
    values = {
        "subjects": [1, 0],
        "num": 2.0,
        "seed": 5,
        "decoder": "halton",
        "num_iterations": 4,
        "temperature": 1,
        "guidance": 0,
        "start": asked.NO_CLASS,
        "stages": 3,
        **changes,
    }
    return asked.read(shelf, (str(folder), 1, *values.values()))[2]


def arguments_of(command):
    return shlex.split(command)[3:]


def extract(drawn, tmp_path):
    with zipfile.ZipFile(archive(drawn, str(tmp_path))) as file:
        file.extractall(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"decoder": "confidence", "guidance": 1.5, "temperature": 0.8},
        {"start": 0, "stages": 2.5, "subjects": [1]},
    ],
)
def test_the_command_draws_the_same_files(shelf, folder, tmp_path, monkeypatch, changes):
    monkeypatch.chdir(tmp_path)
    drawn = draw(shelf, str(folder), 1, settings_of(shelf, folder, **changes))
    extract(drawn, tmp_path)
    call(sample, *arguments_of(drawn.command), needs_config=False)
    assert len(drawn.images) == 4 if not changes.get("subjects") else 2
    for name in drawn.images:
        assert (tmp_path / name).read_bytes() == (tmp_path / "played" / name).read_bytes()
    assert len({image.tobytes() for image in drawn.images.values()}) == len(drawn.images)
    assert drawn.order.shape[2] == 3


def test_an_autoregressive_run_has_one_decoder_and_its_options(tiny_nets, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    workdir = str(make_run(tmp_path / "run", tiny_nets, family="ar"))
    shelf = Shelf([workdir])
    assert shelf.take(workdir, 1).decoders() == ["autoregressive"]
    settings = settings_of(shelf, workdir, decoder="autoregressive", temperature=0.5, num=1)
    drawn = draw(shelf, workdir, 1, settings)
    assert "--set=temperature=0.5 --ch" in drawn.command
    call(sample, *arguments_of(drawn.command), needs_config=False)
    for name, image in drawn.images.items():
        assert (tmp_path / "played" / name).read_bytes() == grids.as_png(image)


def test_a_gan_is_drawn_from_without_options_and_edits_nothing(tiny_nets, tmp_path):
    nets = tmp_path / "nets"
    shutil.copytree(tiny_nets, nets)
    made.save_gan(nets / "gan")
    workdir = str(make_run(tmp_path / "run", nets, task="cgantransfer", family="nar"))
    shelf = Shelf([workdir])
    assert shelf.take(workdir, 1).decoders() == []
    settings = settings_of(shelf, workdir, decoder=None)
    drawn = draw(shelf, workdir, 1, settings)
    assert len(drawn.images) == 4 and drawn.order is None and "--set" not in drawn.command
    image = np.zeros((32, 32, 3), np.uint8)
    with pytest.raises(UserError, match="adapts a GAN"):
        paint(shelf, workdir, 1, settings, image, image[..., 0] == 0, 0.0)


@pytest.mark.parametrize("keep", [0.0, 0.5])
def test_the_command_repaints_the_same_files(shelf, folder, tmp_path, monkeypatch, keep):
    monkeypatch.chdir(tmp_path)
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    mask = np.zeros((40, 50), bool)
    mask[10:30, 20:45] = keep == 0  # Nothing is drawn: all varies.
    settings = settings_of(shelf, folder, num=1)
    drawn = paint(shelf, str(folder), 1, settings, image, mask, keep)
    extract(drawn, tmp_path)
    call(edit, *arguments_of(drawn.command), needs_config=False)
    assert len(drawn.images) == 2
    for name, painted in drawn.images.items():
        assert (tmp_path / "played" / name).read_bytes() == grids.as_png(painted)
        np.testing.assert_array_equal(painted[~mask & (keep == 0)], image[~mask & (keep == 0)])


def test_a_run_opens_while_it_trains_and_the_page_goes_on_with_what_it_opened(
    folder, tmp_path, shelf
):
    workdir = tmp_path / "training"
    shutil.copytree(folder, workdir)
    training = Shelf([str(workdir)])
    with lock.held(workdir, "--workdir"):
        assert training.newest(str(workdir)) == 1
        first = training.take(str(workdir), 1).run.params
        with contextlib.closing(Store(str(workdir))) as store:
            state = store.restore_params()
            store.save(2, {"params": jax.tree.map(lambda x: x + 1, state)})
        assert training.newest(str(workdir)) == 2
        settings = settings_of(training, workdir)
        draw(training, str(workdir), 1, settings)  # Update 1 is gone from the disk.
        second = training.take(str(workdir), 2).run.params
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a + 1, b), first, second)
    with pytest.raises(UserError, match="has been trained further: reload the page"):
        Shelf([str(workdir)]).take(str(workdir), 1)


def test_controls_show_what_a_decoder_has(shelf, folder):
    book = shelf.take(str(folder), 1)
    assert {"confidence", "halton", "masked", "frontier"} <= set(book.decoders())
    assert book.decoders()[0] == book.run.config.decode.decoder
    assert book.options("halton") == ["num_iterations", "temperature", "guidance"]
    assert "guidance" not in book.options("masked")
    assert book.subjects() == ["bars", "discs"]
    assert book.changed((("decoder", "masked"),))["decoder"] == "masked"


def test_a_run_with_guidance_decodes_without_where_there_is_none(tiny_nets, tmp_path):
    workdir = str(make_run(tmp_path / "guided", tiny_nets, **{"decode.guidance": 1.0}))
    book = Shelf([workdir]).take(workdir, 1)
    assert book.changed((("decoder", "masked"),)) == {"decoder": "masked", "guidance": 0.0}
    assert book.decoding((("decoder", "masked"),)).sampler.options["guidance"] == 0.0
    assert book.run.sampler.options["guidance"] == 1.0


def test_requests_beyond_the_page_are_refused_before_any_work(shelf, folder):
    good, name = settings_of(shelf, folder), str(folder)
    image, mask = np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), bool)
    with pytest.raises(UserError, match="was not started with --checkpoint=/etc"):
        shelf.take("/etc", None)
    with pytest.raises(UserError, match="was not started with"):
        shelf.newest("/etc")
    for subjects in ((2,), (-1,)):
        with pytest.raises(UserError, match="has 2 classes"):
            draw(shelf, name, 1, dataclasses.replace(good, subjects=subjects))
    with pytest.raises(UserError, match="has 2 classes"):
        draw(shelf, name, 1, dataclasses.replace(good, start=9))
    with pytest.raises(UserError, match="must be a whole number from 1 to 64"):
        draw(shelf, name, 1, dataclasses.replace(good, num=10**6))
    for given, message in [
        ((None, mask, 0.0), "Choose an image first"),
        ((image, ~mask, 0.0), "Draw on the image what is to be repainted"),
        ((image, mask, 1.0), "Keep is 1.0"),
        ((np.zeros((1025, 1024, 3), np.uint8), mask, 0.0), "1024 x 1025 pixels; the page repaints"),
    ]:
        with pytest.raises(UserError, match=message):
            paint(shelf, name, 1, good, *given)


def test_a_run_of_training_images_is_drawn_by_their_numbers(tiny_nets, tmp_path):
    set_ = {"prompt.condition": "instance", "data.holdout": 0.0}
    workdir = str(make_run(tmp_path / "instances", tiny_nets, **set_))
    shelf = Shelf([workdir])
    book = shelf.take(workdir, 1)
    assert not book.has_classes and book.subjects()[0] == "image 0 (bars)"
    last = len(book.subjects()) - 1
    settings = Settings((0, last), 1, 0, (("num_iterations", 2),))
    drawn = draw(shelf, workdir, 1, settings)
    assert list(drawn.images) == ["bars_0000.png", "discs_0000.png"]
    assert f"--instances=0,{last}" in drawn.command
