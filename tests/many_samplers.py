"""One request of samples and one evaluation by one, two and four real processes, killed on the way.

    python -m tests.many_samplers

Processes find each other through jax.distributed, on this machine. Compares the images, the record
and every figure with those of one process, bit for bit. Fifteen minutes on two cores.
"""

import json
import os
import pathlib
import signal
import tempfile
import time

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", "")

from tests.jobs import Job, Processes, write_config  # noqa: E402

IMAGES = 200


def files_of(folder):
    """All files of a finished folder of samples, also hidden ones."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def figures_of(folder):
    """All that `metrics.json` says about figures, but for what names folder and machine."""
    figures = json.loads((folder / "metrics.json").read_text())["figures"]
    for figure in figures.values():
        del figure["protocol"]["command"], figure["protocol"]["devices"]
        # Somebody may commit meanwhile.
        figure["protocol"]["versions"].pop("vpt_gen_commit", None)
    assert len(figures) > 5
    return figures


def sample(run, folder, processes, devices=1):
    """A job that draws `IMAGES` images of two classes."""
    flags = [f"--checkpoint={run}", f"--num={IMAGES // 2}", "--set=batch_size=8"]
    log = folder.with_suffix(".log")
    return Processes(log, "vpt_gen.sample", [*flags, f"--output={folder}"], processes, devices)


def evaluate(run, folder, processes, devices=1):
    """A job that draws and measures `IMAGES` images."""
    flags = [f"--checkpoint={run}", f"--num={IMAGES}", "--set=batch_size=8", "--batch_size=12"]
    flags += ["--features=tokenizer", f"--output={folder}"]
    log = folder.with_suffix(".log")
    return Processes(log, "vpt_gen.evaluate", flags, processes, devices)


def kill(job, number, written):
    """Kills one process when `written()` files exist; says how the others end."""
    job.wait_for(lambda: written() >= 3)
    job.processes[number].send_signal(signal.SIGKILL)
    begin = time.monotonic()
    codes = job.wait()
    seconds = time.monotonic() - begin
    print(
        f"process {number} of {len(codes)} killed; exit codes {codes} after {seconds:.0f} s, "
        f"{written()} files written",
        flush=True,
    )


def compare(what, found, expected):
    """Prints whether a result has the same bits, and fails where it has not."""
    print(f"{what:72}{'the same bits' if found == expected else 'DIFFERS'}", flush=True)
    assert found == expected


def try_program(program, result, written, folder, run):
    """Compares two and four processes with one; kills one of two, and goes on with four."""
    name = program.__name__
    program(run, folder / f"{name}1", 1).succeed()
    one = result(folder / f"{name}1")
    for processes in (2, 4):
        target = folder / f"{name}{processes}"
        program(run, target, processes).succeed()
        compare(f"{name}: {processes} processes, against 1:", result(target), one)
    for number, then in ((1, 4), (0, 1)):
        target = folder / f"{name}_killed{number}"
        kill(program(run, target, 2), number, lambda target=target: written(target))
        program(run, target, then).succeed()
        compare(f"{name}: then {then} processes, against 1:", result(target), one)


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        os.environ["VPT_GEN_CACHE"] = str(folder / "cache")
        run = folder / "run"
        Job(write_config(folder, num_steps=4, checkpoint_every=4, eval_every=0), run).finish()
        try_program(sample, files_of, lambda at: len(list(at.glob("*.png"))), folder, run)
        parts = ".vpt_gen_features/*/*.npz"
        try_program(evaluate, figures_of, lambda at: len(list(at.glob(parts))), folder, run)


if __name__ == "__main__":
    main()
