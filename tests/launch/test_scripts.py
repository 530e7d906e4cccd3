"""All of launch/: clean by shellcheck, with help, and words that survive a shell."""

import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from tests.launch.fakes import ROOT, error_of

pytestmark = pytest.mark.slow

SCRIPTS = sorted(path.name for path in (ROOT / "launch").glob("*.sh"))
SHELLCHECK = shutil.which("shellcheck") or shutil.which(
    "shellcheck", path=pathlib.Path(sys.executable).parent
)


@pytest.mark.skipif(SHELLCHECK is None, reason="shellcheck is not installed (extra `test`)")
def test_scripts_are_clean():
    run = subprocess.run(
        [SHELLCHECK, "--external-sources", *(f"launch/{name}" for name in SCRIPTS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize("name", ["tpu", "kubernetes", "slurm"])
def test_help_names_every_flag(fakes, name):
    run = fakes.launch(name, "--help")
    assert run.returncode == 0
    assert "--dry_run" in run.stdout and f"bash launch/{name}.sh" in run.stdout
    assert "shellcheck" not in run.stdout
    script = (ROOT / "launch" / f"{name}.sh").read_text()
    settings = set(re.findall("^([a-z_]+)=", script.partition("() {")[0], re.MULTILINE))
    for flag in settings - {"attempts", "had_slice", "studies", "values"}:
        assert f"--{flag}" in run.stdout, flag


@pytest.mark.parametrize(
    ("name", "character"),
    [
        *((name, "\n") for name in SCRIPTS if name != "launcher.sh"),
        *(("slurm.sh", character) for character in "\r\t\x1b\x7f\x85\u2028"),
    ],
)
def test_control_characters_are_refused(fakes, name, character):
    run = fakes.launch(name.removesuffix(".sh"), f"--config.data.path=a{character}EOF")
    assert "has a control character" in error_of(run) and character not in run.stderr[:-1]
    assert not fakes.noted()


def test_text_of_any_language_is_an_argument(fakes):
    run = fakes.run("bash", "-c", '. launch/launcher.sh; check_arguments "$@"', "-", "a b", "蓝 é…")
    assert run.returncode == 0, run.stderr


def test_quoted_words_are_read_back(fakes):
    words = ["plain", "--config.data.path=a b", "it's", "", '"$HOME" \\ `x`', "a\nb", "*", "&&"]
    run = fakes.run("bash", "-c", '. launch/launcher.sh; quoted "$@"', "-", *words)
    assert shlex.split(run.stdout) == words
    again = fakes.run("bash", "-c", f"printf '%s\\0' {run.stdout}")
    assert again.stdout.split("\0")[:-1] == words
