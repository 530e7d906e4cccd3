"""launch/slurm.sh: the batch script, and what it does when the training has ended."""

import pytest

from tests.launch.fakes import error_of

pytestmark = pytest.mark.slow

TRAINING = ("--config=configs/folder.py", "--workdir=runs/mine", "--config.data.path=a b")

PLAN = """\
mkdir -p runs
bash launch/setup.sh cuda
sbatch <<'END'
#!/usr/bin/env bash
#SBATCH --job-name=vpt-gen
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=runs/%x-%j.log
#SBATCH --partition=gpu
# All processes of a node see all of its GPUs, and each uses its own. If one ends, the others have
# time to save before they are killed.
srun --cpus-per-task=8 --kill-on-bad-exit=0 --wait=120 \\
  VENV/bin/python -m vpt_gen.main --config=configs/folder.py --workdir=runs/mine \
'--config.data.path=a b' --distributed
code=$?
# 143 (128 + SIGTERM): it has saved. A job that was canceled, or requeued by Slurm, is not RUNNING.
# One task of an array has the number of the whole array, so that tasks are named by their index.
job="${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}"
job="${job:-$SLURM_JOB_ID}"
state="$(squeue --noheader --jobs="$job" --format=%T)"
if [ "$code" = 143 ] && [ "$state" = RUNNING ]; then
  scontrol requeue "$job"
fi
exit "$code"
END
"""


def test_dry_run_prints_what_would_be_done(fakes):
    run = fakes.launch("slurm", "--dry_run", "--nodes=2", "--gpus=8", "--partition=gpu", *TRAINING)
    assert run.returncode == 0, run.stderr
    assert run.stdout.replace(str(fakes.folder / "venv"), "VENV") == PLAN


@pytest.mark.parametrize(
    ("program", "flags"),
    [
        ("sample", ("--checkpoint=runs/mine", "--num=1000", "--set=num_iterations=8")),
        ("edit", ("--checkpoint=runs/mine", "--image=a.png", "--image=b.png", "--box=0,0,8,8")),
        ("preview", ("--backbone=maskgit256", "--classes=all", "--folder=runs/seen")),
        ("report", ("--workdir=runs/mine", "--num=16")),
    ],
)
def test_other_programs_get_what_follows_two_dashes(fakes, program, flags):
    run = fakes.launch("slurm", "--dry_run", f"--program={program}", "--", *flags)
    assert run.returncode == 0, run.stderr
    assert f"python -m vpt_gen.{program} {' '.join(flags)} --distributed\n" in run.stdout


def test_the_nodes_of_a_study_are_an_array_of_jobs(fakes):
    flags = ("--config=configs/study_vtab.py", "--workdir=runs/vtab")
    run = fakes.launch(
        "slurm",
        "--dry_run",
        "--nodes=19",
        "--gpus=2",
        "--program=study",
        *flags,
        "--",
        "--only=dtd",
    )
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    for line in ("nodes=1", "ntasks-per-node=1", "gpus-per-node=2", "cpus-per-task=16"):
        assert f"#SBATCH --{line}" in lines
    assert "#SBATCH --array=0-18" in lines
    command = f"-m vpt_gen.study {' '.join(flags)} --only=dtd --shard=$SLURM_ARRAY_TASK_ID/19"
    assert any(line.endswith(command) for line in lines)
    assert "--distributed" not in run.stdout
    assert "# One process uses all GPUs of the node" in run.stdout
    assert "All processes of a node" not in run.stdout


def submitted(fakes, *flags):
    """The script that sbatch is given."""
    fakes.add("sbatch", 'cat >"$FAKE/script"')
    run = fakes.launch("slurm", "--gpus=2", *flags, *TRAINING)
    assert run.returncode == 0, run.stderr
    assert fakes.noted() == ["sbatch "]
    return str(fakes.folder / "script")


@pytest.mark.parametrize(
    ("code", "state", "queued_again"),
    [
        (143, "RUNNING", True),  # before the end of its time
        (143, "COMPLETING", False),  # canceled, or preempted, when Slurm queues it again itself
        (0, "RUNNING", False),
        (2, "RUNNING", False),
    ],
)
def test_the_job_queues_again_when_the_training_was_interrupted(fakes, code, state, queued_again):
    script = submitted(fakes)
    fakes.add("srun", f'shift 3; "$@"; exit {code}')
    fakes.add_training("")
    fakes.add("squeue", f"echo {state}")
    fakes.add("scontrol")
    run = fakes.run("env", "SLURM_JOB_ID=7", "bash", script)
    assert run.returncode == code
    assert ("scontrol requeue 7" in fakes.noted()) == queued_again
    assert fakes.noted("trainings") == [" ".join((*TRAINING, "--distributed"))]


def test_a_task_of_an_array_asks_for_itself_alone(fakes):
    """One task has the number of the whole array, of which squeue would list all tasks."""
    script = submitted(fakes, "--program=study", "--nodes=2")
    fakes.add("srun", "exit 143")
    states = (
        'case "$*" in *--jobs=7_1\\ *) echo RUNNING ;; *) printf "RUNNING\\nPENDING\\n" ;; esac'
    )
    fakes.add("squeue", states)
    fakes.add("scontrol")
    task = ("SLURM_JOB_ID=7", "SLURM_ARRAY_JOB_ID=7", "SLURM_ARRAY_TASK_ID=1")
    run = fakes.run("env", *task, "bash", script)
    assert run.returncode == 143
    assert "scontrol requeue 7_1" in fakes.noted()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (TRAINING[1:], "no --config given"),
        (TRAINING[:1], "no --workdir given"),
        ((*TRAINING, "--gpus=0"), "--gpus=0 is not a positive number"),
        ((*TRAINING, "--partition=a b"), "contains a space"),
        ((*TRAINING, "--gpu=8"), "unknown flag --gpu"),
        (TRAINING, "sbatch is missing"),
        (("--program=walk", "--", "--checkpoint=runs/a"), "unknown program walk; use main,"),
        (("--program=report", "--", "--checkpoint=runs/a"), "no --workdir given; add -- --workdir"),
        (("--program=edit", "--", "--checkpoint=runs/a"), "no --image given"),
        (("--program=sample", "--", "--num=3"), "no --checkpoint given"),
        (("--program=evaluate", "--", "--num=3"), "neither --checkpoint nor --images given"),
    ],
)
def test_what_is_wrong_is_one_sentence(fakes, arguments, message):
    # Where Slurm is really there, this must not find it.
    run = fakes.run("env", f"PATH={fakes.coreutils()}", "bash", "launch/slurm.sh", *arguments)
    assert message in error_of(run)
