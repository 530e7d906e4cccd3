"""A training run killed with SIGKILL twenty times, at random moments, and started again each time.

    python -m tests.kill_run

Some kills come while the program starts, some between two saves, some during a save. The run must
go on from its newest finished checkpoint each time, and end with the parameters, bit for bit, of a
run that nobody disturbed. Five minutes.
"""

import argparse
import os
import pathlib
import random
import re
import signal
import tempfile
import time

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import chex  # noqa: E402

from tests.jobs import Job, write_config  # noqa: E402

CHECKPOINT_EVERY = 4
# What the program is at when it is killed -> up to how many seconds later, by chance, it is.
MOMENTS = {"starting": 6.0, "training": 0.1, "saving": 0.03}


def unfinished_saves(job):
    """Names of the checkpoints that were begun and not finished."""
    return sorted(path.name for path in job.workdir.glob("checkpoints/*.orbax-checkpoint-tmp*"))


def kill(job, moment, chance):
    """Kills a job that was just started when it is at `moment`."""
    if moment != "starting":
        saved = (job.checkpoints() or [0])[-1]
        saved += CHECKPOINT_EVERY * chance.randint(1, 3)
        job.wait_for(lambda: (job.checkpoints() or [0])[-1] >= saved)
    if moment == "saving":
        job.wait_for(lambda: unfinished_saves(job))
    time.sleep(chance.uniform(0, MOMENTS[moment]))
    job.processes[0].send_signal(signal.SIGKILL)
    assert job.wait() == [-signal.SIGKILL], job.log.read_text()


def check_resumes(folder, moments, num_steps, seed=0):
    """Kills a run at each of the moments in turn, lets it end, and compares.

    Returns:
      How many kills left an unfinished checkpoint behind.

    Raises:
      AssertionError: a start from another update than the newest saved, or other parameters.
    """
    folder, chance = pathlib.Path(folder), random.Random(seed)
    config = write_config(
        folder,
        num_steps=num_steps,
        checkpoint_every=CHECKPOINT_EVERY,
        keep_checkpoints=2,
        eval_every=0,
    )
    undisturbed = Job(config, folder / "undisturbed").finish()
    newest, torn = [], 0
    for number, moment in enumerate(moments, 1):
        job = Job(config, folder / "killed")
        kill(job, moment, chance)
        unfinished = unfinished_saves(job)
        # Before it has started it has not cleared away what the kill before left.
        torn += bool(unfinished) and moment != "starting"
        newest += job.checkpoints()[-1:]
        print(
            f"kill {number:2}, {moment:9} newest checkpoint: {(newest or ['none'])[-1]!s:5}",
            *(f"unfinished: {name}" for name in unfinished),
            flush=True,
        )
    job = Job(config, folder / "killed")
    chex.assert_trees_all_equal(job.finish(), undisturbed)
    log = job.log.read_text()
    resumed = [int(step) for step in re.findall(r"Resuming from update (\d+)", log)]
    # A start that was killed before it came to that says nothing; the last one does.
    assert set(resumed) <= set(newest) and resumed[-1:] == newest[-1:], (resumed, newest)
    assert "damaged" not in log and not unfinished_saves(job), log
    print(f"It resumed {len(resumed)} times: from {', '.join(map(str, resumed))}.")
    return torn


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    moments = [list(MOMENTS)[number % len(MOMENTS)] for number in range(options.kills)]
    chance.shuffle(moments)
    with tempfile.TemporaryDirectory() as folder:
        torn = check_resumes(folder, moments, 40 * options.kills, options.seed)
    print(
        f"{options.kills} kills, {torn} of which left an unfinished checkpoint; the parameters are "
        "those of the undisturbed run, bit for bit."
    )


if __name__ == "__main__":
    main()
