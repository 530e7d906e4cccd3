"""launch/benchmark.sh: what it would measure, as a user without a GPU can see it."""

import shlex

import pytest

from tests.launch.fakes import error_of
from tests.programs import call
from vpt_gen.benchmark import __main__ as program

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", ["--small", "--extra=cuda"])
def test_the_benchmark_takes_every_command(fakes, kind, tmp_path, monkeypatch):
    run = fakes.launch("benchmark", kind, f"--output={tmp_path / 'tables'}", "--dry_run")
    assert run.returncode == 0, run.stderr
    commands = [
        shlex.split(line) for line in run.stdout.splitlines() if "vpt_gen.benchmark" in line
    ]
    measured = []
    monkeypatch.setattr(program, "measure", lambda what, values: measured.append(what) or {})
    for words in commands:
        start = words.index("vpt_gen.benchmark") + 1
        (tmp_path / "tables").mkdir(exist_ok=True)
        call(program, *words[start:], needs_config=False)
    assert {"tune", "decode", "edit", "growth"} <= set(measured)
    assert len({path.name for path in (tmp_path / "tables").iterdir()}) == len(commands)
    assert "first picture" in run.stdout


def test_published_sizes_are_not_measured_on_a_cpu_by_accident(fakes):
    assert "--extra=cuda" in error_of(fakes.launch("benchmark"))


def test_tables_that_exist_are_not_measured_again(fakes, tmp_path):
    fakes.add_training("echo never >&2; exit 1")
    for name in ("steps", "decoding", "autoregressive", "edits", "growth"):
        (tmp_path / f"{name}.json").touch()
    (tmp_path / "first_image.txt").touch()
    run = fakes.launch("benchmark", "--small", "--extra=cuda", f"--output={tmp_path}")
    assert run.returncode == 0, run.stderr
    assert not fakes.noted("trainings")
