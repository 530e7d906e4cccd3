"""Measures how long a run has trained, across interruptions."""

import json
import time

from etils import epath

from vpt_gen.errors import UserError
from vpt_gen.machine import distributed, json_files
from vpt_gen.machine.files import write_text
from vpt_gen.machine.progress import say

_CENTURIES = 1e10  # seconds; no run takes so long


class Clock:
    """Seconds spent in the loop, across a run's interruptions, kept in `seconds.json`."""

    def __init__(self, workdir: str):
        self._path = epath.Path(workdir) / "seconds.json"
        self._before = (training_seconds(workdir) or 0.0) if self._path.exists() else 0.0
        self._start = time.monotonic()

    def save(self) -> None:
        if not distributed.is_first():
            return
        seconds = self._before + time.monotonic() - self._start
        write_text(self._path, json.dumps(seconds))


def training_seconds(workdir: str) -> float | None:
    """Returns the seconds that the run in `workdir` has trained, compilation included.

    None, and a message, if the file is missing or damaged: nothing depends on it.
    """
    path = epath.Path(workdir) / "seconds.json"
    cure = "the time before is not counted"
    try:
        seconds = json_files.read_value(path, cure)
        if json_files.is_kind(seconds, float) and 0 <= seconds < _CENTURIES:
            return float(seconds)
        raise json_files.DamagedFileError(path, "not a number of seconds", cure)
    except UserError as error:
        say(str(error))
        return None
