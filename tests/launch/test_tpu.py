"""launch/tpu.sh against a cloud that is made up; worker.sh runs for real."""

import time

import pytest

from tests.launch.fakes import GCLOUD, error_of

pytestmark = pytest.mark.slow

SLICE = ("--zone=z", "--accelerator=v5p-128")
TRAINING = ("--config=configs/folder.py", "--workdir=gs://bucket/run", "--config.data.path=/a b")
FLAGS = (*SLICE, *TRAINING)
SAMPLE = (*SLICE, "--program=sample", "--")
EDIT = (*SLICE, "--program=edit", "--", "--checkpoint=gs://b/run", "--output=gs://b/edits")

PLAN = """\
# Creating the slice vpt-gen (v5p-128 in z).
gcloud compute tpus queued-resources create vpt-gen --node-id=vpt-gen --accelerator-type=v5p-128 \
--runtime-version=v2-alpha-tpuv5 --spot --zone=z
# Wait until it is READY (with --queued: ACTIVE):
gcloud compute tpus queued-resources describe vpt-gen '--format=value(state.state)' --zone=z
# Installing on all workers.
tar --exclude=__pycache__ -czf TMP/vpt_gen-vpt-gen.tar.gz LICENSE README.md pyproject.toml \
setup.cfg configs launch vpt_gen
gcloud compute tpus tpu-vm scp TMP/vpt_gen-vpt-gen.tar.gz vpt-gen:vpt_gen.tar.gz --worker=all \
--zone=z
gcloud compute tpus tpu-vm ssh vpt-gen --worker=all \
'--command=mkdir -p vpt_gen && tar -xzf vpt_gen.tar.gz -C vpt_gen' --zone=z
gcloud compute tpus tpu-vm ssh vpt-gen --worker=all \
'--command=bash vpt_gen/launch/worker.sh install' --zone=z
gcloud compute tpus tpu-vm ssh vpt-gen --worker=all \
'--command=bash vpt_gen/launch/worker.sh mount gs://bucket' --zone=z
# Starting on all workers: python -m vpt_gen.main --config=configs/folder.py \
--workdir=gs://bucket/run '--config.data.path=/a b' --distributed
gcloud compute tpus tpu-vm ssh vpt-gen --worker=all '--command=bash vpt_gen/launch/worker.sh start \
vpt_gen.main --config=configs/folder.py --workdir=gs://bucket/run \
'\\''--config.data.path=/a b'\\'' \
--distributed' --zone=z
# Following the log, then showing how the program ended.
gcloud compute tpus tpu-vm ssh vpt-gen --worker=0 \
'--command=bash vpt_gen/launch/worker.sh follow' --zone=z
gcloud compute tpus tpu-vm ssh vpt-gen --worker=0 \
'--command=bash vpt_gen/launch/worker.sh status' --zone=z
# If the slice was PREEMPTED (with --queued: SUSPENDED), delete it and repeat everything; if only
# the program was interrupted, repeat from the installation on. After it has finished:
# Deleting the slice vpt-gen.
gcloud compute tpus queued-resources delete vpt-gen --force --quiet --zone=z
"""


def test_dry_run_prints_what_would_be_done(fakes):
    run = fakes.launch(
        "tpu", "run", *FLAGS, "--queued", "--spot", "--shared=gs://bucket", "--dry_run"
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.replace(str(fakes.folder), "TMP") == PLAN


def test_the_workers_start_other_programs_with_what_follows_two_dashes(fakes):
    run = fakes.launch("tpu", "start", "--dry_run", *SAMPLE, "--checkpoint=gs://b/a", "--num=9")
    assert run.returncode == 0, run.stderr
    flags = "vpt_gen.sample --checkpoint=gs://b/a --num=9 --distributed"
    assert f"worker.sh start {flags}' --zone=z\n" in run.stdout
    assert f"python -m {flags}\n" in run.stdout


def test_without_a_queue_the_slice_is_asked_for_at_once(fakes):
    run = fakes.launch("tpu", "create", *SLICE, "--project=p", "--dry_run")
    assert run.stdout.splitlines()[1] == (
        "gcloud compute tpus tpu-vm create vpt-gen --accelerator-type=v5p-128 "
        "--version=v2-alpha-tpuv5 --zone=z --project=p"
    )


@pytest.mark.parametrize(
    ("accelerator", "version"),
    [
        ("v4-8", "tpu-ubuntu2204-base"),
        ("v5litepod-16", "v2-alpha-tpuv5-lite"),
        ("v5p-128", "v2-alpha-tpuv5"),
        ("v6e-8", "v2-alpha-tpuv6e"),
    ],
)
def test_the_software_follows_from_the_accelerator(fakes, accelerator, version):
    run = fakes.launch("tpu", "create", "--zone=z", f"--accelerator={accelerator}", "--dry_run")
    assert f"--accelerator-type={accelerator} --version={version} " in run.stdout


def test_commands_of_the_dry_run_do_the_same_when_pasted(fakes):
    fakes.add("gcloud", GCLOUD)
    fakes.add_training("echo trained")
    plan = fakes.launch("tpu", "run", *FLAGS, "--dry_run").stdout
    pasted = fakes.run("bash", "-e", input=plan.partition("# Following")[0])
    assert pasted.returncode == 0, pasted.stderr
    # Both workers were given the flags as they are, the space included.
    for _ in range(100):
        if len(fakes.noted("trainings")) == 2:
            break
        time.sleep(0.1)
    assert fakes.noted("trainings") == [" ".join((*TRAINING, "--distributed"))] * 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no command given"),
        (("run", "--accelerator=v4-8"), "no --zone given"),
        (("run", "--zone=z"), "no --accelerator given"),
        (("run", "--zone=z", "--accelerator=v5e-16"), "Cloud TPU calls it v5litepod-16"),
        (("run", "--zone=z", "--accelerator=v5litepod-12"), "1 4 8 16 32"),
        (("run", "--zone=z", "--accelerator=v5p-100"), "a multiple of 8"),
        (("run", "--zone=z", "--accelerator=h100"), "add --runtime_version"),
        (("run", *SLICE), "no --config given"),
        (("run", *SLICE, "--config=configs/nope.py"), "configs/nope.py does not exist"),
        (("run", *SLICE, "--config=configs/demo.py"), "no --workdir given"),
        (("run", *SLICE, *TRAINING, "--workdir=runs/x"), "runs/x is on one machine only"),
        (("run", *SLICE, *TRAINING, "--workdir=/shared/x"), "needs --shared"),
        (
            ("run", *SLICE, *TRAINING, "--workdir=/shared/x", "--shared=gs://b"),
            "use --workdir=gs://",
        ),
        (("run", *FLAGS, "--shared=gs://b/c"), "use the whole bucket"),
        (("run", *SAMPLE, "--checkpoint=runs/a"), "runs/a is on one machine only"),
        (("run", *SAMPLE, "--checkpoint=/shared/a"), "needs --shared"),
        (("run", *SLICE, "--program=preview", "--", "--tokenizer=a"), "no nets given"),
        (("run", *SLICE, "--program=preview", "--", "--backbone=cin"), "no --output given"),
        (("run", *SLICE, "--program=report", "--workdir=runs/a"), "runs/a is on one machine only"),
        (
            (
                "run",
                *(*SLICE, "--program=report", "--", "--workdir=gs://b/a"),
                "--compare=gs://b/c,runs/d,gs://b/e",
            ),
            "--compare=runs/d is on one machine only",
        ),
        (
            ("run", *EDIT, "--image=a.png", "--image=/shared/b.png"),
            "--image=a.png is on one machine only",
        ),
        (("run", *EDIT, "--image=gs://b/a.png"), "images to edit are read as files"),
        (("run", *SAMPLE, "--checkpoint=hf://a/b"), "no --output given"),
        (("run", *SAMPLE, "--checkpoint=gs://b/a", "--output=a"), "--output=a is on one machine"),
        (("run", *FLAGS, "--acelerator=v4-8"), "unknown flag --acelerator"),
        (("run", *FLAGS, "--spott"), "unknown switch --spott"),
        (("run", *FLAGS, "--zone"), "--zone=VALUE"),
        (("run", *FLAGS, "spot"), "unexpected argument 'spot'"),
    ],
)
def test_what_is_wrong_is_one_sentence(fakes, arguments, message):
    fakes.add("gcloud")
    assert message in error_of(fakes.launch("tpu", *arguments))
    assert not fakes.noted()


def test_a_missing_gcloud_is_one_sentence(fakes):
    run = fakes.run("env", f"PATH={fakes.coreutils()}", "bash", "launch/tpu.sh", "run", *FLAGS)
    assert "gcloud is missing" in error_of(run)


PREEMPTED_ONCE = """
echo "training on worker $FAKE_WORKER"
if [ ! -e "$FAKE/was_preempted" ]; then
  if [ "$FAKE_WORKER" = 0 ]; then
    while [ "$(wc -l <"$FAKE/trainings")" -lt 2 ]; do sleep 0.05; done
    touch "$FAKE/was_preempted"
    echo "$FAKE_LOST" >"$FAKE/state"
  fi
  exit 143
fi
"""


@pytest.mark.parametrize(
    ("queued", "ready", "lost"),
    [((), "READY", "PREEMPTED"), (("--queued",), "ACTIVE", "SUSPENDED")],
)
def test_a_preempted_slice_is_made_anew_and_the_training_goes_on(fakes, queued, ready, lost):
    fakes.add("gcloud", f"FAKE_READY={ready}\n{GCLOUD}")
    fakes.add_training(PREEMPTED_ONCE.replace("$FAKE_LOST", lost))
    run = fakes.launch("tpu", "run", *FLAGS, *queued, "--poll=0.1")
    assert run.returncode == 0, run.stderr
    assert f"preempted (its state is {lost})" in run.stdout and "Finished" in run.stdout
    assert "training on worker 0" in run.stdout
    kinds = [
        call.split()[4] for call in fakes.noted() if call.split()[4] in ("create", "delete", "scp")
    ]
    assert kinds == ["create", "scp", "delete", "create", "scp"]
    # The same command on both workers, before and after.
    assert fakes.noted("trainings") == [" ".join((*TRAINING, "--distributed"))] * 4


def test_a_training_that_fails_is_not_repeated(fakes):
    fakes.add("gcloud", GCLOUD)
    fakes.add_training("echo 'error: no images' >&2; exit 2")
    run = fakes.launch("tpu", "run", *FLAGS, "--poll=0.1")
    assert run.returncode == 2
    assert "ended with exit code 2" in run.stderr and "error: no images" in run.stdout
    assert len(fakes.noted("trainings")) == 2


def test_a_slice_that_cannot_be_made_ends_the_run(fakes):
    fakes.add("gcloud", 'case "$*" in *" describe "* | *" create "*) exit 1 ;; esac')
    run = fakes.launch("tpu", "run", *FLAGS, "--poll=0")
    assert run.returncode == 2
    assert "could not create the slice" in run.stderr


def test_a_slice_out_of_reach_ends_the_run(fakes):
    fakes.add("gcloud", 'case "$*" in *" describe "*) echo READY ;; *" ssh "*) exit 255 ;; esac')
    run = fakes.launch("tpu", "run", *FLAGS, "--poll=0")
    assert run.returncode == 2
    assert "cannot be reached" in run.stderr


def test_stop_lets_the_training_save(fakes):
    fakes.add("gcloud", GCLOUD)
    fakes.add_training('trap "echo saved; exit 143" TERM\necho ready\nwhile :; do sleep 0.05; done')
    for action in ("create", "install", "start"):
        assert fakes.launch("tpu", action, *FLAGS).returncode == 0
    assert "running" in fakes.launch("tpu", "status", *SLICE).stdout
    # A second start leaves the first training alone.
    fakes.launch("tpu", "start", *FLAGS)
    assert len(fakes.noted("trainings")) == 2
    log = fakes.folder / "worker0" / "vpt_gen" / "runs" / "worker.log"
    while "ready" not in log.read_text():
        time.sleep(0.05)
    assert fakes.launch("tpu", "stop", *SLICE).returncode == 0
    assert "saved" in fakes.launch("tpu", "log", *SLICE).stdout
    assert fakes.launch("tpu", "status", *SLICE).stdout.splitlines() == ["READY", "stopped"]
    assert (log.parent / "worker.code").read_text() == "143\n"
    fakes.launch("tpu", "delete", *SLICE)
    assert not log.exists()
