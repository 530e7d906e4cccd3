"""Samples in TAR shards: what WebDataset reads, resumed like single images, and read as these."""

import io
import shutil
import tarfile

import numpy as np
import pytest
from absl import flags
from etils import epath
from PIL import Image

from tests.programs import flags_of
from tests.runs.test_saved import Drawn, everything, generation_of
from vpt_gen import sample
from vpt_gen.data import sampled, shards
from vpt_gen.data.folders.opening import open_folder
from vpt_gen.errors import UserError
from vpt_gen.images import grids
from vpt_gen.runs import saved

SIZE = 3  # Images per shard; a batch has four of the ten.
SHARDS = [f"00000{i}.tar" for i in range(4)]


class Sharded(Drawn):
    """A sampler whose images are on disk when their shard is."""

    def images_on_disk(self):
        shards = len(list(self.folder.glob("*.tar")))
        return min(SIZE * shards + SIZE - 1, 10)


def draw(folder, stop_at=None, seed=0):
    """Which batches were drawn."""
    sampler = Sharded(folder, stop_at)
    generation = generation_of(sampler, seed=seed)
    if stop_at is None:
        saved.save_generation(generation, epath.Path(folder), shard_size=SIZE)
    else:
        with pytest.raises(KeyboardInterrupt):
            saved.save_generation(generation, epath.Path(folder), shard_size=SIZE)
    return sampler.starts


def test_a_shard_has_images_with_their_classes(tmp_path):
    assert draw(tmp_path) == [0, 4, 8]
    assert everything(tmp_path).keys() == {*SHARDS, "grid.png", sampled.FILE}
    found = {}
    for name in SHARDS:
        with tarfile.open(tmp_path / name) as shard:
            found |= {member.name: shard.extractfile(member).read() for member in shard}
    assert list(found) == [f"0000000{i}.{kind}" for i in range(10) for kind in ("png", "cls")]
    assert [found[f"0000000{i}.cls"] for i in range(10)] == [b"0"] * 7 + [b"1"] * 3
    pixels = [np.asarray(Image.open(io.BytesIO(found[f"0000000{i}.png"]))) for i in range(10)]
    assert [image[0, 0, 0] for image in pixels] == list(range(1, 11))


def test_shards_are_read_like_single_images(tmp_path):
    draw(tmp_path / "shards")
    single = generation_of(Drawn(tmp_path / "files"))
    saved.save_generation(single, epath.Path(tmp_path / "files"))
    one, other = (open_folder(str(tmp_path / name)) for name in ("shards", "files"))
    assert one.class_names == other.class_names and one.labels.tolist() == other.labels.tolist()
    for i in range(10):
        np.testing.assert_array_equal(one.load(i), other.load(i))
    notes = [sampled.read(tmp_path / name) for name in ("shards", "files")]
    assert notes[0].record == notes[1].record
    grids = [(tmp_path / name / "grid.png").read_bytes() for name in ("shards", "files")]
    assert grids[0] == grids[1]
    part = open_folder(str(tmp_path / "shards"), classes=("c",))
    assert part.labels.tolist() == [1, 1, 1] and part.load(0)[0, 0, 0] == 8


@pytest.mark.parametrize("stop_at", [0, 4, 8])
def test_an_interrupted_request_resumes_at_the_first_missing_shard(tmp_path, stop_at):
    draw(tmp_path / "whole")
    draw(tmp_path / "parts", stop_at)
    kept = len(list((tmp_path / "parts").glob("*.tar")))
    assert kept == stop_at // SIZE
    first = kept * SIZE // 4 * 4
    assert draw(tmp_path / "parts") == [start for start in (0, 4, 8) if start >= first]
    assert everything(tmp_path / "parts") == everything(tmp_path / "whole")


@pytest.mark.parametrize("content", [None, b"", b"other"])
def test_a_shard_that_is_missing_or_changed_is_named(tmp_path, content):
    draw(tmp_path)
    (tmp_path / SHARDS[1]).unlink()
    if content is not None:
        (tmp_path / SHARDS[1]).write_bytes(content)
    with pytest.raises(UserError, match=r"000001.tar is missing, or has changed after samples"):
        open_folder(str(tmp_path))


@pytest.mark.parametrize("name", ["mine.JPG", "000004.tar"])
def test_what_no_request_drew_is_named(tmp_path, name):
    draw(tmp_path)
    (tmp_path / grids.STRIP).write_bytes(b"")  # Of vpt_gen.evaluate --output.
    (tmp_path / "._000000.tar").write_bytes(b"")  # Of macOS.
    assert len(open_folder(str(tmp_path))) == 10
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(UserError, match=rf"does not list \(such as {name}\): move them elsewhere"):
        open_folder(str(tmp_path))


def test_a_shard_that_changes_while_it_is_read_is_noticed(tmp_path):
    draw(tmp_path)
    source = open_folder(str(tmp_path))
    shutil.copy(tmp_path / SHARDS[0], tmp_path / SHARDS[1])
    source.load(0)
    with pytest.raises(OSError, match="000001.tar has changed since the run began"):
        source.load(3)


def test_another_request_replaces_shards_and_says_what_else_is_there(tmp_path, capsys):
    draw(tmp_path)
    draw(tmp_path, seed=1)
    assert open_folder(str(tmp_path)).load(0)[0, 0, 0] == 11
    capsys.readouterr()
    saved.save_generation(generation_of(Drawn(tmp_path)), epath.Path(tmp_path))
    assert "also holds 4 other images or shards" in capsys.readouterr().out
    assert len(open_folder(str(tmp_path))) == 10
    draw(tmp_path, seed=2)
    capsys.readouterr()
    assert open_folder(str(tmp_path)).load(0)[0, 0, 0] == 21
    assert "Left out: 10 images or shards of earlier requests" in capsys.readouterr().out


def test_names_of_images_in_shards():
    assert shards.names_of(3, 2) == [
        "000000.tar/00000000.png",
        "000000.tar/00000001.png",
        "000001.tar/00000002.png",
    ]
    assert shards.file_of("000001.tar/00000002.png") == "000001.tar"
    assert shards.file_of("cat_0000.png") == "cat_0000.png"


def test_shards_have_no_trace():
    with flags_of(sample, "--checkpoint=run", "--trace", "--shard_size=10"):
        assert flags.FLAGS.shard_size == 10
        with pytest.raises(UserError, match="leave out --shard_size"):
            sample.main()
