"""Images that several processes draw into one folder, here one process after the other."""

import json

import numpy as np
import pytest
from etils import epath

from vpt_gen.data import shards
from vpt_gen.machine import distributed
from vpt_gen.machine.manifest import Manifest, share_of
from vpt_gen.runs import together
from vpt_gen.runs.together import Drawing

COUNT, BATCH = 23, 4
NAMES = {
    "files": [f"{i:04d}.png" for i in range(COUNT)],
    "shards": shards.names_of(COUNT, 5),
    "large shards": shards.names_of(COUNT, 9),
}
IMAGES = np.arange(COUNT, dtype=np.uint8)[:, None, None, None] + np.zeros((4, 4, 3), np.uint8)


def drawing_of(names, drawn):
    """Images that are drawn in batches; which ones goes into `drawn`."""

    def stream(wanted):
        for start in range(0, COUNT, BATCH):
            rows = start + np.flatnonzero(wanted[start : start + BATCH])
            if len(rows):
                drawn.extend(rows.tolist())
                yield IMAGES[rows]

    return Drawing(names, np.zeros(COUNT, int), BATCH, stream, "request")


def draw(folder, names, processes, monkeypatch, only=None):
    """What the processes, or only some of them, draw; the note if it is all of them."""
    note, drawn = epath.Path(folder) / "note.json", []
    drawing = drawing_of(names, drawn)
    manifest = Manifest(note, drawing.files, request="request")
    done = np.array([shards.file_of(name) in manifest.done for name in names])
    manifest.begin(processes)
    for number in range(processes) if only is None else only:

        def share(items, number=number):
            return np.array_split(items, processes)[number]

        monkeypatch.setattr(distributed, "share_of", share)
        files = manifest if number == 0 else share_of(note, "request", number)
        together._draw(drawing, done, files)
    if only is None:
        manifest.finish({})
    return drawn


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("processes", [2, 3, 9])
def test_the_files_are_those_of_one_process(tmp_path, monkeypatch, kind, processes):
    names = NAMES[kind]
    assert draw(tmp_path / "one", names, 1, monkeypatch) == list(range(COUNT))
    assert draw(tmp_path / "many", names, processes, monkeypatch) == list(range(COUNT))
    assert files_of(tmp_path / "many") == files_of(tmp_path / "one")
    noted = json.loads((tmp_path / "one" / "note.json").read_text())["files"]
    assert noted.keys() == set(map(shards.file_of, names))


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("then", [1, 2, 4])
def test_a_killed_job_resumes_on_another_number_of_processes(tmp_path, monkeypatch, kind, then):
    names = NAMES[kind]
    draw(tmp_path / "one", names, 1, monkeypatch)
    before = draw(tmp_path / "many", names, 3, monkeypatch, only=(0, 2))
    after = draw(tmp_path / "many", names, then, monkeypatch)
    assert before and after and sorted(before + after) == list(range(COUNT))
    assert files_of(tmp_path / "many") == files_of(tmp_path / "one")
