"""What draws from nets, by one, two and four real processes, killed on the way.

    python -m tests.many_samplers                  all programs
    python -m tests.many_samplers edit report      some of them
    python -m tests.many_samplers --images=200     fewer images

Processes find each other through jax.distributed, on this machine. Compares the images, the record,
the page and every figure with those of one process, bit for bit. Each program takes several
minutes on two cores.
"""

import argparse
import json
import os
import pathlib
import signal
import tempfile
import time

from PIL import Image

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", "")

from tests.jobs import Job, Processes, write_config  # noqa: E402


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


def sample(run, folder, processes, images, *more):
    """A job that draws images of two classes."""
    flags = [f"--checkpoint={run}", f"--num={images // 2}", "--set=batch_size=8", *more]
    return job("sample", [*flags, f"--output={folder}"], folder, processes)


def shards(run, folder, processes, images):
    """A job that draws them into shards, whose ends are in the middle of a batch."""
    return sample(run, folder, processes, images, "--shard_size=20")


def evaluate(run, folder, processes, images):
    """A job that draws and measures images."""
    flags = [f"--checkpoint={run}", f"--num={images}", "--set=batch_size=8", "--batch_size=12"]
    flags += ["--features=tokenizer", f"--output={folder}"]
    return job("evaluate", flags, folder, processes)


def edit(run, folder, processes, images):
    """A job that repaints two images of other sizes, in batches that have both."""
    flags = [f"--checkpoint={run}", f"--num={images // 2}", "--set=batch_size=8"]
    for name, size in (("small", (20, 30)), ("large", (40, 24))):
        path = run.with_name(f"{name}.png")
        Image.radial_gradient("L").resize(size).convert("RGB").save(path)
        flags.append(f"--image={path}")
    return job("edit", [*flags, "--box=4,4,16,18", f"--output={folder}"], folder, processes)


def preview(run, folder, processes, images):
    """A job that draws images of two classes of the source."""
    flags = [f"--{net}={run.with_name(net)}" for net in ("tokenizer", "transformer")]
    flags += ["--classes=0,1", f"--num={images // 2}", f"--folder={folder}"]
    return job("preview", [*flags, f"--output={folder}.png"], folder, processes)


def report(run, folder, processes, images):
    """A job that makes a page."""
    flags = [f"--workdir={run}", f"--num={images}", f"--output={folder / 'report.html'}"]
    return job("report", flags, folder, processes)


def job(program, flags, folder, processes):
    """A job whose log is next to its folder."""
    return Processes(folder.with_suffix(".log"), f"vpt_gen.{program}", flags, processes)


def files(pattern):
    """Counts the files of a pattern in a folder."""
    return lambda folder: len(list(folder.glob(pattern)))


def edited(folder):
    """The files of edits; the command in their note names the folder."""
    found = files_of(folder)
    note = json.loads(found.pop("edits.json"))
    del note["command"]
    return found | {"note": note}


def seen(folder):
    """The files of a preview, and its picture."""
    return files_of(folder) | {"picture": folder.with_suffix(".png").read_bytes()}


# program -> its job, its result, and how many files it has written so far.
PROGRAMS = {
    "sample": (sample, files_of, files("*.png")),
    "shards": (shards, files_of, files("*.tar")),
    "evaluate": (evaluate, figures_of, files(".vpt_gen_features/*/*.npz")),
    "edit": (edit, edited, files("*.png")),
    "preview": (preview, seen, files("*.png")),
    "report": (report, files_of, files(".report.html.images/*/*.npz")),
}


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


def try_program(name, folder, run, images):
    """Compares two and four processes with one; kills one of two, and goes on with four."""
    program, result, written = PROGRAMS[name]
    program(run, folder / f"{name}1", 1, images).succeed()
    one = result(folder / f"{name}1")
    for processes in (2, 4):
        target = folder / f"{name}{processes}"
        program(run, target, processes, images).succeed()
        compare(f"{name}: {processes} processes, against 1:", result(target), one)
    for number, then in ((1, 4), (0, 1)):
        target = folder / f"{name}_killed{number}"
        kill(program(run, target, 2, images), number, lambda target=target: written(target))
        program(run, target, then, images).succeed()
        compare(f"{name}: then {then} processes, against 1:", result(target), one)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("programs", nargs="*", metavar="program", default=[*PROGRAMS])
    parser.add_argument("--images", type=int, default=1000)
    args = parser.parse_args()
    if unknown := set(args.programs) - set(PROGRAMS):
        parser.error(f"not among {', '.join(PROGRAMS)}: {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        os.environ["VPT_GEN_CACHE"] = str(folder / "cache")
        run = folder / "run"
        Job(write_config(folder, num_steps=4, checkpoint_every=4, eval_every=0), run).finish()
        for name in args.programs:
            try_program(name, folder, run, args.images)


if __name__ == "__main__":
    main()
