"""Several files and their note, whenever the program that writes them is killed."""

import itertools
import json

import pytest
from etils import epath

from tests import damage
from vpt_gen.errors import UserError
from vpt_gen.machine import files, manifest
from vpt_gen.machine.manifest import Manifest, Share, mark_of, sha256, share_of

NAMES = ["a", "b", "c"]


class Killed(BaseException):
    """As by SIGKILL: nothing that the program would still do happens."""


@pytest.fixture
def note(tmp_path):
    return epath.Path(tmp_path) / "note.json"


def older(content):
    return content["classes"]


def write(note, value, names=NAMES):
    """Writes files in two batches; which of them were still there."""
    written = Manifest(note, names, older, request=value)
    content = {name: f"{value} {name}".encode() for name in names if name not in written.done}
    written.begin()
    for batch in (names[:2], names[2:]):
        written.write({name: content[name] for name in batch if name in content})
    written.finish({"value": value})
    return list(written.done)


def assert_whole(note, value, names=NAMES):
    content = json.loads(note.read_text())
    assert content["value"] == value
    for name in names:
        found = (note.parent / name).read_bytes()
        assert found == f"{value} {name}".encode()
        assert content["files"][name] == sha256(found)
    assert not list(note.parent.glob(".*"))


def test_existing_files_are_not_held_in_memory(note, monkeypatch):
    write(note, "value")
    noted = json.loads(note.read_text())["files"]
    monkeypatch.setattr(manifest, "_PIECE", 2)
    monkeypatch.setattr(type(note), "read_bytes", None, raising=False)
    assert manifest._digests_of(note.parent, NAMES) == noted


def killed_at(patch, number):
    """Lets the program die before, or after, its `number`-th change on the disk."""
    calls = itertools.count()

    def fatal(function):
        def call(*arguments, **options):
            if next(calls) == number:
                raise Killed
            result = function(*arguments, **options)
            if next(calls) == number:
                raise Killed
            return result

        return call

    patch.setattr(files, "move", fatal(files.move))
    patch.setattr(Share, "_append", fatal(Share._append))
    patch.setattr(type(epath.Path("a")), "unlink", fatal(type(epath.Path("a")).unlink))


@pytest.mark.parametrize("then", ["new", "old", "third"])
def test_killed_anywhere_a_note_is_never_next_to_other_files(note, monkeypatch, then):
    write(note, "old")
    for number in itertools.count():
        with monkeypatch.context() as patch:
            killed_at(patch, number)
            try:
                write(note, "new")
                break
            except Killed:
                pass
        if note.exists() and not mark_of(note).exists():
            assert_whole(note, json.loads(note.read_text())["value"])
        write(note, then)
        assert_whole(note, then)
        write(note, "old")
    assert number > 10


def test_the_same_request_resumes_with_what_is_there(note, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Manifest, "finish", lambda *unused: None)
        write(note, "new")
    (note.parent / "b").unlink()
    assert write(note, "new") == ["a", "c"]
    assert_whole(note, "new")


def test_a_killed_job_resumes_with_what_all_its_processes_wrote(note):
    first = Manifest(note, NAMES, older, request="new")
    first.begin()
    first.write({"a": b"new a"})
    share_of(note, "new", 1).write({"c": b"new c"})
    assert write(note, "new") == ["a", "c"]
    assert_whole(note, "new")


def test_the_files_of_all_processes_are_in_the_note(note, monkeypatch):
    first = Manifest(note, NAMES, older, request="new")
    first.begin(processes=2)
    # A network file system may show new files late in the list of their folder.
    monkeypatch.setattr(type(note), "glob", lambda path, pattern: iter(()))
    share_of(note, "new", 1).write({"c": b"new c"})
    first.write({"a": b"new a", "b": b"new b"})
    first.finish({"value": "new"})
    assert_whole(note, "new")


def test_a_share_of_another_request_is_ours_and_not_done(note):
    Manifest(note, NAMES, older, request="old").begin()
    share_of(note, "old", 1).write({"c": b"old c"})
    mark_of(note).write_text(mark_of(note).read_text().replace('"old"', '"new"'))  # Killed here.
    assert write(note, "new") == []
    assert_whole(note, "new")


def test_without_its_note_a_file_that_names_us_may_be_ours(note):
    """A user who deletes damaged figures can make them again; others' files stay."""
    (note.parent / "a").write_bytes(b"PNG Software vpt_gen")
    with pytest.raises(UserError, match="a is not replaced"):
        Manifest(note, NAMES, older)
    assert Manifest(note, NAMES, older, named=True).done == {}
    (note.parent / "b").write_text("mine")
    with pytest.raises(UserError, match="b is not replaced"):
        Manifest(note, NAMES, older, named=True)
    for name in ("a", "b"):
        (note.parent / name).unlink()
    write(note, "old")
    (note.parent / "a").write_bytes(b"mine vpt_gen")
    with pytest.raises(UserError, match="a is not replaced"):
        Manifest(note, NAMES, older, named=True)


@pytest.mark.parametrize("name", [*NAMES, "note.json"])
def test_a_file_of_somebody_else_is_named_and_stays(note, name):
    (note.parent / name).write_text("mine")
    with pytest.raises(UserError, match=f"{name} is not replaced.* choose another --output"):
        write(note, "new")
    assert [path.name for path in note.parent.iterdir()] == [name]
    assert (note.parent / name).read_text() == "mine"


def test_a_file_that_was_changed_since_is_somebody_elses(note, monkeypatch):
    write(note, "old")
    (note.parent / "b").write_text("mine")
    with pytest.raises(UserError, match="b is not replaced"):
        write(note, "new")
    (note.parent / "b").write_text("old b")
    with monkeypatch.context() as patch:
        patch.setattr(Manifest, "finish", lambda *unused: None)
        write(note, "new")
    (note.parent / "c").write_text("mine")
    with pytest.raises(UserError, match="c is not replaced"):
        write(note, "new")
    assert (note.parent / "c").read_text() == "mine"


def test_files_of_an_earlier_request_stay_ours(note):
    write(note, "old")
    write(note, "new", ["a"])
    assert_whole(note, "new", ["a"])
    assert json.loads(note.read_text())["files"].keys() == set(NAMES)
    write(note, "third")
    assert_whole(note, "third")


def test_an_older_version_listed_files_without_digests(note):
    for name in NAMES:
        (note.parent / name).write_text("from before")
    note.write_text(json.dumps({"classes": {"a": 0, "b": 0}}))
    with pytest.raises(UserError, match="c is not replaced"):
        write(note, "new")
    (note.parent / "c").unlink()
    write(note, "new")
    assert_whole(note, "new")


def test_an_interrupted_older_version_did_not_say_what_was_to_come(note):
    (note.parent / "a").write_text("from before")
    mark_of(note).write_text(json.dumps({"request": "new", "done": 1}))
    assert write(note, "new") == []
    assert_whole(note, "new")


def test_a_mark_that_was_cut_while_it_was_written_counts_as_far_as_it_goes(note, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Manifest, "finish", lambda *unused: None)
        write(note, "new")
    text = mark_of(note).read_text()
    mark_of(note).write_text(text[: text.index('{"c"') + 9])
    (note.parent / "c").unlink()
    assert write(note, "new") == ["a", "b"]
    assert_whole(note, "new")


@pytest.mark.parametrize("kind", damage.JSON)
def test_a_damaged_note_or_mark_proves_nothing(note, kind, monkeypatch):
    write(note, "old")
    damage.apply(note, damage.JSON[kind])
    with pytest.raises(UserError, match=r"note\.json is not replaced"):
        write(note, "new")
    note.unlink()
    for name in NAMES:
        (note.parent / name).unlink()
    with monkeypatch.context() as patch:
        patch.setattr(Manifest, "finish", lambda *unused: None)
        write(note, "old")
    damage.apply(mark_of(note), damage.JSON[kind])
    with pytest.raises(UserError, match="is not replaced"):
        write(note, "new")


@pytest.mark.parametrize("header", [{"files": [], "older": []}, {"files": 1, "older": {"a": []}}])
def test_a_damaged_mark_proves_nothing(note, header):
    mark_of(note).write_text(f"{json.dumps(header)}\n{json.dumps({'a': 3})}\n")
    (note.parent / "a").write_text("mine")
    with pytest.raises(UserError, match="a is not replaced"):
        write(note, "new")


def test_in_a_bucket_no_file_is_extended(note, monkeypatch):
    monkeypatch.setattr(manifest, "in_bucket", lambda path: True)
    write(note, "old")
    write(note, "new")
    assert_whole(note, "new")
