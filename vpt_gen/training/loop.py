"""The one training loop. It knows no task: a task hands in pure functions (`state.Task`)."""

import contextlib
import dataclasses
import json
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping

import jax
import numpy as np
from clu import metric_writers
from clu import metrics as clu_metrics
from etils import epath
from jax.sharding import Mesh

from vpt_gen import sharding
from vpt_gen.checkpoints.store import Store
from vpt_gen.errors import UserError
from vpt_gen.evaluation import grids
from vpt_gen.files import write_text
from vpt_gen.progress import say, track
from vpt_gen.training.state import Params, Task, TrainState


@dataclasses.dataclass(frozen=True)
class LoopOptions:
    """How long to train and how often to do what, in updates; 0 means never.

    Attributes:
      num_steps: updates in all.
      seed: of parameters, training and evaluation.
      log_every: write metrics and look for a non-finite loss.
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
    """Figures that no loss tells, such as distances of generated images from real ones.

    Attributes:
      every: updates between two; the state after the last update is measured, too.
      measure: parameters -> {name: value}; where a figure cannot be taken, it is missing.
      higher_is_better: names of the figures that are; of the others the lowest is the best.
    """

    every: int
    measure: Callable[[Params], Mapping[str, float]]
    higher_is_better: frozenset[str] = frozenset()


class Interrupted(SystemExit):
    """The run was asked to stop, and its state is saved; the exit code is 128 + the signal."""


def train(
    task: Task,
    options: LoopOptions,
    workdir: str,
    train_batches: Callable[[int], Iterator[Mapping[str, np.ndarray]]],
    eval_batches: Callable[[], Iterator[Mapping[str, np.ndarray]]] | None,
    mesh: Mesh,
    measurement: Measurement | None = None,
) -> TrainState:
    """Trains to `options.num_steps`, going on from the newest checkpoint in `workdir`.

    Args:
      task: what to train.
      options: see `LoopOptions`.
      workdir: checkpoints, TensorBoard events and pictures go here.
      train_batches: start step -> this process's batches from that update on.
      eval_batches: -> one pass over the evaluation data; None where there is none.
      mesh: devices.
      measurement: what else to measure now and then.

    Raises:
      UserError: a loss that is not finite; names the step.
      Interrupted: after SIGINT or SIGTERM, once the state is saved.
    """
    _, train_key, eval_key = _keys(options.seed)
    state = initial_state(task, options.seed, mesh)
    frozen = jax.device_put(task.frozen, sharding.replicated(mesh))
    with contextlib.ExitStack() as stack:
        store = Store(
            workdir,
            options.keep_checkpoints,
            options.best_metric or None,
            higher_is_better=measurement is not None
            and options.best_metric in measurement.higher_is_better,
        )
        stack.callback(store.close)
        if store.latest_step() is not None:
            state = store.restore(state)
            say(f"Going on from update {int(state.step)} of {workdir}.")
        start = int(state.step)
        writer = metric_writers.AsyncWriter(metric_writers.SummaryWriter(workdir))
        stack.callback(writer.close)
        train_step = jax.jit(task.train_step, donate_argnums=0)
        evaluate = _Evaluation(task, frozen, eval_batches, mesh, eval_key, workdir)
        batches = train_batches(start)
        clock = _Clock(workdir)
        log = _MetricLog(writer)
        stop = stack.enter_context(_StopSignal())
        bar = track(total=options.num_steps, initial=start, label="training")
        stack.callback(bar.close)
        for step in range(start + 1, options.num_steps + 1):
            batch = sharding.to_global(next(batches), mesh)
            state, metrics = train_step(state, frozen, batch, jax.random.fold_in(train_key, step))
            log.add(step, metrics)
            bar.update()
            stopping = stop.signal
            last = step == options.num_steps
            if _due(step, options.log_every) or last or stopping:
                bar.set_postfix_str(log.flush())
            eval_metrics: dict[str, float] = {}
            if options.eval_every and (_due(step, options.eval_every) or last):
                log.flush()
                eval_metrics |= evaluate(step, state, batch, writer)
            if measurement and (_due(step, measurement.every) or last):
                log.flush()
                figures = dict(measurement.measure(state.params))
                writer.write_scalars(step, {f"figures/{name}": x for name, x in figures.items()})
                eval_metrics |= figures
            stopping = stop.signal
            best_candidate = options.best_metric in eval_metrics
            if _due(step, options.checkpoint_every) or last or stopping or best_candidate:
                log.flush()  # A state behind a non-finite loss must not be saved.
                store.save(step, state, eval_metrics)
                clock.save()
            if stopping:
                say(f"Stopping at update {step}; the same command goes on from there.")
                raise Interrupted(128 + stopping)
    return state


def _keys(seed: int) -> jax.Array:
    """The keys of initialisation, training and evaluation."""
    return jax.random.split(jax.random.key(seed), 3)


def initial_state(task: Task, seed: int, mesh: Mesh) -> TrainState:
    """The state before the first update."""
    init = jax.jit(task.init, out_shardings=sharding.replicated(mesh))
    return init(_keys(seed)[0])


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


class _Clock:
    """Seconds spent in the loop, over all of a run's interruptions, kept in `seconds.json`."""

    def __init__(self, workdir: str):
        self._path = epath.Path(workdir) / "seconds.json"
        self._before = json.loads(self._path.read_text()) if self._path.exists() else 0.0
        self._start = time.monotonic()

    def seconds(self) -> float:
        return self._before + time.monotonic() - self._start

    def save(self) -> None:
        write_text(self._path, json.dumps(self.seconds()))


def training_seconds(workdir: str) -> float:
    """Seconds that the run in `workdir` has spent training, compilation included."""
    return json.loads((epath.Path(workdir) / "seconds.json").read_text())


class _StopSignal:
    """Notes SIGINT and SIGTERM, so that the loop can stop between two updates."""

    def __init__(self):
        self.signal = 0

    def __enter__(self):
        self._previous = {
            number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def __exit__(self, *unused):
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number, unused_frame):
        if self.signal:  # Asked twice: stop at once.
            raise KeyboardInterrupt
        self.signal = number


class _MetricLog:
    """Collects the metrics of updates on the device and writes their means now and then."""

    def __init__(self, writer: metric_writers.MetricWriter):
        self._writer = writer
        self._pending: list[tuple[int, Mapping[str, jax.Array]]] = []

    def add(self, step: int, metrics: Mapping[str, jax.Array]) -> None:
        self._pending.append((step, metrics))

    def flush(self) -> str:
        """Writes the means since the last flush; returns the loss for the progress bar."""
        if not self._pending:
            return ""
        steps = [step for step, _ in self._pending]
        values = jax.device_get([metrics for _, metrics in self._pending])
        self._pending = []
        for step, metrics in zip(steps, values, strict=True):
            bad = [name for name, value in metrics.items() if not math.isfinite(value)]
            if bad:
                raise UserError(
                    f"The {bad[0]} is {metrics[bad[0]]} at update {step}; the run stops, and its "
                    "last checkpoint is kept. Lower optimizer.learning_rate or set "
                    "optimizer.clip_norm."
                )
        means = {name: float(np.mean([v[name] for v in values])) for name in values[0]}
        self._writer.write_scalars(
            steps[-1], {f"train/{name}": value for name, value in means.items()}
        )
        return f"loss {means['loss']:.4f}"


class _Evaluation:
    """One pass over the evaluation data, and the task's pictures."""

    def __init__(self, task, frozen, eval_batches, mesh, key, workdir):
        self._eval_step = jax.jit(task.eval_step)
        self._pictures = jax.jit(task.pictures)
        self._frozen, self._batches, self._mesh, self._key = frozen, eval_batches, mesh, key
        self._folder = epath.Path(workdir) / "pictures"

    def __call__(self, step: int, state: TrainState, batch, writer) -> dict[str, float]:
        """Writes the metrics and pictures of `state`.

        Args:
          step: updates done.
          state: to evaluate.
          batch: of training, for pictures where there is no evaluation data.
          writer: of metrics.

        Returns:
          The mean of every metric over the examples; nothing where there are none.
        """
        metrics = {}
        if self._batches is not None:
            metrics, batch = self._average(state.params)
            writer.write_scalars(step, {f"eval/{name}": value for name, value in metrics.items()})
        for name, images in self._pictures(state.params, self._frozen, batch, self._key).items():
            grid = grids.image_grid(grids.magnify(np.asarray(images)))
            grids.save_png(self._folder / f"{name}_{step:07d}.png", grid)
            writer.write_images(step, {name: grid[None]})
        return metrics

    def _average(self, params) -> tuple[dict[str, float], Mapping[str, jax.Array]]:
        """The metrics of one pass, and its first batch."""
        averages: dict[str, clu_metrics.Average] = {}
        first = None
        for number, rows in enumerate(self._batches()):
            batch, valid = _fill(rows, self._mesh.size)
            batch = sharding.to_global(batch, self._mesh)
            first = first or batch
            key = jax.random.fold_in(self._key, number)
            for name, values in self._eval_step(params, self._frozen, batch, key).items():
                mean = clu_metrics.Average.from_model_output(values=values, mask=valid)
                averages[name] = averages[name].merge(mean) if name in averages else mean
        return {name: float(average.compute()) for name, average in averages.items()}, first


def _fill(rows: Mapping[str, np.ndarray], multiple: int):
    """Repeats the last row until the devices divide the batch; also which rows are real."""
    n = len(next(iter(rows.values())))
    extra = -n % multiple
    filled = {k: np.concatenate([v, np.repeat(v[-1:], extra, axis=0)]) for k, v in rows.items()}
    return filled, np.arange(n + extra) < n
