"""Keeps compiled programs on disk, so that the second start of a program does not compile.

JAX has such a cache, and reads its settings from the environment when it is imported. Processes
that a program starts inherit them.
"""

import contextlib
import functools
import hashlib
import os
import pathlib
import platform
import sys
import warnings
from collections.abc import Mapping

import filelock

from vpt_gen.machine import later
from vpt_gen.machine.files import cache_folder

with later.imports(globals()):
    import jax

# Bytes of all compiled programs for one kind of processor; the least recently used ones go.
MAX_BYTES = 2 * 2**30
# Lines of /proc/cpuinfo that tell what a processor can do, on x86 and on Arm.
_KIND = {"vendor_id", "cpu family", "model", "model name", "flags"}
_KIND |= {"CPU implementer", "CPU architecture", "CPU variant", "CPU part", "Features"}
_FOLDER = "JAX_COMPILATION_CACHE_DIR"


def keep() -> None:
    """Turns JAX's cache of compiled programs on; call it before JAX is imported."""
    os.environ.update(settings(os.environ))
    # What goes wrong with the cache costs time, and nothing else.
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache")


def settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Returns JAX's settings, by the names of environment variables.

    A folder of the user's own, in JAX_COMPILATION_CACHE_DIR, stays as it is set: no settings. A
    folder that cannot be written is only read. If there is none and none can be made, programs are
    compiled at every start.

    Args:
      environment: where JAX's settings of the user's own are, which go first.
    """
    # JAX before 0.10 can crash on macOS when it reads a large program.
    if not _is_ours(environment) or sys.platform == "darwin":
        return {}
    with contextlib.suppress(OSError):
        _folder().mkdir(parents=True, exist_ok=True)
    if not _folder().is_dir():
        return {}
    chosen = {
        _FOLDER: str(_folder()),
        # XLA's own caches, of GPUs, have no bound.
        "JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES": "none",
    }
    if _can_write(_folder()):
        # Small programs are many, and together take as long as a large one.
        chosen["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        chosen["JAX_COMPILATION_CACHE_MAX_SIZE"] = str(MAX_BYTES)
    else:
        # Without a bound JAX locks nothing and notes no use; no program takes so long to compile.
        chosen["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "1e9"
        chosen["JAX_COMPILATION_CACHE_MAX_SIZE"] = "-1"
    return {name: environment.get(name, value) for name, value in chosen.items()}


def leave_out() -> None:
    """Turns the cache off for this process, unless the user has chosen its folder."""
    if _is_ours(os.environ):
        jax.config.update("jax_enable_compilation_cache", False)


def _is_ours(environment: Mapping[str, str]) -> bool:
    """Whether no other folder is set; a process that a program starts has inherited this one."""
    return environment.get(_FOLDER, str(_folder())) == str(_folder())


def _folder() -> pathlib.Path:
    return cache_folder() / "compiled" / _kind_of_processor()


def _can_write(folder: pathlib.Path) -> bool:
    """Whether programs can be added to a folder; removes those that a killed process was writing.

    JAX writes a program, then the time of its use. If a time is missing, JAX fails to add others.
    """
    if not os.access(folder, os.W_OK):
        return False
    try:
        with filelock.FileLock(folder / ".lockfile", timeout=0):  # JAX's own lock.
            names = set(os.listdir(folder))
            for name in names:
                program = name.removesuffix("-cache")
                if name != program and f"{program}-atime" not in names:
                    (folder / name).unlink()
    except filelock.Timeout:
        pass  # Somebody else writes, and will find it the next time.
    except (OSError, NotImplementedError):
        return False  # A file system that is full, or that has no locks.
    return True


@functools.cache
def _kind_of_processor() -> str:
    """Returns a digest of what the processor can do: compiled programs may use all of it.

    JAX takes programs of other processors from the cache, too, and would crash.
    """
    try:
        first = pathlib.Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    except OSError:
        first = ""
    lines = [line for line in first.splitlines() if line.split(":")[0].strip() in _KIND]
    words = "\n".join([platform.machine(), *lines])
    return hashlib.sha256(words.encode()).hexdigest()[:16]
