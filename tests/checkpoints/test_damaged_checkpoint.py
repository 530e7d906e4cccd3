"""Checkpoints, damaged in every simple way: never read, never in the way, never noisy."""

import contextlib
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import damage
from vpt_gen.checkpoints.checksum import not_finite
from vpt_gen.checkpoints.claim import claim_workdir
from vpt_gen.checkpoints.store import Store, read_record
from vpt_gen.errors import UserError
from vpt_gen.machine import sharding
from vpt_gen.machine.files import write_json
from vpt_gen.training.state import TrainState

DESCRIPTION, METRICS, ARRAYS = "_CHECKPOINT_METADATA", "metrics/metrics", "default/_METADATA"


def state(step, value=1.0):
    draw = np.random.default_rng(step).standard_normal((60, 50))
    params = {"w": jnp.float32(draw) * value}
    return TrainState(jnp.int32(step), params, {"m": jnp.zeros(3)})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Updates 1, 2 and 3; the second is the best."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    with contextlib.closing(Store(str(folder), keep=3, best_metric="loss")) as store:
        for step, loss in ((1, 3.0), (2, 1.0), (3, 2.0)):
            store.save(step, state(step), {"loss": loss})
    return folder


@pytest.fixture
def run(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "run")


def file(run, step, name):
    return run / "checkpoints" / str(step) / name


def resumed(run, **options):
    """The step that a run resumes from, the best step, and whether the next one is saved."""
    with contextlib.closing(Store(str(run), keep=3, **options)) as store:
        step = int(store.restore(state(0)).step)
        best = store.best_step()
        store.save(4, state(4), {"loss": 5.0})
    with contextlib.closing(Store(str(run), read_only=True)) as store:
        np.testing.assert_array_equal(store.restore_params()["w"], state(4).params["w"])
    return step, best


def opened(run, step=None):
    with contextlib.closing(Store(str(run), read_only=True)) as store:
        return store.restore_params(step)["w"]


@pytest.mark.parametrize("kind", ["empty", "cut", "a list"])
def test_damaged_metrics_are_no_metrics(run, kind, capfd):
    damage.apply(file(run, 2, METRICS), damage.JSON[kind])
    np.testing.assert_array_equal(opened(run, 2), state(2).params["w"])
    assert resumed(run, best_metric="loss") == (3, 3)
    said, noise = capfd.readouterr()
    assert "The metrics of update 2 are damaged (" in said and not noise


@pytest.mark.parametrize("kind", ["empty", "cut", "a list"])
@pytest.mark.parametrize("name", [DESCRIPTION, ARRAYS])
def test_a_damaged_description_is_named_and_the_one_before_is_read(run, name, kind, capfd):
    damage.apply(file(run, 3, name), damage.JSON[kind])
    capfd.readouterr()
    with pytest.raises(UserError) as error:
        opened(run)
    damage.assert_sentence(error, "of update 3 ", " is damaged (", "choose another with --step")
    assert capfd.readouterr() == ("", "")
    np.testing.assert_array_equal(opened(run, 2), state(2).params["w"])
    assert resumed(run, best_metric="loss") == (2, 2)
    said, noise = capfd.readouterr()
    assert "checkpoints/3 is damaged (" in said and not noise


def test_a_lost_description_is_no_proof(run):
    file(run, 3, DESCRIPTION).unlink()
    with pytest.raises(UserError, match="_CHECKPOINT_METADATA is missing"):
        opened(run)
    assert resumed(run)[0] == 2


def test_an_older_damaged_checkpoint_is_not_in_the_way(run, capfd):
    damage.apply(file(run, 1, DESCRIPTION), damage.JSON["a list"])
    assert resumed(run, best_metric="loss") == (3, 2)
    said, noise = capfd.readouterr()
    assert "checkpoints/1 is damaged (" in said and not noise


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["cut", "a bit"])
def test_whatever_file_is_damaged_no_other_state_is_read(whole, tmp_path, kind, capfd):
    for number, name in enumerate(damage.files_of(whole / "checkpoints" / "3")):
        run = shutil.copytree(whole, tmp_path / str(number))
        damage.apply(file(run, 3, name), {**damage.ANY, "a bit": damage.flip}[kind])
        with contextlib.suppress(UserError):
            np.testing.assert_array_equal(opened(run), state(3).params["w"])
        with contextlib.closing(Store(str(run), keep=3, best_metric="loss")) as store:
            found = store.restore(state(0))
        np.testing.assert_array_equal(found.params["w"], state(int(found.step)).params["w"])
        assert int(found.step) >= 2
        assert not capfd.readouterr().err


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_state_that_is_not_finite_is_neither_opened_nor_resumed(tmp_path, value, capsys):
    """As a version that did not check them saved it."""
    with contextlib.closing(Store(str(tmp_path), keep=2)) as store:
        store.save(1, state(1))
        store.save(2, state(2, value))
    with pytest.raises(UserError) as error:
        opened(tmp_path)
    damage.assert_sentence(error, "of update 2 ", "(params/w is not finite)")
    with contextlib.closing(Store(str(tmp_path), keep=2)) as store:
        assert int(store.restore(state(0)).step) == 1
    assert "checkpoints/2 is damaged (params/w is not finite)" in capsys.readouterr().out


def test_what_is_not_finite_is_found():
    tree = {"a": jnp.zeros(3), "b": {"c": jnp.array([1.0, jnp.nan])}, "d": jnp.array(7)}
    tree |= {"e": jnp.array([-jnp.inf], jnp.bfloat16), "f": np.array([True])}
    assert not_finite(tree) == ["b/c", "e"]


@pytest.mark.parametrize("count", [1, 8])
def test_finite_is_the_same_on_a_mesh(count):
    tree = {"mlp_in": {"kernel": jnp.zeros((16, 32)).at[15, 31].set(jnp.nan)}}
    placed = sharding.put(tree, sharding.make_mesh(jax.devices()[:count]))
    assert not_finite(placed) == ["mlp_in/kernel"]


@pytest.mark.parametrize("kind", damage.JSON)
def test_a_damaged_record_of_a_run_is_named(run, kind):
    write_json(run / "config.json", {"config": {"seed": 0}, "facts": {"digest": "x"}})
    claim_workdir(str(run), {"seed": 0}, {"digest": "x"})
    damage.apply(run / "config.json", damage.JSON[kind])
    for use in (
        lambda: read_record(str(run)),
        lambda: claim_workdir(str(run), {"seed": 0}, {"digest": "x"}),
    ):
        with pytest.raises(UserError) as error:
            use()
        damage.assert_sentence(error, f"{run}/config.json is damaged (", "restore it")
