"""The lock of a folder: who gets it, who is named, and that the owner's death releases it."""

import contextlib
import errno
import fcntl
import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

from vpt_gen.errors import UserError
from vpt_gen.machine import lock

# Holds a lock until it is killed, or until its input ends.
OWNER = """
import sys
from vpt_gen.machine import lock
with lock.held(sys.argv[1], "--output"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def owner(folder):
    """A process of its own that holds the lock of a folder."""
    command = [sys.executable, "-c", OWNER, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def refusal(folder):
    """What is said to who does not get the lock."""
    with pytest.raises(UserError) as error, lock.held(folder, "--output"):
        pass
    return str(error.value)


def test_the_second_is_refused_and_told_who_the_first_is(tmp_path):
    with lock.held(tmp_path, "--output"):
        said = refusal(tmp_path)
    pattern = rf"{tmp_path} is in use by process {os.getpid()} on \S+, since 2\d\d\d-.* \(.*python"
    assert re.match(pattern, said)
    assert said.endswith("; wait until it ends, or choose another --output.")
    with lock.held(tmp_path, "--output"):
        pass


def test_a_killed_owner_is_named_while_it_lives_and_blocks_nobody_afterwards(tmp_path):
    with owner(tmp_path) as process:
        assert f"in use by process {process.pid} on" in refusal(tmp_path)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert (tmp_path / ".lock").exists()
        with lock.held(tmp_path, "--output"):
            assert str(os.getpid()) in (tmp_path / ".lock").read_text()


def test_a_lock_leaves_nothing(tmp_path):
    with lock.held(tmp_path / "a" / "b", "--output"):
        pass
    with pytest.raises(ZeroDivisionError), lock.held(tmp_path / "a", "--output"):
        raise ZeroDivisionError
    with lock.held(tmp_path / "a", "--output", beside=True):
        assert [path.name for path in tmp_path.iterdir()] == [".a.lock"]
    assert not list(tmp_path.iterdir())


def test_what_was_written_stays(tmp_path):
    folder = tmp_path / "a" / "b"
    with lock.held(folder, "--output"):
        (folder / "image").touch()
    assert [path.name for path in folder.iterdir()] == ["image"]


def test_who_waits_gets_the_lock_after_the_other(tmp_path, capsys):
    """Also where the first removes the file and the folder that the second waits for."""
    held, order = threading.Event(), []

    def second():
        held.wait()
        with lock.held(tmp_path / "new", "--output", wait=True):
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with lock.held(tmp_path / "new", "--output"):
        held.set()
        while "Waiting for" not in (said := capsys.readouterr().out):
            time.sleep(0.01)
        assert f"in use by process {os.getpid()}" in said
        time.sleep(0.05)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_only_one_of_many_holds_it_at_a_time(tmp_path):
    inside, together = [], []

    def work():
        for _ in range(10):
            with lock.held(tmp_path / "folder", "--output", wait=True):
                inside.append(1)
                together.append(len(inside))
                time.sleep(0.0005)
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == [1] * 40


@pytest.mark.parametrize("target", ["file", "file/below"])
def test_a_folder_that_cannot_be_is_one_sentence(tmp_path, target):
    (tmp_path / "file").write_text("mine")
    where = tmp_path / target
    reason = "it is a file, or in one; choose another --output."
    assert refusal(where) == f"Cannot write to {where}: {reason}"
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_that_is_read_only_is_one_sentence(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("builtins.open", refuse)
    assert "Read-only file system; choose another --output" in refusal(tmp_path)


def test_a_file_system_without_locks_is_told_and_used(tmp_path, monkeypatch, capsys):
    def flock(*args):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    with lock.held(tmp_path, "--output"):
        assert "has no locks; make sure that no other program" in capsys.readouterr().out


def test_a_bucket_has_no_lock():
    with lock.held("gs://bucket/run", "--workdir"), lock.held("gs://bucket/run", "--workdir"):
        pass


@pytest.mark.parametrize("content", [b"", b"\xff\x1b[31m\n"])
def test_an_owner_that_cannot_be_read_is_still_an_owner(tmp_path, content):
    with lock.held(tmp_path, "--output"):
        (tmp_path / ".lock").write_bytes(content)
        assert refusal(tmp_path).isprintable()
