"""How processes end: with a word about why, and without keeping the others waiting."""

import signal
import subprocess
import sys
import time

import pytest

from tests.jobs import free_port
from tests.programs import ROOT, environment
from vpt_gen.machine import distributed

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
