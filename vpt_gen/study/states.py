"""What a cell's folder tells: whether it is done, what was tried, and what it found."""

import dataclasses
import json
import math
import pathlib
from typing import Any

from vpt_gen.errors import DivergedError
from vpt_gen.machine.files import write_text

ATTEMPTS, LOG = "attempts.json", "log.txt"
# Exit codes of a run that was asked to stop: 128 + SIGINT, 128 + SIGTERM.
STOPPED = (130, 143)


@dataclasses.dataclass(frozen=True)
class Attempt:
    """One process that worked at a cell.

    Attributes:
      command: for a shell.
      started: time, ISO 8601.
      seconds: that it took; 0 while it runs, and where nobody saw its end.
      exit_code: None likewise; negative is the signal that killed it.
      message: the last line that it said, where it failed.
    """

    command: str
    started: str
    seconds: float = 0.0
    exit_code: int | None = None
    message: str = ""

    @property
    def failed(self) -> bool:
        return self.exit_code not in (None, 0, *STOPPED)

    @property
    def diverged(self) -> bool:
        """Whether it would end likewise if it were tried again."""
        return self.exit_code == DivergedError.exit_code


def read_attempts(folder: pathlib.Path) -> list[Attempt]:
    """All attempts at the cell in `folder`, in order."""
    return [Attempt(**fields) for fields in read_json(folder / ATTEMPTS) or []]


def write_attempts(folder: pathlib.Path, attempts: list[Attempt]) -> None:
    """Writes down what was tried for the cell in `folder`."""
    write_text(folder / ATTEMPTS, json.dumps([dataclasses.asdict(a) for a in attempts], indent=1))


def read_json(path: pathlib.Path) -> Any | None:
    """The content of a file that is there whole or not at all; None where it is not."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def read_done(path: pathlib.Path) -> dict[str, Any]:
    """The record that a step has left; the step is done."""
    return json.loads(path.read_text())


def is_number(figure: float | None) -> bool:
    """Whether a figure can be compared: a run that collapsed has None or NaN."""
    return figure is not None and math.isfinite(figure)


def is_complete(result: pathlib.Path) -> bool:
    """Whether a step's result is there: a record of figures, or the rate of updates."""
    record = read_json(result)
    return isinstance(record, dict) and bool(record.keys() & {"figures", "seconds_per_update"})


def failure(folder: pathlib.Path) -> Attempt | None:
    """The last attempt at a cell that is not done, where it failed."""
    attempts = read_attempts(folder)
    return attempts[-1] if attempts and attempts[-1].failed else None


def was_started(folder: pathlib.Path) -> bool:
    """Whether a process has worked at the cell in `folder`."""
    return bool(read_attempts(folder))


def seconds_spent(folder: pathlib.Path) -> float:
    """By all attempts whose end was seen."""
    return sum(attempt.seconds for attempt in read_attempts(folder))
