"""Real processes that work together: `tests.many_processes` and `tests.many_samplers` show more."""

import contextlib
import signal

import chex
import pytest

from tests import many_samplers
from tests.jobs import Job, read_config, write_config
from tests.programs import train
from vpt_gen.checkpoints.store import Store

pytestmark = pytest.mark.slow
# Several batches for each of two processes, the last one not full.
IMAGES = 76


@contextlib.contextmanager
def running(config, workdir):
    """A run that has saved a checkpoint, and is killed in the end."""
    job = Job(config, workdir)
    try:
        before = job.checkpoints()
        job.wait_for(lambda: job.checkpoints() != before)
        yield job
    finally:
        job.processes[0].kill()
        job.wait()


def test_a_second_run_in_a_workdir_is_refused_until_the_first_is_killed(tmp_path):
    config = write_config(tmp_path, num_steps=10**6, checkpoint_every=4, eval_every=0)
    with running(config, tmp_path / "run") as first:
        given = ["--config.seed=1", "--config.checkpoint_every=0"]
        assert Job(config, tmp_path / "run", flags=given).wait() == [2]
        said = first.log.read_text().partition("error: ")[2].splitlines()[0]
        assert f"run is in use by process {first.processes[0].pid} on " in said
        assert f"--config={config}" in said
        assert '"seed": 0' in (tmp_path / "run" / "config.json").read_text()
    newest = first.checkpoints()[-1]
    with running(config, tmp_path / "run") as third:
        assert f"Resuming from update {newest} of" in third.log.read_text()


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
    train(read_config(config), tmp_path / "one", devices=2)
    one = Store(tmp_path / "one", read_only=True).restore_params()
    chex.assert_trees_all_close(params, one, atol=1e-6)
    events = list((tmp_path / "two").glob("events.*"))
    assert len(events) == 2, "one file of events a start, not one a process"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The workdir of a run of a few updates."""
    folder = tmp_path_factory.mktemp("trained")
    config = write_config(folder, num_steps=2, checkpoint_every=2, eval_every=0)
    train(read_config(config), folder / "run")
    return folder / "run"


def test_two_killed_processes_and_one_after_them_sample_what_one_does(trained, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    many_samplers.sample(trained, one, 1, IMAGES).succeed()
    killed = many_samplers.sample(trained, two, 2, IMAGES)
    killed.wait_for(lambda: len(list(two.glob("*.png"))) >= 3)
    for process in killed.processes:
        process.kill()
    killed.wait()
    many_samplers.sample(trained, two, 1, IMAGES).succeed()
    assert "drawing the rest" in killed.log.read_text()
    assert many_samplers.files_of(two) == many_samplers.files_of(one)


def test_two_processes_repaint_what_one_does(trained, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    for folder, processes in ((one, 1), (two, 2)):
        many_samplers.edit(trained, folder, processes, IMAGES).succeed()
    assert many_samplers.edited(two) == many_samplers.edited(one)


def test_two_processes_measure_what_one_does(trained, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    for folder, processes in ((one, 1), (two, 2)):
        many_samplers.evaluate(trained, folder, processes, IMAGES).succeed()
    assert many_samplers.figures_of(two) == many_samplers.figures_of(one)
    assert {path.name for path in two.iterdir()} == {"metrics.json", "strip.png"}
