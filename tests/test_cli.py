"""The programs as a user starts them: help, and one sentence for what is wrong."""

import os
import pathlib
import subprocess
import sys

import pytest

from vpt_gen.errors import report_user_errors

ROOT = pathlib.Path(__file__).parents[1]


def start(*arguments):
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "XLA_FLAGS": ""},
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "No --config given"),
        (("--config=configs/nope.py",), "configs/nope.py"),
        (("--config=configs/demo.py", "--config.optimizer.lr=1"), "Unknown config field 'lr'"),
        (("--config=configs/folder.py", "--config.data.path=nowhere"), "'nowhere' does not exist"),
    ],
)
def test_main_names_what_is_wrong(arguments, message, tmp_path):
    run = start("vpt_gen.main", *arguments, f"--workdir={tmp_path / 'run'}")
    assert run.returncode == 2
    lines = [line for line in run.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and message in lines[0]
    assert "Traceback" not in run.stderr
    assert not (tmp_path / "run").exists()


def test_sample_names_a_missing_run(tmp_path):
    run = start("vpt_gen.sample", f"--checkpoint={tmp_path}")
    assert run.returncode == 2
    assert "is no working directory of a run" in run.stderr


def test_help_explains_the_flags():
    run = start("vpt_gen.sample", "--help")
    assert "--marquee" in run.stdout
    assert "Same seed, same images" in run.stdout
    assert run.returncode == 0


def test_a_full_disk_is_one_sentence(capsys):
    def fill():
        raise ValueError("Error writing x: No space left on device [OS error 28]")

    assert report_user_errors(fill) == 2
    assert "the disk is full" in capsys.readouterr().err
    with pytest.raises(ZeroDivisionError):
        report_user_errors(lambda: 1 / 0)


def test_check_lists_what_is_missing(tmp_path):
    only = "--only=vtab_dtd,vtab_resisc45,demo"
    run = start("vpt_gen.data.check", only, f"--data_dir={tmp_path}")
    assert run.returncode == 0, run.stderr
    assert "put NWPU-RESISC45 at" in run.stdout
    *_, blank, last = run.stdout.splitlines()
    summary = "1 ready, 1 downloadable, 1 needs files. --prepare takes 1.3 GB of disk."
    assert (blank, last) == ("", summary)
    assert list(tmp_path.iterdir()) == [], "only --prepare writes"


def test_check_names_what_is_wrong():
    run = start("vpt_gen.data.check", "--only=vtab_caltec")
    assert run.returncode == 2
    message = "error: No config 'vtab_caltec' in configs; did you mean vtab_caltech?"
    assert run.stderr.splitlines()[-1] == message
