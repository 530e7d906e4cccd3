"""The state of a cell from its folder: whether it is done, its attempts, and its results."""

import dataclasses
import math
import pathlib
from collections.abc import Mapping
from typing import Any

from vpt_gen.errors import DivergedError
from vpt_gen.evaluation.report import fault_of
from vpt_gen.machine import json_files
from vpt_gen.machine.files import write_json
from vpt_gen.machine.progress import say_once

ATTEMPTS, LOG = "attempts.json", "log.txt"
# Exit codes of a run that a signal stopped: 128 + SIGINT, 128 + SIGTERM.
STOPPED = (130, 143)
# Fields of an attempt and their types in the file.
_ATTEMPT: dict[str, json_files.Kind] = {
    "command": str,
    "started": str,
    "seconds": float,
    "exit_code": (int, type(None)),
    "message": str,
}


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
    """Reads all attempts at the cell in `folder`, in order; none if the file is damaged."""
    path, cure = folder / ATTEMPTS, "earlier attempts are forgotten"
    if not path.is_file():
        return []
    try:
        found = json_files.read_value(path, cure)
        if not isinstance(found, list) or not all(map(_is_attempt, found)):
            raise json_files.DamagedFileError(path, "not a list of attempts", cure)
        return [Attempt(**fields) for fields in found]
    except json_files.DamagedFileError as error:
        say_once(str(error))
        return []


def _is_attempt(fields: Any) -> bool:
    return isinstance(fields, dict) and all(
        name in _ATTEMPT and json_files.is_kind(value, _ATTEMPT[name])
        for name, value in {"command": None, "started": None, **fields}.items()
    )


def write_attempts(folder: pathlib.Path, attempts: list[Attempt]) -> None:
    """Writes the attempts at the cell in `folder`."""
    write_json(folder / ATTEMPTS, [dataclasses.asdict(a) for a in attempts])


def read_json(
    path: pathlib.Path, kinds: Mapping[str, json_files.Kind] | None = None
) -> dict[str, Any] | None:
    """Reads an object that can be made again; None if it does not exist or is damaged.

    Args:
      path: of the file.
      kinds: required keys and their types, see `json_files.read_object`.
    """
    if not path.is_file():
        return None
    try:
        return json_files.read_object(path, "it is made again", kinds)
    except json_files.DamagedFileError as error:
        say_once(str(error))
        return None


def read_done(path: pathlib.Path) -> dict[str, Any]:
    """Reads the record of a finished step."""
    return json_files.read_object(path, "delete it, and the study makes it again")


def is_number(figure: float | None) -> bool:
    """Whether a figure can be compared: a run that collapsed has None or NaN."""
    return figure is not None and math.isfinite(figure)


def is_rate(seconds: Any) -> bool:
    """Whether a value can be the seconds that an update takes."""
    return json_files.is_kind(seconds, float) and 0 < seconds < math.inf


def is_complete(result: pathlib.Path) -> bool:
    """Whether a step's result exists: a record of figures, or the rate of updates."""
    record = read_json(result)
    if record is None:
        return False
    if "figures" in record:
        return not fault_of(record)
    return is_rate(record.get("seconds_per_update"))


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
