"""A working directory in a bucket (gs://...): our own plain files, and what cannot be there.

Orbax and TensorFlow write there by themselves.
"""

import functools

import numpy as np
import pytest
from etils import epath
from etils.epath import backend, gpath
from PIL import Image

from configs import demo, source_transformer
from vpt_gen import main
from vpt_gen.checkpoints.claim import claim_workdir
from vpt_gen.checkpoints.store import finished_steps, read_record
from vpt_gen.errors import UserError
from vpt_gen.images import grids

RUN = "gs://bucket/run"


class FolderAsBucket:
    """What epath does with gs:// paths, done in a folder."""

    def __init__(self, folder):
        self._folder = folder

    def __getattr__(self, name):
        return functools.partial(self._call, getattr(backend.os_backend, name))

    def _call(self, function, *arguments, **options):
        moved = [str(x).replace("gs://", f"{self._folder}/") for x in arguments]
        return function(*moved, **options)


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    monkeypatch.setattr(gpath, "_is_tf_installed", lambda: False)
    monkeypatch.setitem(gpath._PREFIX_TO_BACKEND, "gs", FolderAsBucket(tmp_path))
    monkeypatch.chdir(tmp_path)  # where a path taken for a local one would end
    (tmp_path / "bucket").mkdir()
    yield tmp_path / "bucket"
    assert [path.name for path in tmp_path.iterdir()] == ["bucket"]


def test_a_run_claims_its_workdir(bucket):
    claim_workdir(RUN, {"seed": 1}, {"digest": "x"})
    assert read_record(RUN) == {"config": {"seed": 1}, "facts": {"digest": "x"}}
    assert [path.name for path in (bucket / "run").iterdir()] == ["config.json"]


def test_a_checkpoint_counts_once_it_is_marked_as_finished(bucket):
    claim_workdir(RUN, {"seed": 1}, {})
    step = bucket / "run" / "checkpoints" / "3"
    step.mkdir(parents=True)
    assert not finished_steps(RUN)
    (step / "commit_success.txt").touch()
    assert finished_steps(RUN)
    with pytest.raises(UserError, match="belongs to another run"):
        claim_workdir(RUN, {"seed": 2}, {})
    (bucket / "run" / "config.json").unlink()
    with pytest.raises(UserError, match="run holds checkpoints/3, but no config.json"):
        claim_workdir(RUN, {"seed": 2}, {})


def test_pictures_are_written(bucket):
    grids.save_png(epath.Path(RUN) / "pictures" / "x.png", np.zeros((2, 3, 3), np.uint8))
    assert Image.open(bucket / "run" / "pictures" / "x.png").size == (3, 2)


@pytest.mark.slow
def test_what_must_be_a_folder_says_so(bucket):
    with pytest.raises(UserError, match="set config.data.cache_dir"):
        main.run(demo.get_config(), RUN)
    with pytest.raises(UserError, match="Pretraining writes its net"):
        main.run(source_transformer.get_config(), RUN)
    assert not list(bucket.iterdir())
