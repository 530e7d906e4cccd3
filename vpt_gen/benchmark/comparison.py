"""Runs programs side by side, each in its own process, and compares them.

Repetitions take turns, so that other load on the machine affects all of them alike; use the ratio
of two figures of one run.
"""

import contextlib
import dataclasses
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from typing import IO, Any, cast

from vpt_gen.benchmark.request import Request
from vpt_gen.errors import UserError
from vpt_gen.machine.progress import track

WORKER = "vpt_gen.benchmark.worker"


class Process:
    """A worker (see `worker.py`) with its compiled program; a context that ends the process."""

    def __init__(self, request: Request, worker: str = WORKER):
        """Starts the process, a module, and waits until its program is compiled."""
        self.request = request
        command = [sys.executable, "-m", worker]
        self._process = subprocess.Popen(
            [*command, json.dumps(dataclasses.asdict(request))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._requests = cast(IO[str], self._process.stdin)
        self._answers = cast(IO[str], self._process.stdout)
        self.facts = self._answer()
        self.seconds: list[float] = []

    def run(self) -> None:
        """Runs the program once more."""
        self._requests.write("\n")
        self._requests.flush()
        self.seconds.append(self._answer()["seconds"])

    def peak_bytes(self) -> int:
        """Returns its peak memory, the program's and JAX's own; ends the process."""
        self._requests.close()
        return self._answer()["peak_bytes"]

    def _answer(self) -> dict[str, Any]:
        line = self._answers.readline()
        if not line:
            raise UserError(
                f"The program {self.request.what} ({self.request.way}, {self.request.size}) ended "
                f"with exit code {self._process.wait()}; its messages are above. With -9 or 137 it "
                "ran out of memory: try a smaller --batch or --size."
            )
        return json.loads(line)

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *unused) -> None:
        self._process.kill()
        self._process.wait()


def compare(
    requests: Sequence[Request], repeat: int, label: str, workers: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Runs the programs of some requests in turns.

    Args:
      requests: of programs, which must fit in memory together.
      repeat: number of measured runs of each.
      label: of the progress bar.
      workers: the module that runs each; empty: `WORKER` runs all.

    Returns:
      For each: the request, its `running.Facts`, the seconds of every run, and its peak memory.
    """
    with contextlib.ExitStack() as stack:
        bar = stack.enter_context(track(total=len(requests) * (repeat + 1), label=label))
        processes = []
        for request, worker in zip(requests, workers or [WORKER] * len(requests), strict=True):
            processes.append(stack.enter_context(Process(request, worker)))
            bar.update()
        for _ in range(repeat):
            for process in processes:
                process.run()
                bar.update()
        return [
            {
                **dataclasses.asdict(process.request),
                **process.facts,
                "seconds": process.seconds,
                "peak_bytes": process.peak_bytes(),
            }
            for process in processes
        ]


def rate(record: dict[str, Any], work: str) -> float:
    """Returns the median of the work ('flops', 'bytes' or 'units') per second."""
    return record[work] / statistics.median(record["seconds"])


def times_as_fast(record: dict[str, Any], other: dict[str, Any]) -> float:
    """Returns a program's speed relative to another's, per image or token: the median of pairs."""
    share = record["units"] / other["units"]
    pairs = zip(other["seconds"], record["seconds"], strict=True)
    return statistics.median(theirs / ours for theirs, ours in pairs) * share
