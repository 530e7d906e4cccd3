import os
import pathlib
import sys

import pytest

from tests import programs
from vpt_gen.machine import compiled

OWN = "JAX_COMPILATION_CACHE_DIR"
SIZE = "JAX_COMPILATION_CACHE_MAX_SIZE"
SECONDS = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VPT_GEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "compiled"


def test_all_programs_are_kept_up_to_a_size(cache):
    found = compiled.settings({})
    assert cache in pathlib.Path(found[OWN]).parents and os.path.isdir(found[OWN])
    assert 0 < int(found[SIZE]) < 10**10 and float(found[SECONDS]) == 0


def test_the_users_own_folder_and_settings_stay(cache):
    assert compiled.settings({OWN: "/of/mine"}) == {}
    assert not cache.exists()
    assert compiled.settings({SIZE: "1000"})[SIZE] == "1000"


def test_a_process_that_inherits_the_settings_has_the_same(cache):
    found = compiled.settings({})
    assert compiled.settings(found) == found


def test_other_processors_have_their_own_folder(cache, monkeypatch):
    here = compiled.settings({})[OWN]
    monkeypatch.setattr(compiled, "_kind_of_processor", lambda: "another")
    assert compiled.settings({})[OWN] != here


def test_a_folder_that_can_only_be_read_is_only_read(cache, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    found = compiled.settings({})
    assert found[SIZE] == "-1" and float(found[SECONDS]) > 1e6


def test_without_a_folder_nothing_is_kept(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("VPT_GEN_CACHE", str(tmp_path / "file"))
    assert compiled.settings({}) == {}


def test_what_a_killed_process_has_left_is_removed(cache):
    folder = pathlib.Path(compiled.settings({})[OWN])
    for name in ("whole-cache", "whole-atime", "broken-cache"):
        (folder / name).touch()
    compiled.settings({})
    assert {p.name for p in folder.iterdir()} - {".lockfile"} == {"whole-cache", "whole-atime"}


def test_it_is_off_on_macos(cache, monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert compiled.settings({}) == {}


@pytest.mark.slow
def test_the_second_start_compiles_nothing_and_draws_the_same(
    cache, tmp_path, tiny_nets, monkeypatch
):
    for name in (OWN, SECONDS):  # Of the tests.
        monkeypatch.delenv(name, raising=False)
    picture = tmp_path / "preview.png"
    nets = [f"--tokenizer={tiny_nets / 'vqgan'}", f"--transformer={tiny_nets / 'nar'}"]

    def start():
        done = programs.start(
            "vpt_gen.preview", *nets, "--num=1", "--classes=0", f"--output={picture}"
        )
        assert done.returncode == 0, done.stderr
        return picture.read_bytes()

    def kept(kind):
        return {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in cache.rglob(f"*-{kind}")}

    first, kept_first, used_first = start(), kept("cache"), kept("atime")
    assert len(kept_first) > 1
    assert start() == first
    assert kept("cache") == kept_first
    used = kept("atime")
    assert all(used[path] > before for path, before in used_first.items())
