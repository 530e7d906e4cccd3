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


def test_a_full_disk_is_one_sentence(capsys):
    def fill():
        raise ValueError("Error writing x: No space left on device [OS error 28]")

    assert report_user_errors(fill) == 2
    assert "the disk is full" in capsys.readouterr().err
    with pytest.raises(ZeroDivisionError):
        report_user_errors(lambda: 1 / 0)
