"""A few faults of each kind on the quickest programs; `python -m tests.chaos` shows more."""

import subprocess
import sys

import pytest

from tests.chaos.disk import can_mount
from tests.chaos.table import Table
from tests.programs import ROOT

PROGRAMS = ("packing.targets", "data.check")


@pytest.mark.slow
@pytest.mark.skipif(not can_mount(), reason="needs Linux with user namespaces")
def test_quick_programs_keep_their_promises():
    words = ["-m", "tests.chaos", "--faults=45", f"--programs={','.join(PROGRAMS)}"]
    run = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    for name in PROGRAMS:
        assert f"\n| {name} | " in run.stdout
    (total,) = [line for line in run.stdout.splitlines() if line.startswith("| all |")]
    # Which faults come before the end of these quick programs depends on the machine's speed.
    assert total.count("| 0 |") <= 1, run.stdout


def test_a_table_counts_faults_and_what_they_broke():
    table = Table(["killed", "full disk"])
    table.add("main", "killed")
    table.add("main", "full disk")
    table.add("sample", "full disk")
    table.add_broken("sample", "full disk", "lost: an image", "python -m tests.chaos --life=3")
    assert str(table).splitlines() == [
        "| program | killed | full disk | all |",
        "| --- | --- | --- | --- |",
        "| main | 1 | 1 | 2 |",
        "| sample | 0 | 1 (1 broken) | 1 (1 broken) |",
        "| all | 1 | 2 (1 broken) | 3 (1 broken) |",
    ]
    assert table.total == 3
    assert table.findings == {
        "sample, full disk: lost: an image": ["python -m tests.chaos --life=3"]
    }
