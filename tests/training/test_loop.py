"""The loop, with the smallest task there is: resume, interrupt, devices, non-finite losses."""

import dataclasses
import json
import os
import signal

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vpt_gen.checkpoints.store import Store
from vpt_gen.errors import UserError
from vpt_gen.machine import sharding
from vpt_gen.training import loop
from vpt_gen.training.clock import training_seconds
from vpt_gen.training.signals import Interrupted
from vpt_gen.training.state import (
    Task,
    TrainState,
    apply_gradients,
)

pytestmark = pytest.mark.slow

BATCH = 8


def linear_task(blow_up_at=None):
    """Fits a line with noise from the step's key, so that a lost key would show."""
    optimizer = optax.adam(0.1)

    def init(key):
        params = {"w": jax.random.normal(key, (3,))}
        return TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params))

    def losses(params, frozen, batch):
        return (batch["x"] @ params["w"] + frozen["b"] - batch["y"]) ** 2

    def train_step(state, frozen, batch, key):
        noise = jax.random.normal(key, (3,))

        def objective(params):
            return losses(params, frozen, batch).mean() + 0.1 * noise @ params["w"]

        loss, gradients = jax.value_and_grad(objective)(state.params)
        if blow_up_at is not None:
            loss = jnp.where(state.step + 1 == blow_up_at, jnp.nan, loss)
        return apply_gradients(state, gradients, optimizer), {"loss": loss}

    def eval_step(params, frozen, batch, key):
        return {"loss": losses(params, frozen, batch)}

    def pictures(params, frozen, batch, key):
        return {"grey": jnp.full((2, 4, 4, 3), 0.5)}

    return Task(init, train_step, eval_step, pictures, {"b": jnp.float32(0.5)})


def batches(start_step):
    for step in range(start_step, 10**6):
        generator = np.random.default_rng(step)
        x = generator.standard_normal((BATCH, 3)).astype(np.float32)
        yield {"x": x, "y": x.sum(axis=1)}


def evaluation():
    """Two batches; of the second only three rows count."""
    generator = np.random.default_rng(7)
    x = generator.standard_normal((2, BATCH, 3)).astype(np.float32)
    yield {"x": x[0], "y": x[0].sum(axis=1), "valid": np.ones(BATCH, bool)}
    yield {"x": x[1], "y": x[1].sum(axis=1), "valid": np.arange(BATCH) < 3}


def options(num_steps=12, **changes):
    values = {
        "num_steps": num_steps,
        "seed": 3,
        "log_every": 4,
        "eval_every": 0,
        "checkpoint_every": 5,
        "keep_checkpoints": 1,
        "best_metric": "",
    }
    return loop.LoopOptions(**{**values, **changes})


def run(
    workdir,
    task=None,
    eval_batches=None,
    devices=None,
    train=batches,
    measurement=None,
    **changes,
):
    mesh = sharding.make_mesh(devices)
    task = task or linear_task()
    return loop.train(
        task, options(**changes), str(workdir), train, eval_batches, mesh, measurement
    )


def test_resume_gives_the_uninterrupted_result(tmp_path):
    whole = run(tmp_path / "whole")
    run(tmp_path / "parts", num_steps=7)
    parts = run(tmp_path / "parts")
    chex.assert_trees_all_equal(whole, parts)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_saves_and_the_same_command_goes_on(tmp_path, number):
    def interrupted(start_step):
        for step, batch in enumerate(batches(start_step), start_step):
            if step == 6:
                os.kill(os.getpid(), number)
            yield batch

    with pytest.raises(Interrupted) as stopped:
        run(tmp_path / "run", train=interrupted)
    assert stopped.value.code == 128 + number
    assert Store(tmp_path / "run").latest_step() == 7
    chex.assert_trees_all_equal(run(tmp_path / "run"), run(tmp_path / "whole"))


def test_a_crash_goes_on_from_the_last_checkpoint(tmp_path):
    def crashing(start_step):
        for step, batch in enumerate(batches(start_step), start_step):
            if step == 8:
                raise RuntimeError("power cut")
            yield batch

    with pytest.raises(RuntimeError):
        run(tmp_path / "run", train=crashing)
    chex.assert_trees_all_equal(run(tmp_path / "run"), run(tmp_path / "whole"))


def test_a_non_finite_loss_names_its_step_and_is_not_saved(tmp_path):
    with pytest.raises(UserError, match="update 7;"):
        run(tmp_path, linear_task(blow_up_at=7))
    assert Store(tmp_path).latest_step() == 5


@pytest.mark.parametrize("count", [1, 8])
def test_a_state_that_the_last_update_broke_is_not_saved(tmp_path, count):
    """Its loss is still finite: no loss has seen the parameters."""
    task = linear_task()

    def train_step(state, frozen, batch, key):
        state, metrics = task.train_step(state, frozen, batch, key)
        scale = jnp.where(state.step == 12, jnp.inf, 1.0)
        return state.replace(params={"w": state.params["w"] * scale}), metrics

    broken = dataclasses.replace(task, train_step=train_step)
    with pytest.raises(UserError, match=r"params/w is not finite after update 12;") as error:
        run(tmp_path, broken, devices=jax.devices()[:count])
    assert error.value.exit_code == 3
    assert Store(tmp_path).latest_step() == 10


def test_damaged_statistics_do_not_stop_a_run(tmp_path, capsys):
    run(tmp_path, num_steps=5)
    (tmp_path / "seconds.json").write_text("12.")
    run(tmp_path)
    assert "seconds.json is damaged (" in capsys.readouterr().out
    assert training_seconds(tmp_path) > 0


def test_eight_devices_agree_with_one(tmp_path):
    assert jax.device_count() == 8
    one = run(tmp_path / "one", devices=jax.devices()[:1])
    eight = run(tmp_path / "eight")
    chex.assert_trees_all_close(one.params, eight.params, rtol=1e-5)


def test_a_run_resumes_on_another_number_of_devices(tmp_path):
    run(tmp_path, num_steps=5, devices=jax.devices()[:2])
    resumed = run(tmp_path, devices=jax.devices()[:4])
    chex.assert_trees_all_close(resumed.params, run(tmp_path / "whole").params, rtol=1e-5)


def test_evaluation_averages_over_examples_and_keeps_the_best(tmp_path):
    run(tmp_path, eval_batches=evaluation, eval_every=3, best_metric="loss")
    rows = {k: np.concatenate([b[k][b["valid"]] for b in evaluation()]) for k in ("x", "y")}
    task = linear_task()
    kept = sorted(int(p.name) for p in (tmp_path / "checkpoints").iterdir() if p.name.isdigit())
    assert kept[-1] == 12
    assert len(kept) <= 2
    for step in kept:
        metrics = json.loads(
            next((tmp_path / "checkpoints" / str(step)).rglob("metrics/metrics")).read_text()
        )
        expected = task.eval_step(Store(tmp_path).restore_params(step), task.frozen, rows, None)
        np.testing.assert_allclose(metrics["loss"], expected["loss"].mean(), rtol=1e-5)
    assert (tmp_path / "pictures" / "grey_0000012.png").is_file()


@pytest.mark.parametrize(("higher", "best"), [(True, 6), (False, 4)])
def test_the_best_figure_is_kept_in_its_own_direction(tmp_path, higher, best, capsys):
    """Five measurements at 2, 4, ..., 10; the figure is missing from one."""
    values = iter([{"score": 2.0}, {"score": 1.0}, {"score": 5.0}, {}, {"score": 3.0}])
    measured = []

    def measure(params):
        measured.append(jax.device_get(params))  # The loop gives its memory away.
        return next(values)

    measurement = loop.Measurement(2, measure, frozenset(["score"] if higher else []))
    run(tmp_path, num_steps=6, measurement=measurement, best_metric="score")
    run(tmp_path, num_steps=10, measurement=measurement, best_metric="score")
    kept = {int(p.name) for p in (tmp_path / "checkpoints").iterdir() if p.name.isdigit()}
    assert kept == {best, 10}
    assert f"Update {best} has the best score (--step={best})." in capsys.readouterr().out
    chex.assert_trees_all_equal(Store(tmp_path).restore_params(best), measured[best // 2 - 1])


def test_without_evaluation_data_pictures_are_still_drawn(tmp_path):
    run(tmp_path, eval_every=6)
    assert (tmp_path / "pictures" / "grey_0000006.png").is_file()


def test_training_seconds_add_up_over_interruptions(tmp_path):
    run(tmp_path, num_steps=5)
    first = training_seconds(tmp_path)
    run(tmp_path)
    assert training_seconds(tmp_path) > first > 0
