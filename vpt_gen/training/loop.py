"""The training loop, the same for all tasks: a task passes pure functions (`state.Task`)."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import jax
import numpy as np
from jax.sharding import Mesh

from vpt_gen.checkpoints.checksum import not_finite
from vpt_gen.checkpoints.store import Store
from vpt_gen.errors import DivergedError
from vpt_gen.machine import distributed, sharding
from vpt_gen.machine.light_tensorflow import without_keras
from vpt_gen.machine.progress import say, track
from vpt_gen.training.clock import Clock
from vpt_gen.training.evaluation import Evaluation
from vpt_gen.training.metric_log import MetricLog
from vpt_gen.training.signals import (
    Interrupted,
    StopSignal,
    largest,
)
from vpt_gen.training.state import (
    Params,
    Task,
    TrainState,
    initial_state,
    keys,
)

if TYPE_CHECKING:
    from clu import metric_writers


@dataclasses.dataclass(frozen=True)
class LoopOptions:
    """How long to train and how often to do what, in updates; 0 means never.

    Attributes:
      num_steps: total updates.
      seed: of parameters, training and evaluation.
      log_every: write metrics and check for a non-finite loss.
      eval_every: evaluate and draw pictures (also after the last update).
      checkpoint_every: save (also after the last update and on an interrupt).
      keep_checkpoints: newest checkpoints to keep.
      best_metric: evaluation metric (lower is better) or figure of the `Measurement` whose best
        checkpoint is kept too; '' for none.
    """

    num_steps: int
    seed: int
    log_every: int
    eval_every: int
    checkpoint_every: int
    keep_checkpoints: int
    best_metric: str


@dataclasses.dataclass(frozen=True)
class Measurement:
    """Figures that the loss does not capture, such as distances of generated from real images.

    Attributes:
      every: updates between two; the state after the last update is measured too.
      measure: parameters -> {name: value}; a figure that cannot be computed is missing.
      higher_is_better: names of the figures of which the highest is the best.
    """

    every: int
    measure: Callable[[Params], Mapping[str, float]]
    higher_is_better: frozenset[str] = frozenset()


def train(
    task: Task,
    options: LoopOptions,
    workdir: str,
    train_batches: Callable[[int], Iterator[Mapping[str, np.ndarray]]],
    eval_batches: Callable[[], Iterator[Mapping[str, np.ndarray]]] | None,
    mesh: Mesh,
    measurement: Measurement | None = None,
) -> TrainState:
    """Trains to `options.num_steps`, resuming from the newest checkpoint in `workdir`.

    Args:
      task: what to train.
      options: see `LoopOptions`.
      workdir: checkpoints, TensorBoard events and pictures go here.
      train_batches: start step -> this process's batches from that update on.
      eval_batches: -> this process's batches of one pass over the evaluation data, with `valid`
        bool (B,), False for padding; None if there is no such data.
      mesh: devices.
      measurement: further figures to measure.

    Raises:
      UserError: a loss or a state that is not finite; names the step. It is not saved.
      Interrupted: after SIGINT or SIGTERM, when the state is saved.
    """
    _, train_key, eval_key = keys(options.seed)
    state = initial_state(task, options.seed, mesh)
    frozen = sharding.put(task.frozen, mesh)
    with contextlib.ExitStack() as stack:
        store = Store(
            workdir,
            options.keep_checkpoints,
            options.best_metric or None,
            higher_is_better=measurement is not None
            and options.best_metric in measurement.higher_is_better,
        )
        stack.callback(store.close)
        if (restored := store.restore(state)) is not None:
            state = restored
            say(f"Resuming from update {int(state.step)} of {workdir}.")
        start = int(state.step)
        writer = _open_writer(workdir)
        stack.callback(writer.close)
        update = _compiled_update(task, state, mesh)
        evaluate = Evaluation(task, frozen, eval_batches, mesh, eval_key, workdir)
        batches = train_batches(start)
        clock = Clock(workdir)
        log = MetricLog(writer)
        stop = stack.enter_context(StopSignal(mesh))
        bar = track(total=options.num_steps, initial=start, label="training")
        stack.callback(bar.close)
        for step in range(start + 1, options.num_steps + 1):
            batch = sharding.to_global(next(batches), mesh)
            key = jax.random.fold_in(train_key, step)
            with sharding.use(mesh):
                state, metrics, asked = update(state, frozen, batch, key, stop.hand_in())
            log.add(step, metrics)
            bar.update()
            last = step == options.num_steps
            if _due(step, options.log_every) or last:
                bar.set_postfix_str(log.flush())
            eval_metrics: dict[str, float] = {}
            if options.eval_every and (_due(step, options.eval_every) or last):
                _settle(log, step, state)
                eval_metrics |= evaluate(step, state.params, batch, writer)
            if measurement and (_due(step, measurement.every) or last):
                _settle(log, step, state)
                figures = dict(measurement.measure(state.params))
                writer.write_scalars(step, {f"figures/{name}": x for name, x in figures.items()})
                eval_metrics |= figures
            stopping = stop.asked(asked)
            best_candidate = options.best_metric in eval_metrics
            if _due(step, options.checkpoint_every) or last or stopping or best_candidate:
                _settle(log, step, state)
                store.save(step, state, eval_metrics)
                clock.save()
            if stopping:
                say(f"Stopping at update {step}; the same command resumes from there.")
                raise Interrupted(128 + stopping)
        if (best := store.best_step()) is not None:
            say(f"Update {best} has the best {options.best_metric} (--step={best}).")
    return state


def _settle(log: MetricLog, step: int, state: TrainState) -> None:
    """Raises DivergedError if the run has diverged, before its state is used or saved.

    The losses alone do not tell: the last update may break parameters that no loss has seen.
    """
    log.flush()
    if bad := not_finite(state):
        raise DivergedError(
            f"{bad[0]} is not finite after update {step}; the run stops, and its last checkpoint "
            "is kept. Lower optimizer.learning_rate or set optimizer.clip_norm."
        )


def _compiled_update(task: Task, state: TrainState, mesh: Mesh):
    """Compiles an update that also returns the largest of all processes' signals (`signals.py`)."""

    def update(state, frozen, batch, key, signals):
        state, metrics = task.train_step(state, frozen, batch, key)
        return state, metrics, largest(signals)

    whole = sharding.replicated(mesh)
    return jax.jit(
        update, donate_argnums=0, out_shardings=(sharding.shardings(state, mesh), whole, whole)
    )


def _open_writer(workdir: str) -> metric_writers.MetricWriter:
    with without_keras():
        from clu import metric_writers  # Takes seconds to import, as it imports TensorFlow.

    if not distributed.is_first():
        return metric_writers.MultiWriter(())
    return metric_writers.AsyncWriter(metric_writers.SummaryWriter(workdir))


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0
