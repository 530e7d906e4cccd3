"""How processes end: with a word about why, and without keeping the others waiting."""

import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from tests.jobs import free_port
from tests.programs import ROOT, environment
from vpt_gen.machine import distributed, lock

# Process 1 fails where process 0 waits for it.
_PROGRAM = """
import jax
from absl import app
from vpt_gen import cli
from vpt_gen.machine import distributed

def main(argv):
    distributed.start()
    distributed.wait_for_all("the start")
    if not distributed.is_first():
        raise KeyError("unforeseen")
    distributed.wait_for_all("the end")

distributed.define_flags()
distributed.leave_after(lambda: cli.exit_code(lambda: app.run(main)))
"""


def start(number, address):
    command = [sys.executable, "-c", _PROGRAM, "--distributed", f"--coordinator_address={address}"]
    return subprocess.Popen(
        [*command, "--num_processes=2", f"--process_id={number}"],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(autouse=True)
def interruptible():
    """Programs that end here do not end the tests."""
    handler = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, handler)


@pytest.mark.slow
def test_an_unexpected_error_of_one_process_ends_them_all():
    address = f"127.0.0.1:{free_port()}"
    first, second = (start(number, address) for number in range(2))
    try:
        said = second.communicate(timeout=60)[0]
        assert second.returncode == 1, said
        assert "Traceback" in said and "KeyError: 'unforeseen'" in said
        begin = time.monotonic()
        said = first.communicate(timeout=60)[0]
        assert first.returncode not in (0, None), said
        assert time.monotonic() - begin < 15, said
    finally:
        for process in (first, second):
            process.kill()


@pytest.mark.parametrize("error", [KeyError("k"), MemoryError(), RuntimeError("XLA")])
@pytest.mark.parametrize("together", [False, True])
def test_whatever_is_raised_is_printed_and_ends_the_process(error, together, monkeypatch, capsys):
    def fail():
        raise error

    def leave_at_once(code):
        raise SystemExit(f"at once, {code}")

    monkeypatch.setattr(distributed.jax.distributed, "is_initialized", lambda: together)
    monkeypatch.setattr(distributed.os, "_exit", leave_at_once)
    monkeypatch.setattr(distributed.time, "sleep", lambda seconds: None)
    with pytest.raises(SystemExit) as left:
        distributed.leave_after(fail)
    assert left.value.code == ("at once, 1" if together else 1)
    assert f"{type(error).__name__}" in capsys.readouterr().err


def test_a_late_interrupt_does_not_disturb_the_end():
    with pytest.raises(SystemExit) as left:
        distributed.leave(0)
    signal.raise_signal(signal.SIGINT)
    assert left.value.code == 0


def test_processes_wait_long_for_what_may_come_late(monkeypatch, tmp_path):
    """A collective gives up after half a minute, and the first process may be late by hours."""
    calls = []
    agree = SimpleNamespace(
        broadcast_one_to_all=lambda x: calls.append("tell") or x,
        process_allgather=lambda x: calls.append("agree") or np.array([x, x]),
    )
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(distributed, "multihost_utils", agree)
    monkeypatch.setattr(distributed, "wait_long", lambda: calls.append("wait"))
    assert distributed.first_tells(np.array([True, False])).tolist() == [True, False]
    with lock.held_for_all(tmp_path, "--output"):
        assert calls == ["wait", "tell", "wait", "agree"]
