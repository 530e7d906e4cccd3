"""Several processes that work together, one per host (or GPU): how they connect and end.

All run the same program with the same command line, and see the same files. Only the first prints
messages, and writes what is not one process's share.
"""

import importlib.util
import itertools
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
from absl import flags

from vpt_gen.errors import UserError
from vpt_gen.machine import compiled, later, progress
from vpt_gen.machine.number_flags import define_number
from vpt_gen.machine.printable import printable
from vpt_gen.ranges import Count, CountOrZero

with later.imports(globals()):
    import jax
    from jax.experimental import multihost_utils

# Seconds that a process waits for the others when it ends; `wait_for_all` is called before.
_SHUTDOWN_TIMEOUT = 20
# Seconds that processes wait for what the first one does for all.
_LONGEST_WORK = 24 * 3600
_waits = itertools.count()
# The flags of `define_flags`, which have no effect on results.
FLAGS = ("distributed", "coordinator_address", "num_processes", "process_id")
# Exit codes of all processes together: the end, and a stop after the state is saved.
_TOGETHER = (0, 128 + signal.SIGINT, 128 + signal.SIGTERM)


def define_flags() -> None:
    """Defines the flags of a program that several processes may run."""
    flags.DEFINE_bool(
        "distributed",
        False,
        "Join the other processes of a run. They connect through the environment (Cloud TPU, "
        "Slurm, Kubernetes, Open MPI), or through the three flags that follow.",
    )
    flags.DEFINE_string("coordinator_address", None, "HOST:PORT of process 0, a free port.")
    define_number("num_processes", None, Count, "Number of processes.")
    define_number("process_id", None, CountOrZero, "Number of this process, from 0.")


def start(apart: bool = False) -> None:
    """Joins the other processes if the command line has --distributed.

    Args:
      apart: whether each process runs programs on its own devices, which others may not run.

    Raises:
      UserError: flags that do not go together, or no other processes found.
    """
    names = FLAGS[1:]
    given: dict[str, Any] = {name: flags.FLAGS[name].value for name in names}
    if any(value is not None for value in given.values()) != all(
        value is not None for value in given.values()
    ):
        raise UserError(f"--{', --'.join(names)} go together: give all three or none.")
    if given["process_id"] is not None and given["process_id"] >= given["num_processes"]:
        raise UserError(
            f"--process_id is {given['process_id']}; it must be below --num_processes, "
            f"{given['num_processes']}."
        )
    if not flags.FLAGS.distributed:
        if given["process_id"] is not None:
            raise UserError("--coordinator_address and the like need --distributed; add it.")
        return
    if apart:
        _tune_kernels_alone()
    # JAX would otherwise handle SIGTERM itself, and the run would not see it.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(**given, shutdown_timeout_seconds=_SHUTDOWN_TIMEOUT)
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"--distributed finds no other processes ({reason}): on machines that JAX does not "
            "know, give --coordinator_address, --num_processes and --process_id."
        ) from error
    if jax.default_backend() == "gpu":
        # They tune their kernels together, and one that has its program already would be missing.
        compiled.leave_out()
    if not is_first():
        progress.be_quiet()


def _tune_kernels_alone() -> None:
    """Keeps XLA on GPUs from waiting until all processes have compiled the same program."""
    if any(importlib.util.find_spec(f"jax_cuda{version}_plugin") for version in (12, 13)):
        given = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{given} --xla_gpu_shard_autotuning=false".lstrip()


def is_first() -> bool:
    """Whether this process prints and writes for all."""
    return jax.process_index() == 0


def wait_for_all(name: str) -> None:
    """Returns when all processes have reached the barrier of that name."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def all_agree(holds: bool) -> bool:
    """Returns whether something holds in every process."""
    if jax.process_count() == 1:
        return holds
    return bool(multihost_utils.process_allgather(np.array(holds)).all())


def wait_long() -> None:
    """Returns when all processes have come here, for which they wait for hours if need be."""
    if jax.process_count() > 1:
        # A collective such as `all_agree` gives up after half a minute. Orbax loads slowly.
        from orbax.checkpoint import multihost

        wait = multihost.get_barrier_sync_fn()
        wait(key=f"wait {next(_waits)}", timeout_ms=_LONGEST_WORK * 1000)


def first_tells(value: np.ndarray) -> np.ndarray:
    """Returns the first process's value in all of them; theirs has the same shape and type.

    They wait for it, if need be for hours.
    """
    if jax.process_count() == 1:
        return value
    wait_long()
    return np.asarray(multihost_utils.broadcast_one_to_all(value))


def share_of(items: np.ndarray) -> np.ndarray:
    """Returns this process's share of items (n,) that all processes know: neighbors, in order."""
    return np.array_split(items, jax.process_count())[jax.process_index()]


def first_does(work: Callable[[], None]) -> None:
    """Runs `work` in the first process, while the others wait, if need be for hours.

    Raises:
      UserError: in all processes, if `work` raises one.
    """
    refusal = None
    if is_first():
        try:
            work()
        except UserError as error:
            refusal = error
    wait_long()
    if not all_agree(refusal is None):
        raise refusal or UserError("The first process of the run cannot go on; it says why.")


def to_host(tree: Any) -> Any:
    """Gathers arrays that are split over all devices as whole numpy arrays in every process."""

    def gather(x: jax.Array) -> np.ndarray:
        if x.is_fully_addressable:
            return np.asarray(x)
        return multihost_utils.process_allgather(x, tiled=True)

    return jax.tree.map(gather, tree)


def leave_after(run: Callable[[], int]) -> NoReturn:
    """Runs the program, and ends the process with the exit code that it gives.

    An unexpected error prints its traceback and counts as 1. It must not reach the interpreter,
    which would wait at its end for other processes while they wait for this one.
    """
    try:
        code = run()
    except BaseException:
        sys.stderr.write(printable(traceback.format_exc()))
        code = 1
    leave(code)


def leave(code: int) -> NoReturn:
    """Ends the process with an exit code; waits for the others only if they end too."""
    # A program that has not imported JAX has not joined others with it.
    others = "jax" in sys.modules and jax.distributed.is_initialized()
    if not others:
        # Nothing is left to stop: Ctrl-C would only print a traceback of the interpreter's end.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdout.flush()
    sys.stderr.flush()
    if others and code not in _TOGETHER:
        if is_first():
            time.sleep(2.0)  # When the first process ends, the others are killed mid-message.
        os._exit(code)
    sys.exit(code)
