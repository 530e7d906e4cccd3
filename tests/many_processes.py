"""One training run by one, two and four real processes, killed and stopped on the way.

    python -m tests.many_processes

Processes find each other through jax.distributed and talk by gloo, on this machine. Prints how far
the tuned prompts are from those of one process. A few minutes.
"""

import os
import pathlib
import signal
import tempfile

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax  # noqa: E402
import numpy as np  # noqa: E402

from tests.jobs import Job, write_config  # noqa: E402

STEPS = 60


def difference(a, b):
    """The largest difference of two trees of parameters, and whether they are the same bits."""
    pairs = list(zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))
    worst = max(np.max(np.abs(np.asarray(x) - np.asarray(y))) for x, y in pairs)
    return float(worst), all(np.array_equal(x, y) for x, y in pairs)


def tell(what, params, reference):
    worst, same = difference(params, reference)
    print(f"{what:72}{'the same bits' if same else f'differs by {worst:.1e}'}", flush=True)


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        config = write_config(
            folder, num_steps=STEPS, checkpoint_every=10, eval_every=30, keep_checkpoints=2
        )

        def job(name, processes, devices, *flags):
            return Job(config, folder / name, processes, devices, flags)

        one = job("one", 1, 4).finish()
        two = job("two", 2, 2).finish()
        tell("2 processes of 2 devices, against 1 process of 4 devices:", two, one)
        tell("the same again, against the first time:", job("again", 2, 2).finish(), two)
        four = job("four", 4, 1).finish()
        tell("4 processes of 1 device, against 1 process of 4 devices:", four, one)
        fields = ("--config.mesh.data=", "--config.mesh.fsdp=", "--config.mesh.tensor=")
        for shape in ((1, 2, 2), (1, 1, 4)):
            mesh = [f"{field}{size}" for field, size in zip(fields, shape, strict=True)]
            params = job(f"mesh{shape[1]}", 2, 2, *mesh).finish()
            tell(f"2 processes of 2 devices, mesh {shape}, against 1 process:", params, one)

        killed = job("killed", 2, 2)
        killed.wait_for(lambda: len(killed.checkpoints()) > 0)
        killed.processes[1].send_signal(signal.SIGKILL)
        codes = killed.wait()
        at = killed.checkpoints()[-1]
        print(f"process 1 of 2 killed after update {at}; exit codes {codes}")
        tell("the job started again, against one never killed:", job("killed", 2, 2).finish(), two)

        for number, (then, devices) in enumerate([(2, 2), (4, 1), (1, 4)]):
            name = f"stopped{number}"
            stopped = job(name, 2, 2)
            stopped.wait_for(lambda stopped=stopped: len(stopped.checkpoints()) > 0)
            stopped.processes[1].send_signal(signal.SIGTERM)
            codes = stopped.wait()
            print(
                f"SIGTERM to process 1: all save update {stopped.checkpoints()[-1]}, codes {codes}"
            )
            assert codes == [128 + signal.SIGTERM] * 2
            again = job(name, then, devices).finish()
            tell(f"then on {then} process(es) of {devices} device(s):", again, two)


if __name__ == "__main__":
    main()
