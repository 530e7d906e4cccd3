"""The state of a cell from its folder: whether it is done, its attempts, and its results."""

import dataclasses
import json
import math
import pathlib
from typing import Any

from vpt_gen.errors import DivergedError
from vpt_gen.machine.files import write_json

ATTEMPTS, LOG = "attempts.json", "log.txt"
# Exit codes of a run that a signal stopped: 128 + SIGINT, 128 + SIGTERM.
STOPPED = (130, 143)


@dataclasses.dataclass(frozen=True)
class Attempt:
    """One process that ran a cell.

    Attributes:
      command: for a shell.
      started: time, ISO 8601.
      seconds: of its run; 0 while it runs, and if its end is unknown.
      exit_code: None in these cases; negative for the signal that killed it.
      message: its last line, if it failed.
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
        """Whether another attempt would end the same way."""
        return self.exit_code == DivergedError.exit_code


def read_attempts(folder: pathlib.Path) -> list[Attempt]:
    """Reads all attempts at the cell in `folder`, in order."""
    return [Attempt(**fields) for fields in read_json(folder / ATTEMPTS) or []]


def write_attempts(folder: pathlib.Path, attempts: list[Attempt]) -> None:
    """Writes the attempts at the cell in `folder`."""
    write_json(folder / ATTEMPTS, [dataclasses.asdict(a) for a in attempts])


def read_json(path: pathlib.Path) -> Any | None:
    """Reads a file that is written atomically; None if it does not exist."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def read_done(path: pathlib.Path) -> dict[str, Any]:
    """Reads the record of a finished step."""
    return json.loads(path.read_text())


def is_number(figure: float | None) -> bool:
    """Whether a figure can be compared: a run that collapsed has None or NaN."""
    return figure is not None and math.isfinite(figure)


def is_complete(result: pathlib.Path) -> bool:
    """Whether a step's result exists: a record of figures, or the rate of updates."""
    record = read_json(result)
    return isinstance(record, dict) and bool(record.keys() & {"figures", "seconds_per_update"})


def failure(folder: pathlib.Path) -> Attempt | None:
    """Returns the last attempt at an unfinished cell, if it failed."""
    attempts = read_attempts(folder)
    return attempts[-1] if attempts and attempts[-1].failed else None


def was_started(folder: pathlib.Path) -> bool:
    """Whether a process has run the cell in `folder`."""
    return bool(read_attempts(folder))


def seconds_spent(folder: pathlib.Path) -> float:
    """Returns the seconds of all attempts with a known end."""
    return sum(attempt.seconds for attempt in read_attempts(folder))
