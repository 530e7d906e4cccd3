"""Real processes that train together: `python -m tests.many_processes` shows more."""

import signal

import chex
import pytest

from tests.jobs import Job, write_config

pytestmark = pytest.mark.slow


def test_two_processes_stop_together_and_end_where_one_does(tmp_path):
    config = write_config(tmp_path, num_steps=40, checkpoint_every=8, eval_every=20)
    stopped = Job(config, tmp_path / "two", processes=2)
    stopped.wait_for(lambda: stopped.checkpoints())
    stopped.processes[1].send_signal(signal.SIGTERM)
    assert stopped.wait() == [128 + signal.SIGTERM] * 2
    log = stopped.log.read_text()
    assert log.count(f"Stopping at update {stopped.checkpoints()[-1]};") == 1
    assert stopped.checkpoints()[-1] < 40
    params = Job(config, tmp_path / "two", processes=2).finish()
    one = Job(config, tmp_path / "one", devices=2).finish()
    chex.assert_trees_all_close(params, one, atol=1e-6)
    events = list((tmp_path / "two").glob("events.*"))
    assert len(events) == 2, "one file of events a start, not one a process"
