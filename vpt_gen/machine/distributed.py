"""Several processes that train together, one a host (or a GPU): how they find each other and leave.

All run the same program on the same command line, and see the same files. The first speaks and
writes for all.
"""

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

import jax
import numpy as np
from absl import flags
from jax.experimental import multihost_utils

from vpt_gen.errors import UserError
from vpt_gen.machine import progress

# Seconds that a process waits for the others when it ends; `wait_for_all` comes before.
_SHUTDOWN_TIMEOUT = 20
# Exit codes of what all processes do together: the end, and a stop once the state is saved.
_TOGETHER = (0, 128 + signal.SIGINT, 128 + signal.SIGTERM)


def define_flags() -> None:
    """The command line of a program that several processes may run."""
    flags.DEFINE_bool(
        "distributed",
        False,
        "This is one of several processes. They find each other by the environment (Cloud TPU, "
        "Slurm, Kubernetes, Open MPI), or by the three flags that follow.",
    )
    flags.DEFINE_string("coordinator_address", None, "HOST:PORT of process 0, free to use.")
    flags.DEFINE_integer("num_processes", None, "How many there are.", lower_bound=1)
    flags.DEFINE_integer("process_id", None, "Which one this is, from 0.", lower_bound=0)


def start() -> None:
    """Joins the other processes, where the command line says that there are some.

    Raises:
      UserError: flags that do not go together, or nobody to be found.
    """
    names = ("coordinator_address", "num_processes", "process_id")
    given: dict[str, Any] = {name: flags.FLAGS[name].value for name in names}
    if any(value is not None for value in given.values()) != all(
        value is not None for value in given.values()
    ):
        raise UserError(f"--{', --'.join(names)} go together: give all three, or none.")
    if not flags.FLAGS.distributed:
        if given["process_id"] is not None:
            raise UserError("--coordinator_address and its like go with --distributed.")
        return
    # JAX would take SIGTERM for itself and leave us deaf to it.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(**given, shutdown_timeout_seconds=_SHUTDOWN_TIMEOUT)
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"--distributed finds no other processes ({reason}): on machines that JAX does not "
            "know, give --coordinator_address, --num_processes and --process_id."
        ) from error
    if not is_first():
        progress.be_quiet()


def is_first() -> bool:
    """Whether this process speaks and writes for all."""
    return jax.process_index() == 0


def wait_for_all(name: str) -> None:
    """Returns when all processes have come to the place of that name."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def all_agree(holds: bool) -> bool:
    """Whether something holds in every process."""
    if jax.process_count() == 1:
        return holds
    return bool(multihost_utils.process_allgather(np.array(holds)).all())


def to_host(tree: Any) -> Any:
    """Arrays that are spread over all devices -> numpy arrays, whole in every process."""

    def gather(x: jax.Array) -> np.ndarray:
        if x.is_fully_addressable:
            return np.asarray(x)
        return multihost_utils.process_allgather(x, tiled=True)

    return jax.tree.map(gather, tree)


def leave_after(run: Callable[[], int]) -> NoReturn:
    """Runs the program, and ends the process with the exit code that it gives.

    An unexpected error prints its traceback and counts as 1. It must not reach the interpreter:
    that would wait at its end for other processes, which wait for this one.
    """
    try:
        code = run()
    except BaseException:
        traceback.print_exc()
        code = 1
    leave(code)


def leave(code: int) -> NoReturn:
    """Ends the process with an exit code, waiting for the others only where they come along."""
    sys.stdout.flush()
    sys.stderr.flush()
    if jax.distributed.is_initialized() and code not in _TOGETHER:
        if is_first():
            time.sleep(2.0)  # When the first goes, the others are torn down, words in mouth.
        os._exit(code)
    sys.exit(code)
