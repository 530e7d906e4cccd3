"""Runs the cells of a study one after another, each step in its own process.

All state is in the cells' folders, so that a runner may be killed at any moment, and the next one
reads it. A cell's process outlives a runner that is killed with SIGKILL; it inherits the runner's
locks, so that no other runner works in its folder.
"""

import contextlib
import dataclasses
import datetime
import pathlib
import shutil
import signal
import statistics
import subprocess
import time
from collections.abc import Iterator

from ml_collections import ConfigDict

from vpt_gen.errors import UserError
from vpt_gen.evaluation import report
from vpt_gen.machine import lock
from vpt_gen.machine.progress import say
from vpt_gen.study import states
from vpt_gen.study.cells import Cell
from vpt_gen.study.choices import (
    NotYet,
    choose,
    num_steps,
    write_rate,
)
from vpt_gen.study.runs import (
    Choice,
    Runs,
    Step,
    distance_of,
)
from vpt_gen.study.states import Attempt

_TAIL = 2000  # bytes at the end of a log to search for its last line


class Stopped(SystemExit):
    """A signal stopped the runner; the exit code is 128 + the signal."""


class Runner:
    """Runs a list of cells until each is done or has failed once."""

    def __init__(self, study: ConfigDict, folder: pathlib.Path, runs: Runs):
        """Starts nothing yet.

        Args:
          study: the checked study.
          folder: of the study.
          runs: the commands.
        """
        self._study, self._folder, self._runs = study, folder, runs
        self._process: subprocess.Popen | None = None
        self._signal = 0

    def is_done(self, cell: Cell) -> bool:
        """Whether all results of a cell exist."""
        try:
            steps = list(self._steps(cell))
        except (NotYet, OSError):
            return False
        return all(states.is_complete(step.result) for step in steps)

    def state(self, cell: Cell) -> str:
        """Returns the state of a cell in a few words."""
        if self.is_done(cell):
            return "done"
        if failed := states.failure(self._folder / cell.path):
            return f"failed: {failed.message}"
        return "interrupted" if states.was_started(self._folder / cell.path) else "waiting"

    def run(self, cells: list[Cell], own_lock: int) -> dict[Cell, str]:
        """Runs all cells that are not done.

        Args:
          cells: in an order in which each comes after those that it needs.
          own_lock: descriptor of the runner's lock, which processes inherit.

        Returns:
          Cells that could not be done, and why.

        Raises:
          Stopped: after SIGINT or SIGTERM, when the process of the cell has saved and ended.
        """
        missing: dict[Cell, str] = {}
        clock = _Clock(cells, self._folder, [cell for cell in cells if self.is_done(cell)])
        with self._signals():
            for cell in clock.left():
                say(f"[{clock.place(cell)}] {cell}{clock.about()}")
                start = time.monotonic()
                try:
                    self._finish(cell, own_lock)
                except (NotYet, _FailedError) as error:
                    missing[cell] = str(error)
                    say(f"    failed: {error}")
                clock.ended(cell, time.monotonic() - start)
                if cell not in missing:
                    self._tell(cell, time.monotonic() - start)
        return missing

    def _finish(self, cell: Cell, own_lock: int) -> None:
        """Does the steps of a cell that are not done.

        Raises:
          NotYet: another cell must be done first.
          _FailedError: a step failed, or another runner works on the cell.
          Stopped: a signal stopped the runner.
        """
        with contextlib.ExitStack() as stack:
            folder = self._folder / cell.path
            try:
                cell_lock = stack.enter_context(lock.held(folder, "--shard", beside=True))
            except UserError as error:
                raise _FailedError(str(error)) from error
            for step in self._steps(cell):
                if not states.is_complete(step.result):
                    self._work(cell, step, (own_lock, cell_lock))

    def _tell(self, cell: Cell, seconds: float) -> None:
        """Prints how long a cell took and its distance."""
        record = states.read_done(list(self._steps(cell))[-1].result)
        name = distance_of(self._study)
        value = record.get("figures", {}).get(name, {}).get("value")
        near = f", {report.label(name)} {value:.3g}" if states.is_number(value) else ""
        say(f"    done in {seconds:.0f} s{near}")

    def _steps(self, cell: Cell) -> Iterator[Step]:
        if cell.kind == "calibration":
            return self._runs.steps(cell, Choice(0, 1.0))
        if cell.kind == "search":
            return self._runs.steps(
                cell, Choice(num_steps(self._study, self._folder, cell.group), cell.multiple)
            )
        return self._runs.steps(cell, choose(self._study, self._folder, cell.group))

    def _work(self, cell: Cell, step: Step, locks: tuple[int, ...]) -> None:
        """Runs a step to its end; its process inherits the locks.

        Raises:
          _FailedError: the step failed.
          Stopped: a signal stopped the runner.
        """
        folder = self._folder / cell.path
        if cell.kind == "calibration":  # An interrupted measurement is not used.
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        attempt = Attempt(str(step), _now())
        step.result.unlink(missing_ok=True)  # A damaged one would not be replaced.
        before = states.read_attempts(folder)
        states.write_attempts(folder, [*before, attempt])
        start = time.monotonic()
        code = self._run_process(step, folder / states.LOG, locks)
        if code == 0 and cell.kind == "calibration":
            write_rate(folder)
        message = "" if code in (0, *states.STOPPED) else _reason(folder / states.LOG, code)
        if code == 0 and not states.is_complete(step.result):
            code, message = 1, f"it ended without error but wrote no {step.result.name}"
        seconds = time.monotonic() - start
        attempt = dataclasses.replace(attempt, seconds=seconds, exit_code=code, message=message)
        states.write_attempts(folder, [*before, attempt])
        if self._signal:
            raise Stopped(128 + self._signal)
        if code:
            raise _FailedError(message or f"it was stopped by a signal (exit code {code})")

    def _run_process(self, step: Step, log: pathlib.Path, locks: tuple[int, ...]) -> int:
        if self._signal:
            raise Stopped(128 + self._signal)
        with log.open("ab") as output:
            output.write(f"$ {step}\n".encode())
            output.flush()
            self._process = subprocess.Popen(
                step.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=locks,
                # Ctrl-C at a terminal reaches a whole process group; only the runner passes it on.
                start_new_session=True,
            )
        try:
            return self._process.wait()
        finally:
            self._process = None

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Passes SIGINT and SIGTERM on as SIGTERM, on which a run saves and ends."""

        def note(number: int, unused_frame: object) -> None:
            process = self._process
            if self._signal and number == signal.SIGINT and process:
                process.kill()  # A second Ctrl-C.
                return
            self._signal = self._signal or number
            if process:
                say("Stopping: the cell saves its state; the same command resumes.")
                process.terminate()

        handled = (signal.SIGINT, signal.SIGTERM)
        previous = {number: signal.signal(number, note) for number in handled}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


class _FailedError(Exception):
    """A step failed."""


class _Clock:
    """Progress of a study, and an estimate of the remaining time."""

    def __init__(self, cells: list[Cell], folder: pathlib.Path, done: list[Cell]):
        self._cells = cells
        self._left = [cell for cell in cells if cell not in set(done)]
        self._seconds = {cell: states.seconds_spent(folder / cell.path) for cell in done}

    def left(self) -> list[Cell]:
        return list(self._left)

    def place(self, cell: Cell) -> str:
        return f"{self._cells.index(cell) + 1}/{len(self._cells)}"

    def ended(self, cell: Cell, seconds: float) -> None:
        self._left.remove(cell)
        self._seconds[cell] = seconds

    def about(self) -> str:
        """Estimates the remaining time from the most similar finished cells."""
        expected = [self._expected(cell) for cell in self._left]
        known = [seconds for seconds in expected if seconds is not None]
        if not known:
            return ""
        left = sum(known) / len(known) * len(expected)
        return f"; about {datetime.timedelta(seconds=round(left))} left for {len(expected)} cells"

    def _expected(self, cell: Cell) -> float | None:
        alike = {other: s for other, s in self._seconds.items() if other.kind == cell.kind}
        same = [s for other, s in alike.items() if other.variant == cell.variant]
        seconds = same or list(alike.values()) or list(self._seconds.values())
        return statistics.mean(seconds) if seconds else None


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _reason(log: pathlib.Path, code: int) -> str:
    """Returns the last line of a process's log, or the signal that killed it."""
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL))
        lines = file.read().decode(errors="replace").splitlines()
    said = [line.strip() for line in lines if line.strip()]
    return said[-1].removeprefix("error: ") if said else f"exit code {code}"
