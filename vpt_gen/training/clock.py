"""Measures how long a run has trained, across interruptions."""

import json
import time

from etils import epath

from vpt_gen.machine import distributed
from vpt_gen.machine.files import write_json


class Clock:
    """Seconds spent in the loop, across a run's interruptions, kept in `seconds.json`."""

    def __init__(self, workdir: str):
        self._path = epath.Path(workdir) / "seconds.json"
        self._before = json.loads(self._path.read_text()) if self._path.exists() else 0.0
        self._start = time.monotonic()

    def save(self) -> None:
        if not distributed.is_first():
            return
        seconds = self._before + time.monotonic() - self._start
        write_json(self._path, seconds)


def training_seconds(workdir: str) -> float:
    """Returns the seconds that the run in `workdir` has trained, compilation included."""
    return json.loads((epath.Path(workdir) / "seconds.json").read_text())
