"""The store: what is kept, and what is read of it."""

import contextlib
import json
import shutil

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vpt_gen.checkpoints.store import (
    Store,
    finished_steps,
    read_record,
)
from vpt_gen.errors import UserError
from vpt_gen.machine import sharding
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
    assert Store(tmp_path / "empty").restore(state(0)) is None
    np.testing.assert_array_equal(store.restore_params()["w"], state(3).params["w"])


def test_the_newest_are_kept(tmp_path):
    assert saved(tmp_path, [1, 2, 3, 4], keep=2)._manager.all_steps() == [3, 4]


@pytest.mark.parametrize(
    ("older", "now"),
    [("intra_lpips", "intra_class_lpips"), ("memorisation_rate", "memorization_rate")],
)
def test_the_best_of_an_older_run_is_known_by_the_metrics_name_of_today(tmp_path, older, now):
    with contextlib.closing(Store(tmp_path, best_metric=older)) as store:
        for step, value in ((1, 0.3), (2, 0.5)):
            store.save(step, state(step), {older: value})
    with contextlib.closing(Store(tmp_path, best_metric=now)) as store:
        assert store.best_step() == 1
        store.save(3, state(3), {older: 0.1, now: 0.2})
    with contextlib.closing(Store(tmp_path, best_metric=now, read_only=True)) as store:
        assert store.best_step() == 3


def test_a_relative_workdir_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert saved("run", [1]).latest_step() == 1


def test_an_unfinished_checkpoint_is_never_picked_up(tmp_path):
    saved(tmp_path, [1])
    checkpoints = tmp_path / "checkpoints"
    (checkpoints / "2.orbax-checkpoint-tmp").mkdir()
    assert Store(tmp_path).latest_step() == 1


def largest_file(folder):
    return max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


def flip_a_bit(folder):
    path = largest_file(folder)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut_off(folder):
    path = largest_file(folder)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def lose_a_file(folder):
    (folder / "default" / "_METADATA").unlink()


def change_a_number(folder):
    """What was written is well formed, and not what was saved."""
    metadata = folder / "_CHECKPOINT_METADATA"
    record = json.loads(metadata.read_text())
    record["custom_metadata"]["checksums"]["params/w"] += 1
    metadata.write_text(json.dumps(record))


@pytest.mark.slow
@pytest.mark.parametrize("damage", [flip_a_bit, cut_off, lose_a_file, change_a_number])
def test_a_damaged_checkpoint_is_moved_aside_for_the_one_before(tmp_path, damage, capsys):
    def big(step):
        noise = jax.random.normal(jax.random.key(step), (300, 100))
        return TrainState(jnp.int32(step), {"w": noise}, {})

    store = Store(tmp_path, keep=2)
    for step in (1, 2):
        store.save(step, big(step))
    store.close()
    damage(tmp_path / "checkpoints" / "2")
    with pytest.raises(UserError, match=r"update 2 .* is damaged .* it has those of 1, 2"):
        Store(tmp_path, read_only=True).restore_params()
    store = Store(tmp_path, keep=2)
    chex.assert_trees_all_equal(store.restore(big(0)), big(1))
    assert "checkpoints/2 is damaged (" in capsys.readouterr().out
    # The run comes to that step again.
    store.save(2, big(2))
    store.close()
    chex.assert_trees_all_equal(Store(tmp_path).restore(big(0)), big(2))


def test_parameters_are_read_without_the_state_of_the_optimizer(tmp_path):
    params = {"w": np.arange(4, dtype=np.float32), "deep": {"b": np.ones((2, 3), np.float16)}}
    moments = {"m": jax.random.normal(jax.random.key(0), (300, 100))}
    store = Store(tmp_path)
    store.save(1, TrainState(jnp.int32(1), params, moments))
    store.close()
    flip_a_bit(tmp_path / "checkpoints" / "1")  # Of the moments: they are the bulk of it.
    with pytest.raises(UserError, match="is damaged"):
        Store(tmp_path).restore(TrainState(jnp.int32(0), params, moments))
    found = Store(tmp_path, read_only=True).restore_params()
    chex.assert_trees_all_equal(found, params)
    assert all(type(x) is np.ndarray for x in jax.tree.leaves(found))


def test_where_all_are_damaged_nothing_is_begun_anew(tmp_path):
    saved(tmp_path, [1])
    cut_off(tmp_path / "checkpoints" / "1")
    with pytest.raises(UserError, match=r"of update 1, is damaged .* no earlier one is intact"):
        Store(tmp_path).restore(state(0))
    assert (tmp_path / "checkpoints" / "1").is_dir()


@pytest.mark.slow
def test_training_goes_on_while_a_checkpoint_is_written(tmp_path):
    """What was saved is the state of then, though its memory was used again at once."""
    update = jax.jit(lambda s: jax.tree.map(lambda x: x + 1, s), donate_argnums=0)
    large = TrainState(jnp.int32(0), {"w": jnp.zeros(3_000_000)}, {})
    store, writing = Store(tmp_path), []
    for step in range(3):
        store.save(step, large)
        writing.append(store._manager.is_saving_in_progress())
        for _ in range(10):
            large = update(large)
    store.close()
    assert any(writing)
    restored = Store(tmp_path).restore(large)
    np.testing.assert_array_equal(restored.params["w"], np.full(3_000_000, 20.0))


def test_a_state_is_restored_onto_any_mesh(tmp_path):
    params = {"mlp_in": {"kernel": np.arange(64.0, dtype=np.float32).reshape(8, 8)}}
    store = Store(tmp_path)
    store.save(1, sharding.put(params, sharding.make_mesh(shape=(1, 4, 2))))
    store.close()
    for shape in ((8, 1, 1), (2, 2, 2), (1, 1, 8)):
        like = sharding.put(params, sharding.make_mesh(shape=shape))
        restored = Store(tmp_path).restore(like)
        chex.assert_trees_all_equal(restored, params)
        kernels = restored["mlp_in"]["kernel"], like["mlp_in"]["kernel"]
        assert kernels[0].sharding == kernels[1].sharding


def test_missing_checkpoints_are_named(tmp_path):
    with pytest.raises(UserError, match="no finished checkpoint"):
        Store(tmp_path / "empty").restore_params()
    with pytest.raises(UserError, match="no checkpoint of update 7; it has 1"):
        saved(tmp_path, [1]).restore_params(7)


def test_a_folder_that_is_no_run_is_named(tmp_path):
    with pytest.raises(UserError, match="not the working directory of a run"):
        read_record(tmp_path)


def test_looking_on_leaves_a_save_in_progress_alone(tmp_path):
    saved(tmp_path, [1])
    unfinished = tmp_path / "checkpoints" / "2.orbax-checkpoint-tmp"
    unfinished.mkdir()
    store = Store(tmp_path, read_only=True)
    np.testing.assert_array_equal(store.restore_params()["w"], state(1).params["w"])
    store.close()
    assert unfinished.exists()


def test_a_full_disk_is_said_before_anything_is_written(tmp_path, monkeypatch):
    store = Store(tmp_path)
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UserError, match=r"disk is full: a checkpoint needs 1\.0 MB"):
        store.save(1, {"a": jnp.zeros(3)})
    store.close()
    assert not finished_steps(str(tmp_path))
