"""The store: what is kept, what a working directory belongs to."""

import shutil

import chex
import jax.numpy as jnp
import numpy as np
import pytest

from vpt_gen.checkpoints.store import Store, claim_workdir, has_checkpoint, read_record
from vpt_gen.errors import UserError
from vpt_gen.training.state import TrainState


def state(step):
    return TrainState(jnp.int32(step), {"w": jnp.arange(3.0) + step}, {"m": jnp.zeros(3)})


def saved(workdir, steps, **options):
    store = Store(workdir, **options)
    for step in steps:
        store.save(step, state(step))
    store.close()
    return Store(workdir)


def test_restore_gives_what_was_saved(tmp_path):
    store = saved(tmp_path, [3])
    chex.assert_trees_all_equal(store.restore(state(0)), state(3))
    np.testing.assert_array_equal(store.restore_params()["w"], state(3).params["w"])


def test_the_newest_are_kept(tmp_path):
    assert saved(tmp_path, [1, 2, 3, 4], keep=2)._manager.all_steps() == [3, 4]


def test_a_relative_workdir_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert saved("run", [1]).latest_step() == 1


def test_an_unfinished_checkpoint_is_never_picked_up(tmp_path):
    saved(tmp_path, [1])
    checkpoints = tmp_path / "checkpoints"
    (checkpoints / "2.orbax-checkpoint-tmp").mkdir()
    assert Store(tmp_path).latest_step() == 1


def test_missing_checkpoints_are_named(tmp_path):
    with pytest.raises(UserError, match="no finished checkpoint"):
        Store(tmp_path / "empty").restore_params()
    with pytest.raises(UserError, match="no checkpoint of update 7; it has 1"):
        saved(tmp_path, [1]).restore_params(7)


def test_a_workdir_belongs_to_its_config(tmp_path):
    config = {"seed": 0, "data": {"path": "a", "sizes": (1, 2)}}
    claim_workdir(tmp_path, {"seed": 1}, {"digest": "x"})
    claim_workdir(tmp_path, config, {"digest": "x"})  # Nothing was trained yet: no one's.
    saved(tmp_path, [1])
    claim_workdir(tmp_path, config, {"digest": "x"})
    with pytest.raises(UserError, match="config.data.path was 'a', is 'b'"):
        claim_workdir(tmp_path, {**config, "data": {"path": "b", "sizes": (1, 2)}}, {"digest": "x"})
    with pytest.raises(UserError, match="facts.digest"):
        claim_workdir(tmp_path, config, {"digest": "y"})
    assert read_record(tmp_path)["facts"] == {"digest": "x"}


def test_a_folder_that_is_no_run_is_named(tmp_path):
    with pytest.raises(UserError, match="no working directory of a run"):
        read_record(tmp_path)


def test_looking_on_leaves_a_save_in_progress_alone(tmp_path):
    saved(tmp_path, [1])
    unfinished = tmp_path / "checkpoints" / "2.orbax-checkpoint-tmp"
    unfinished.mkdir()
    store = Store(tmp_path, read_only=True)
    np.testing.assert_array_equal(store.restore_params()["w"], state(1).params["w"])
    store.close()
    assert unfinished.exists()


def test_a_workdir_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Cannot write to workdir"):
        claim_workdir(tmp_path / "file", {}, {})


def test_a_full_disk_is_said_before_anything_is_written(tmp_path, monkeypatch):
    store = Store(tmp_path)
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UserError, match=r"disk is full: a checkpoint needs 1\.0 MB"):
        store.save(1, {"a": jnp.zeros(3)})
    store.close()
    assert not has_checkpoint(str(tmp_path))
