"""The runner: what it starts, what it makes of failures, and what is left when it is killed."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from tests.study.studies import MadeRuns, small_study
from vpt_gen.machine import lock
from vpt_gen.study.cells import all_cells
from vpt_gen.study.runner import Runner, Stopped
from vpt_gen.study.states import LOG, read_attempts

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[2]
# A cell counts its starts, fails where another process is at work in it, and takes a while.
SLOW = """
import os, time
with open(folder / "starts", "a") as file: file.write("x")
with open(folder / "busy", "x") as file: file.write(str(os.getpid()))
time.sleep({seconds})
(folder / "busy").unlink()
"""
# A program of its own, so that it can be killed.
PROGRAM = """
import pathlib, sys
from tests.study.studies import MadeRuns, small_study
from tests.study.test_runner import SLOW
from vpt_gen.machine import lock
from vpt_gen.study.cells import all_cells
from vpt_gen.study.runner import Runner

folder = pathlib.Path(sys.argv[1])
study = small_study()
study.search.multiples, study.shots, study.seeds = (1.0,), (5,), (0, 1)
with lock.held(folder / "shard", "--workdir", wait=True) as descriptor:
    runner = Runner(study, folder, MadeRuns(folder, SLOW.format(seconds=1.0)))
    missing = runner.run(all_cells(study), descriptor)
sys.exit(len(missing))
"""


@pytest.fixture
def study():
    study = small_study()
    study.search.multiples = (1.0,)
    study.shots = (5,)
    study.seeds = (0, 1)
    return study


def run(study, folder, code, cells=None):
    runner = Runner(study, folder, MadeRuns(folder, code))
    with lock.held(folder / "shard", "--workdir") as descriptor:
        return runner, runner.run(cells or all_cells(study), descriptor)


def test_a_cell_that_crashes_is_named_and_tried_again(study, tmp_path, capsys):
    crash = "if 'apple/digits/5/0' in cell: raise SystemExit('out of luck')"
    runner, missing = run(study, tmp_path, crash)
    ((cell, why),) = missing.items()
    assert (str(cell), why) == ("cells/apple/digits/5/0", "out of luck")
    assert runner.state(cell) == "failed: out of luck"
    assert "[3/4] cells/apple/digits/5/0" in capsys.readouterr().out
    assert "raise SystemExit" in (tmp_path / cell.path / LOG).read_text()
    runner, missing = run(study, tmp_path, "")
    assert not missing and {runner.state(cell) for cell in all_cells(study)} == {"done"}
    codes = [attempt.exit_code for attempt in read_attempts(tmp_path / cell.path)]
    assert codes == [1, 0]
    # Nothing is done twice.
    assert len(read_attempts(tmp_path / "cells/zebra/digits/5/0")) == 1


def test_a_cell_killed_from_outside_is_named(study, tmp_path):
    runner, missing = run(study, tmp_path, "import os; os.kill(os.getpid(), 9)")
    assert set(missing.values()) == {"killed by SIGKILL"} and len(missing) == 4


def test_a_result_that_is_damaged_is_made_anew(study, tmp_path):
    run(study, tmp_path, "")
    path = tmp_path / "cells/zebra/digits/5/1/metrics.json"
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    runner, missing = run(study, tmp_path, "")
    assert not missing and path.read_text() == whole


def test_cells_wait_for_what_they_need(study, tmp_path):
    study.search.multiples = (1.0, 3.0)
    _, missing = run(
        study, tmp_path, "if 'zebra' in cell and '/x3' in cell: raise SystemExit('no')"
    )
    why = {str(cell): reason for cell, reason in missing.items()}
    assert why == {
        "search/zebra/digits/5/x3": "no",
        "cells/zebra/digits/5/0": "search/zebra/digits/5/x3 is not done",
        "cells/zebra/digits/5/1": "search/zebra/digits/5/x3 is not done",
    }


def test_a_cell_that_another_runner_works_on_is_left_to_it(study, tmp_path):
    """Shards of two divisions, such as 0/1 and 1/2, have cells in common."""
    folder = tmp_path / "cells/zebra/digits/5/1"
    with lock.held(folder, "--shard", beside=True):
        _, missing = run(study, tmp_path, "")
    ((cell, why),) = missing.items()
    assert str(cell) == "cells/zebra/digits/5/1" and f"in use by process {os.getpid()}" in why
    assert not folder.exists()
    assert run(study, tmp_path, "")[1] == {}


def start(folder):
    return subprocess.Popen([sys.executable, "-c", PROGRAM, str(folder)], cwd=ROOT)


def wait_for(holds, seconds=60):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_runner_killed_in_the_middle_loses_nothing(study, tmp_path):
    first = start(tmp_path)
    busy = tmp_path / "cells/zebra/digits/5/1/busy"
    wait_for(busy.exists)
    first.kill()
    first.wait()
    assert busy.exists()  # The cell's process lives on.
    second = start(tmp_path)
    assert second.wait() == 0
    runner = Runner(study, tmp_path, MadeRuns(tmp_path, ""))
    assert {runner.state(cell) for cell in all_cells(study)} == {"done"}
    starts = [(tmp_path / cell.path / "starts").read_text() for cell in all_cells(study)]
    assert starts == ["x"] * 4


def test_a_runner_and_its_cell_killed_together_go_on(study, tmp_path):
    first = start(tmp_path)
    folder = tmp_path / "cells/zebra/digits/5/1"
    wait_for(lambda: (folder / "busy").exists() and (folder / "busy").read_text())
    first.kill()
    first.wait()
    os.kill(int((folder / "busy").read_text()), signal.SIGKILL)
    (folder / "busy").unlink()
    assert start(tmp_path).wait() == 0
    assert (folder / "starts").read_text() == "xx"
    assert [a.exit_code for a in read_attempts(folder)] == [None, 0]


def test_a_signal_is_handed_on_and_ends_the_study(study, tmp_path):
    code = """
import signal, sys, time
def save(number, frame):
    (folder / "saved").touch()
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
import os
os.kill(os.getppid(), signal.SIGINT)
time.sleep(60)
"""
    with pytest.raises(Stopped) as stopped:
        run(study, tmp_path, code)
    assert stopped.value.code == 128 + signal.SIGINT
    assert (tmp_path / "cells/zebra/digits/5/0/saved").exists()
    runner = Runner(study, tmp_path, MadeRuns(tmp_path, ""))
    states = [runner.state(cell) for cell in all_cells(study)]
    assert states == ["interrupted", "waiting", "waiting", "waiting"]
