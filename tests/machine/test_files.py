"""Files that are there as a whole or not at all, and checks of where they go."""

import os
import pathlib

import numpy as np
import pytest

from vpt_gen.errors import UserError
from vpt_gen.images import grids, png
from vpt_gen.machine import files


def test_content_and_name_are_on_the_disk_before_a_file_counts_as_written(tmp_path, monkeypatch):
    done = []
    synced, replaced = os.fsync, pathlib.Path.replace
    monkeypatch.setattr(
        os, "fsync", lambda f: done.append(pathlib.Path(f"/proc/self/fd/{f}").is_dir()) or synced(f)
    )
    monkeypatch.setattr(
        pathlib.Path, "replace", lambda *paths: done.append("moved") or replaced(*paths)
    )
    files.write_text(tmp_path / "a.txt", "蓝")
    assert done == [False, "moved", True]
    assert (tmp_path / "a.txt").read_bytes() == "蓝".encode()


@pytest.mark.parametrize("name", ["a" * 255, "蓝" * 85])
def test_the_longest_names_are_written(tmp_path, name):
    files.write_text(tmp_path / name, "1")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with files.written_whole(tmp_path / name) as partial:
        partial.write_text("left")
        os.link(partial, tmp_path / "copy")
    os.rename(tmp_path / "copy", partial)  # As a killed program leaves it.
    files.remove_partials(tmp_path, ["other"])
    assert partial.exists()
    files.remove_partials(tmp_path, [name])
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("file/a.png", "file is not a folder"),
        ("file/b/a.png", "file is not a folder"),
        ("folder", "Is a directory"),
        ("new/" + "a" * 256, "File name too long"),
        ("蓝" * 86 + "/a.png", "File name too long"),
        ("a\0b.png", "embedded null byte"),
    ],
)
def test_what_cannot_be_written_is_said_before(tmp_path, place, reason):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=f"Cannot write .*{reason}; choose another --output"):
        files.check_writable(tmp_path / place, "--output")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc")
def test_where_nothing_can_be_written(tmp_path):
    with pytest.raises(UserError, match="Cannot write /proc/self/new/a.png"):
        files.check_writable(pathlib.Path("/proc/self/new/a.png"), "--output")


def test_a_folder_replaces_an_older_one_as_a_whole(tmp_path):
    (tmp_path / ".net.0123abcd.partial" / "params").mkdir(parents=True)  # Of a killed program.
    (tmp_path / ".nets.0123abcd.partial").mkdir()
    for name in ("net", "net", "other"):
        partial = tmp_path / "partial"
        (partial / "params").mkdir(parents=True)
        (partial / "params" / name).touch()
        files.move_folder(partial, tmp_path / "net")
    found = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*"))
    others = ".nets.0123abcd.partial"
    assert found == [others, "net", "net/params", "net/params/other"]


def test_a_check_leaves_nothing(tmp_path):
    files.check_writable(tmp_path / "a" / "b" / "c.png", "--output")
    assert not list(tmp_path.iterdir())
    (tmp_path / "c.png").touch()
    files.check_writable(tmp_path / "c.png", "--output")
    assert [path.name for path in tmp_path.iterdir()] == ["c.png"]


def test_a_picture_of_ours_may_be_replaced_and_no_other(tmp_path):
    path = tmp_path / "a.png"
    grids.save_png(path, np.zeros((4, 4, 3), np.uint8))
    files.check_output(path, "--output", png.SIGNATURE)
    path.write_bytes(b"mine")
    with pytest.raises(UserError, match="a.png is not replaced, because vpt_gen did not write it"):
        files.check_output(path, "--output")
    path.write_bytes(b"My notes about vpt_gen.")
    with pytest.raises(UserError, match="a.png is not replaced"):
        files.check_output(path, "--output", png.SIGNATURE)
