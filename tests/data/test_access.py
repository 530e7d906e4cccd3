"""What is said of a data set: whether it is here, and if not, how it is had."""

import dataclasses
import pathlib

import pytest

from vpt_gen.data import access
from vpt_gen.data.access import Access


@dataclasses.dataclass
class Builder:
    """What `tfds_status` asks of a TFDS builder."""

    name: str
    data_path: pathlib.Path
    prepared: bool = False

    def is_prepared(self):
        return self.prepared


@pytest.fixture
def status_of(tmp_path, monkeypatch):
    """Facts -> the status of a data set with them, on a disk with 100 GB free."""
    usage = access.shutil.disk_usage(tmp_path)._replace(free=100 * 10**9)
    monkeypatch.setattr(access.shutil, "disk_usage", lambda path: usage)

    def status_of(facts, **builder):
        monkeypatch.setitem(access.ACCESS, "made", facts)
        return access.tfds_status(Builder("made", tmp_path / "not" / "yet", **builder), tmp_path)

    return status_of


def test_a_prepared_set_is_ready(status_of):
    status = status_of(Access(1.0, manual={"a.zip": "https://a"}), prepared=True)
    assert status.state == "ready" and not status.can_be_prepared


def test_what_tfds_fetches_is_downloadable(status_of):
    status = status_of(Access(3.0))
    assert (status.state, status.gigabytes) == ("downloadable", 6.0)
    assert status.can_be_prepared


def test_missing_files_are_named_with_place_and_address(status_of, tmp_path):
    facts = Access(1.0, manual={"a.zip": "https://a", "b.zip": "https://b"})
    status = status_of(facts)
    assert status.state == "needs files" and not status.can_be_prepared
    assert status.advice[0] == f"put a.zip at {tmp_path / 'a.zip'} (https://a)."
    (tmp_path / "a.zip").touch()
    assert [line[:9] for line in status_of(facts).advice] == ["put b.zip"]
    (tmp_path / "b.zip").touch()
    status = status_of(facts)
    assert status.state == "preparable" and status.can_be_prepared and not status.advice


def test_a_missing_package_or_a_full_disk_blocks(status_of):
    status = status_of(Access(1.0, packages={"no_such_module": "no-such-package", "sys": ""}))
    assert status.state == "blocked"
    assert status.advice == (
        "preparing it needs no-such-package: pip install -e .[vtab], or pip install "
        "no-such-package.",
    )
    status = status_of(Access(60.0))
    assert status.state == "blocked"
    assert "takes about 120 GB of disk, but only 100 GB are free" in status.advice[0]


def test_what_a_killed_run_left_is_named_where_the_disk_is_full(status_of, tmp_path):
    left = tmp_path / "not" / "incomplete.ABC123_yet"
    left.mkdir(parents=True)
    (tmp_path / "not" / "incomplete.ABC123_another").mkdir()
    assert status_of(Access(1.0)).advice == ()
    _, advice = status_of(Access(60.0)).advice
    assert advice == f"{left} was left unfinished by a killed run: delete it if no run uses it now."


def test_an_unknown_set_is_left_to_tfds(tmp_path):
    status = access.tfds_status(Builder("nobody_knows", tmp_path), tmp_path)
    assert status.state == "downloadable" and "unknown" in status.advice[0]


def test_every_package_that_preparing_needs_is_declared():
    declared = (pathlib.Path(__file__).parents[2] / "setup.cfg").read_text()
    for facts in access.ACCESS.values():
        for package in facts.packages.values():
            assert f"    {package}>=" in declared


def test_folders_and_packages(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert access.folder_status(str(tmp_path)).state == "ready"
    assert "does not exist" in access.folder_status(str(tmp_path / "no")).advice[0]
    assert "set --config.data.path" in access.folder_status("").advice[0]
    for name in ("grey", "photos"):
        pictures = access.folder_status(f"downloads/source_{name}.npz")
        assert f"make it with `bash launch/fetch.sh {name} downloads`" in pictures.advice[0]
    assert access.package_status("numpy", "").state == "ready"
    assert access.package_status("no_such_module", "pip install x").advice == (
        "it ships in the package no_such_module: pip install x.",
    )
