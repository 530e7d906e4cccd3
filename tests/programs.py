"""Programs as a user starts them, in this process or in one of their own; and runs on few devices.

Tests see eight devices, and what does not depend on how they share work is quicker on one.
"""

import contextlib
import os
import pathlib
import subprocess
import sys

import jax
import pytest
from absl import flags

from vpt_gen import main
from vpt_gen.config import flag
from vpt_gen.machine import sharding
from vpt_gen.runs.opened import open_run

ROOT = pathlib.Path(__file__).parents[1]


def train(config, workdir, devices=1):
    """Trains as `vpt_gen.main` does."""
    main.run(config, str(workdir), jax.devices()[:devices])


def opened(workdir, devices=1, **options):
    """A finished run."""
    mesh = sharding.make_mesh(jax.devices()[:devices])
    return open_run(str(workdir), **{"mesh": mesh, **options})


@contextlib.contextmanager
def flags_of(program, *arguments, needs_config=True):
    """A program's flags, as a command line sets them, and none of them afterwards."""
    others = set(flags.FLAGS)
    program.define_flags()
    try:
        with pytest.MonkeyPatch.context() as patch:
            # Where ml_collections looks for the fields of a config.
            patch.setattr(sys, "argv", [program.__name__, *map(str, arguments)])
            flag.parse(sys.argv, needs_config)
            yield
    finally:
        for name in set(flags.FLAGS) - others:
            delattr(flags.FLAGS, name)
        flags.FLAGS.unparse_flags()


def call(program, *arguments, **options):
    """Runs a program in this process."""
    with flags_of(program, *arguments, **options):
        program.main()


def environment(devices=1):
    """That of a process of its own with so many devices."""
    others = [f for f in os.environ["XLA_FLAGS"].split() if "device_count" not in f]
    count = f"--xla_force_host_platform_device_count={devices}"
    return {**os.environ, "XLA_FLAGS": " ".join([*others, count]), "PYTHONPATH": str(ROOT)}


def start(*arguments):
    """Runs a program in a process of its own, on one device: rounding depends on how many."""
    return subprocess.run(
        [sys.executable, "-m", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=environment(),
    )
