"""A process that builds one program, and runs it on request.

    python -m vpt_gen.benchmark.worker '<a request as JSON>'

Every program has its own process, so that memory is measured separately. The process prints a line
of JSON with facts about the program, answers every line of its input with the seconds of one run,
and the end of the input with its peak memory.
"""

import dataclasses
import json
import os
import sys
from collections.abc import Callable
from typing import Any

from vpt_gen.benchmark.request import Request
from vpt_gen.machine import host_memory


def main() -> None:
    """Entry point."""

    def build(request: Request) -> Any:
        # JAX allocates memory of its own, so it is imported here.
        from vpt_gen.benchmark.running import Running

        return Running(request)

    serve(build)


def serve(build: Callable[[Request], Any]) -> None:
    """Answers the parent process.

    Args:
      build: makes the program of a request: an object with `facts`, a dataclass, and `run`, which
        returns seconds.
    """
    request = Request(**json.loads(sys.argv[1]))
    if request.keep_memory:
        host_memory.keep()
    answers = sys.stdout
    sys.stdout = sys.stderr  # For all other output.
    # The time and the memory of compilation are measured, too.
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "0"

    def answer(record: dict[str, Any]) -> None:
        print(json.dumps(record), file=answers, flush=True)

    running = build(request)
    answer(dataclasses.asdict(running.facts))
    for _ in sys.stdin:
        answer({"seconds": running.run()})
    answer({"peak_bytes": peak_bytes()})


def peak_bytes() -> int:
    """Returns the peak memory of this process on the host."""
    try:
        with open("/proc/self/status") as status:
            lines = dict(line.split(":", 1) for line in status)
        return int(lines["VmHWM"].split()[0]) * 1024
    except (OSError, KeyError):
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    main()
