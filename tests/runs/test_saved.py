"""Samples on disk: each batch before the next is drawn, resumed after an interruption."""

import dataclasses
import json
import types

import numpy as np
import pytest
from etils import epath
from ml_collections import ConfigDict
from PIL import Image

from vpt_gen.data import sampled
from vpt_gen.data.folders.opening import open_folder
from vpt_gen.errors import UserError
from vpt_gen.images import grids
from vpt_gen.nets.prompt_generator import NO_INSTANCE
from vpt_gen.runs import orders, saved
from vpt_gen.runs.generation import Generation
from vpt_gen.runs.samples import Samples, class_bank, wanted_or_all

NAMES = ["a b", "c"]
BATCH = 4


class Drawn:
    """A sampler of flat images that says which batches were drawn; it can be interrupted."""

    options = {}
    batch_size = images_at_a_time = BATCH
    token_grid = (2, 2)

    def __init__(self, folder, stop_at=None):
        self.folder, self.stop_at, self.starts = folder, stop_at, []

    def images_on_disk(self):
        return len(pngs(self.folder))

    def stream(self, params, bank, seed, weights, wanted=None):
        chosen = wanted_or_all(wanted, bank)
        for start in range(0, len(bank), BATCH):
            rows = start + np.flatnonzero(chosen[start : start + BATCH])
            if not len(rows):
                continue
            if start == self.stop_at:
                raise KeyboardInterrupt
            self.starts.append(start)
            assert self.images_on_disk() >= start, "an earlier batch is not on disk yet"
            values = (rows + 10 * seed + 1)[:, None, None, None] / 255.0
            images = np.broadcast_to(values, (len(rows), 8, 8, 3)).astype(np.float32)
            tokens = np.repeat(rows[:, None], 4, axis=1).astype(np.int32)
            yield Samples(images, tokens, tokens, bank[rows, -1, 0])


def pngs(folder):
    return {path.name for path in folder.glob("*.png")} - {"grid.png", "trace.png"}


def values(folder):
    return {name: np.asarray(Image.open(folder / name))[0, 0, 0] for name in pngs(folder)}


def generation_of(sampler, class_ids=(0,) * 7 + (1,) * 3, seed=0):
    run = types.SimpleNamespace(
        merged=(),
        sampler=sampler,
        params={},
        facts={"class_names": NAMES},
        config=ConfigDict({"task": "prompts"}),
        workdir="run",
        step=1,
        nets={},
    )
    return Generation(run, class_bank(class_ids), None, {"name": "constant"}, seed)


def draw(folder, stop_at=None, **options):
    """Which batches were drawn."""
    trace = options.pop("trace", False)
    sampler = Drawn(folder, stop_at)
    generation = generation_of(sampler, **options)
    if stop_at is None:
        saved.save_generation(generation, epath.Path(folder), trace)
    else:
        with pytest.raises(KeyboardInterrupt):
            saved.save_generation(generation, epath.Path(folder), trace)
    return sampler.starts


def everything(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_batch_is_on_disk_before_the_next_is_drawn_and_the_record_comes_last(tmp_path):
    assert draw(tmp_path, stop_at=8) == [0, 4]
    assert pngs(tmp_path) == {*(f"a_b_000{i}.png" for i in range(7)), "c_0000.png"}
    assert not (tmp_path / sampled.FILE).exists()
    with pytest.raises(UserError, match="unfinished, .* run the same command again"):
        sampled.read(tmp_path)


@pytest.mark.parametrize("trace", [False, True])
@pytest.mark.parametrize("stop_at", [0, 4, 8])
def test_an_interrupted_request_resumes_and_ends_as_an_undisturbed_one(tmp_path, stop_at, trace):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert draw(whole, trace=trace) == [0, 4, 8]
    draw(parts, stop_at, trace=trace)
    assert draw(parts, trace=trace) == [start for start in (0, 4, 8) if start >= stop_at]
    assert everything(parts) == everything(whole)
    names = {*pngs(whole), "grid.png", sampled.FILE} | ({"trace.png"} if trace else set())
    assert everything(whole).keys() == names
    note = sampled.read(whole)
    assert note.classes["a_b_0006.png"] == "a b" and note.classes["c_0002.png"] == "c"
    assert note.record["sampler"]["seed"] == 0


def test_images_that_were_deleted_meanwhile_are_drawn_again(tmp_path):
    draw(tmp_path, stop_at=8)
    (tmp_path / "a_b_0005.png").unlink()
    assert draw(tmp_path) == [4, 8]
    assert values(tmp_path)["a_b_0005.png"] == 6


@pytest.mark.parametrize(
    "other", [{"seed": 1}, {"class_ids": (0,) * 6 + (1,) * 4}, {"trace": True}]
)
def test_another_request_takes_nothing_of_an_interrupted_one(tmp_path, other):
    draw(tmp_path, stop_at=8)
    assert draw(tmp_path, **other) == [0, 4, 8]
    draw(tmp_path / "alone", **other)
    alone = values(tmp_path / "alone")
    assert {name: values(tmp_path)[name] for name in alone} == alone
    found, expected = sampled.read(tmp_path), sampled.read(tmp_path / "alone")
    assert (found.classes, found.record) == (expected.classes, expected.record)
    assert found.digests.items() >= expected.digests.items()


def test_an_image_of_somebody_else_is_named_before_anything_is_drawn(tmp_path):
    (tmp_path / "c_0001.png").write_bytes(b"mine")
    sampler = Drawn(tmp_path)
    with pytest.raises(UserError, match=r"c_0001.png is not replaced.* choose another --output"):
        saved.save_generation(generation_of(sampler), epath.Path(tmp_path))
    assert sampler.starts == []
    assert everything(tmp_path) == {"c_0001.png": b"mine"}


@pytest.mark.parametrize("stop_at", [0, 4, 8])
@pytest.mark.parametrize("then", [0, 1, 2])
def test_another_seed_in_the_same_folder_ends_with_its_images_alone(tmp_path, stop_at, then):
    draw(tmp_path, stop_at)
    with pytest.raises(UserError, match="unfinished"):
        open_folder(str(tmp_path))
    draw(tmp_path)
    draw(tmp_path, stop_at, seed=1)
    with pytest.raises(UserError, match="unfinished"):
        open_folder(str(tmp_path))
    draw(tmp_path, seed=then)
    assert len(open_folder(str(tmp_path))) == 10
    draw(tmp_path.with_name("alone"), seed=then)
    assert everything(tmp_path) == everything(tmp_path.with_name("alone"))


def test_an_image_that_was_changed_is_neither_read_nor_replaced(tmp_path):
    draw(tmp_path)
    image = tmp_path / "a_b_0003.png"
    before = image.read_bytes()
    image.write_bytes((tmp_path / "a_b_0004.png").read_bytes())
    with pytest.raises(UserError, match=r"\(such as a_b_0003.png\) changed"):
        open_folder(str(tmp_path))
    with pytest.raises(UserError, match="a_b_0003.png is not replaced"):
        saved.save_generation(generation_of(Drawn(tmp_path), seed=1), epath.Path(tmp_path))
    image.write_bytes(before)
    draw(tmp_path, seed=1)
    assert len(open_folder(str(tmp_path))) == 10


def test_fewer_images_leave_the_older_ones_unread(tmp_path):
    draw(tmp_path)
    draw(tmp_path, class_ids=(0, 0, 1), seed=1)
    assert len(open_folder(str(tmp_path))) == 3
    draw(tmp_path, seed=2)
    assert len(open_folder(str(tmp_path))) == 10


@pytest.mark.parametrize("finished", [True, False])
def test_samples_of_an_older_version_may_be_replaced(tmp_path, finished):
    draw(tmp_path)
    note = json.loads((tmp_path / sampled.FILE).read_text())
    del note["files"]
    (tmp_path / sampled.FILE).write_text(json.dumps(note))
    if not finished:
        (tmp_path / sampled.FILE).unlink()
        mark = {"request": "of an older version", "done": 4}
        (tmp_path / ".samples.unfinished.json").write_text(json.dumps(mark))
    draw(tmp_path, seed=1)
    assert len(open_folder(str(tmp_path))) == 10


@pytest.mark.parametrize("orders", [None, b"", b"broken"])
def test_a_trace_whose_orders_are_lost_is_drawn_anew(tmp_path, orders):
    draw(tmp_path, stop_at=8, trace=True)
    (tmp_path / ".revealed_at.npy").unlink()
    if orders is not None:
        (tmp_path / ".revealed_at.npy").write_bytes(orders)
    assert draw(tmp_path, trace=True) == [0, 4, 8]


def test_training_images_of_one_class_are_requests_of_their_own(tmp_path):
    generation = generation_of(Drawn(tmp_path), (0, 0))
    others = dataclasses.replace(generation, bank=generation.bank.copy())
    others.bank[:, 0, 1] = NO_INSTANCE + 3
    record = generation.record()
    assert record == others.record()
    assert generation.digest() != others.digest()


def test_a_new_request_leaves_no_note_of_the_old_one_while_it_draws(tmp_path):
    draw(tmp_path)
    draw(tmp_path, stop_at=4, seed=1)
    assert not (tmp_path / sampled.FILE).exists()


def test_the_same_command_after_the_end_draws_anew(tmp_path):
    draw(tmp_path)
    before = everything(tmp_path)
    assert draw(tmp_path) == [0, 4, 8]
    assert everything(tmp_path) == before


def test_images_of_other_requests_are_told(tmp_path, capsys):
    draw(tmp_path)
    assert "also holds" not in capsys.readouterr().out
    draw(tmp_path, class_ids=(0, 0, 1), seed=1)
    assert "also holds 7 other images" in capsys.readouterr().out
    assert len(json.loads((tmp_path / sampled.FILE).read_text())["classes"]) == 3


def test_pictures_of_all_samples_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(saved, "GRID_COLUMNS", 2)
    monkeypatch.setattr(orders, "TRACE_IMAGES", 6)
    shown = {}

    def keep(name, function):
        def call(images, *arguments):
            shown[name] = len(images)
            return function(images, *arguments)

        monkeypatch.setattr(grids, name, call)

    keep("class_grid", grids.class_grid)
    keep("trace_grid", grids.trace_grid)
    draw(tmp_path, trace=True)
    assert shown == {"class_grid": 4, "trace_grid": 6}
    monkeypatch.setattr(saved, "GRID_CLASSES", 1)
    draw(tmp_path)
    assert shown["class_grid"] == 2


def test_the_grid_of_a_small_request_is_that_of_its_images(tmp_path):
    draw(tmp_path)
    class_ids = np.array([0] * 7 + [1] * 3)
    batches = list(Drawn(tmp_path).stream({}, class_bank(class_ids), 0, None))
    images = np.concatenate([batch.images for batch in batches])
    expected = grids.class_grid(images, class_ids, NAMES)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "grid.png")), expected)
