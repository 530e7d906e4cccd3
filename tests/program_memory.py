"""`python -m tests.program_memory`: memory of programs on the host, by the number of images.

Runs `sample`, with and without shards, `evaluate`, and `main` with one update, which makes the
token cache: each for --images images and for ten times as many. The nets have a few thousand
parameters, so that what grows is what images take. Prints a table for docs/scaling.md.

Not collected by pytest: minutes.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", "")

from tests.jobs import Job, write_config  # noqa: E402
from tests.programs import ROOT, environment  # noqa: E402


def commands(run: pathlib.Path, folder: pathlib.Path, count: int) -> dict[str, list[str]]:
    """For so many images: what is measured -> a program and its flags."""
    draw = [f"--checkpoint={run}", "--set=batch_size=50"]
    sample = ["sample", *draw, f"--num={count // 2}"]
    evaluate = ["evaluate", *draw, f"--num={count}", "--features=tokenizer"]
    train = ["main", f"--config={run.with_name('config.py')}", "--config.num_steps=1"]
    return {
        "`sample`": [*sample, f"--output={folder / 'images'}"],
        "`sample --shard_size=100`": [*sample, "--shard_size=100", f"--output={folder / 'shards'}"],
        "`evaluate`": [*evaluate, f"--output={folder / 'metrics'}"],
        "`main`, the token cache": [
            *train,
            f"--config.data.path={written(folder / 'data', count)}",
            f"--workdir={folder / 'run'}",
        ],
    }


def written(folder: pathlib.Path, count: int) -> pathlib.Path:
    """Writes so many PNGs of noise, in two classes."""
    random = np.random.default_rng(0)
    for number in range(count):
        path = folder / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (32, 32, 3), np.uint8)).save(path)
    return folder


def peak(command: list[str], log: pathlib.Path) -> float:
    """The most memory, in GB, that a program takes; ends with its log if it fails."""
    with log.open("wb") as said:
        line = [sys.executable, "-m", f"vpt_gen.{command[0]}", *command[1:]]
        child = subprocess.Popen(line, cwd=ROOT, env=environment(), stdout=said, stderr=said)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        sys.exit(log.read_text())
    return usage.ru_maxrss / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1000)
    args = parser.parse_args()
    peaks: dict[str, list[float]] = {}
    counts = (args.images, 10 * args.images)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        os.environ["VPT_GEN_CACHE"] = str(folder / "cache")
        run = folder / "run"
        Job(write_config(folder, num_steps=2, checkpoint_every=2, eval_every=0), run).finish()
        for count in counts:
            made = folder / str(count)
            for title, command in commands(run, made, count).items():
                peaks.setdefault(title, []).append(peak(command, folder / "log"))
                print(f"{count:,} images, {title}: {peaks[title][-1]:.3f} GB", flush=True)
    print(
        "\n| program | "
        + " | ".join(f"{count:,} images" for count in counts)
        + " |\n|---|---:|---:|"
    )
    for title, found in peaks.items():
        print(f"| {title} | " + " | ".join(f"{gb:.3f} GB" for gb in found) + " |")


if __name__ == "__main__":
    main()
