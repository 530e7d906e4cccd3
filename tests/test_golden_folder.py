"""Folders of reference numbers that lack something, or have other sizes."""

import json

import numpy as np
import pytest

from tests import golden_folder
from tests.golden_folder import Folder

Skipped = pytest.skip.Exception


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with one array."""
    monkeypatch.setenv("VPT_GEN_GOLDEN_MADE", str(tmp_path))
    (tmp_path / "manifest.json").write_text(json.dumps({"configs": {"a": {"n": 3}}}))
    np.savez(tmp_path / "a.npz", there=np.arange(3))
    return Folder("made")


def test_what_is_there_is_read(folder):
    assert folder.json()["configs"]["a"]["n"] == 3
    assert folder.arrays("a.npz")["there"].tolist() == [0, 1, 2]
    assert folder.file("a.npz").is_file()


def test_what_is_needed_and_not_there_skips_the_test_with_the_reason(folder):
    for need, lacking in (
        (lambda: folder.file("b.npz"), "lacks b.npz"),
        (lambda: folder.arrays("b.npz"), "lacks b.npz"),
        (lambda: folder.arrays("a.npz")["gone"], r"a\.npz lacks gone"),
        (lambda: folder.json()["configs"]["a"]["m"], r"manifest\.json lacks m"),
    ):
        with pytest.raises(Skipped, match=lacking):
            need()


def test_values_that_are_there_are_compared_before_the_others_are_skipped(folder):
    assert folder.has("a.npz", "there")
    golden_folder.skip_lacking()
    assert not folder.has("a.npz", "gone")
    with pytest.raises(Skipped, match="lacks gone"):
        golden_folder.skip_lacking()
    golden_folder.skip_lacking()


def test_no_folder_is_the_reason(tmp_path, monkeypatch):
    monkeypatch.setenv("VPT_GEN_GOLDEN_MADE", str(tmp_path / "none"))
    with pytest.raises(Skipped, match="set VPT_GEN_GOLDEN_MADE to one"):
        Folder("made").json()
