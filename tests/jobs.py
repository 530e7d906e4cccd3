"""Real jobs of one or more processes on this machine, for the programs that stop them."""

import contextlib
import pathlib
import runpy
import socket
import subprocess
import sys
import time

import numpy as np
from absl import logging

from tests import made
from tests.programs import ROOT, environment
from vpt_gen.checkpoints.store import Store
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.nets.vqgan import VQGAN

_CONFIG = """
from tests import made

def get_config():
    config = made.prompts_config({data!r}, {tokenizer!r}, {transformer!r})
    config.update({changes!r})
    return config
"""


def write_config(folder, **changes):
    """Pictures, two frozen nets and a config of prompt tuning on them; the config's path."""
    folder = pathlib.Path(folder)
    made.write_folder(folder / "data")
    vqgan = VQGAN(32, (1, 1, 1), 1, 8, 16)
    net = MaskGIT(16, 2, 16, num_layers=2, hidden_size=16, num_heads=4, intermediate_size=32)
    made.save_new(folder / "tokenizer", vqgan, np.zeros((1, 16, 16, 3)))
    made.save_new(folder / "transformer", net, np.zeros((1, 16), np.int32))
    names = {name: str(folder / name) for name in ("data", "tokenizer", "transformer")}
    (folder / "config.py").write_text(_CONFIG.format(**names, changes=changes))
    return folder / "config.py"


def read_config(path):
    """The config that such a file has."""
    return runpy.run_path(str(path))["get_config"]()


def free_port():
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Processes:
    """Processes of one program, together or one alone; `log` holds what all of them say."""

    def __init__(self, log, program, flags, processes=1, devices=1):
        self.log = pathlib.Path(log)
        address = f"127.0.0.1:{free_port()}"
        command = [sys.executable, "-m", program, *flags]
        self.processes = []
        for number in range(processes):
            together = [
                "--distributed",
                f"--coordinator_address={address}",
                f"--num_processes={processes}",
                f"--process_id={number}",
            ]
            with self.log.open("ab") as log:
                self.processes.append(
                    subprocess.Popen(
                        command + together * (processes > 1),
                        cwd=ROOT,
                        env=environment(devices),
                        stdout=log,
                        stderr=log,
                    )
                )

    def wait_for(self, holds, seconds=600):
        """Waits until `holds()`; fails where the job ends first."""
        deadline = time.monotonic() + seconds
        while not holds():
            assert all(p.poll() is None for p in self.processes), self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.005)

    def wait(self, seconds=600):
        """The exit codes of all processes."""
        try:
            return [process.wait(seconds) for process in self.processes]
        finally:
            for process in self.processes:
                process.kill()

    def succeed(self):
        """Waits for a good end."""
        codes = self.wait()
        assert codes == [0] * len(codes), (codes, self.log.read_text())


class Job(Processes):
    """A training job."""

    def __init__(self, config, workdir, processes=1, devices=1, flags=()):
        self.workdir = pathlib.Path(workdir)
        given = [f"--config={config}", f"--workdir={workdir}", *flags]
        log = self.workdir.with_suffix(".log")
        super().__init__(log, "vpt_gen.main", given, processes, devices)

    def checkpoints(self):
        """Steps of the finished checkpoints, in order."""
        folder = self.workdir / "checkpoints"
        names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        return sorted(int(name) for name in names if name.isdecimal())

    def finish(self):
        """Waits for a good end; the tuned parameters."""
        self.succeed()
        return self.params()

    def params(self):
        logging.set_verbosity(logging.FATAL)
        with contextlib.closing(Store(str(self.workdir), read_only=True)) as store:
            return store.restore_params()
