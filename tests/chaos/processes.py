"""Starts programs by fork, in a hundredth of the time of a new interpreter.

This process has imported what all programs need, and never used JAX: threads of a device do not
survive a fork. A child runs a module as `python -m` does, with a session of its own.
"""

import atexit
import contextlib
import ctypes
import gc
import importlib.util
import mmap
import os
import pickle
import runpy
import signal
import socket
import struct
import sys
import threading
import time
import traceback

from vpt_gen import cli

_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link"}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_SUBREAPER = 36  # of Linux' prctl.h
LIMIT = 900  # seconds, after which a program counts as hung


def prepare(modules):
    """Imports programs and other modules, once.

    Orphans become children of this process.
    """
    for name in map(_program, modules):
        importlib.import_module(name)
        if name.startswith("vpt_gen"):
            del sys.modules[name]  # Run as a program, it is a module of another name.
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    gc.collect()
    gc.freeze()  # Children would copy every page on which they count references.


def _program(name):
    """The module that `python -m` runs."""
    is_package = importlib.util.find_spec(name).submodule_search_locations
    return f"{name}.__main__" if is_package and name.startswith("vpt_gen") else name


class Trap:
    """Sends a process a signal at its n-th change of a file below a folder.

    Changes are files opened for writing, renamed and removed, and folders made and removed. Those
    of C++ code are not seen, so that some faults come by the clock instead.
    """

    def __init__(self, folder, at=0, number=signal.SIGKILL):
        """Counts only, if `at` is 0."""
        self._folder, self._at, self._number = str(folder), at, number
        self._count = mmap.mmap(-1, 8)  # Shared with the child.

    @property
    def count(self):
        return struct.unpack("q", self._count[:8])[0]

    @property
    def sprung(self):
        return 0 < self._at <= self.count

    def set(self):
        """Watches this process from now on."""
        sys.addaudithook(self._see)

    def _see(self, event, args):
        if event == "open":
            path, _, flags = args
            changes = isinstance(flags, int) and flags & _WRITING
        else:
            path, changes = (args or (None,))[0], event in _CHANGES
        if changes and str(path).startswith(self._folder):
            self._count[:8] = struct.pack("q", self.count + 1)
            if self.count == self._at:
                os.kill(os.getpid(), self._number)


class Process:
    """A started program; `log` is the file of what it prints."""

    def __init__(self, pid, log, begun):
        self.pid, self.log, self._begun = pid, log, begun
        self.started, self.code = time.monotonic(), None

    def poll(self):
        """The exit code, negative for a signal; None while the process runs."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code

    def wait(self):
        """Waits for the end; returns the exit code, or None if the process hung and was killed."""
        while self.poll() is None:
            if time.monotonic() - self.started > LIMIT:
                os.killpg(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                return None
            time.sleep(0.005)
        return self.code

    def send(self, number):
        """Sends a signal, once Python has imported the program."""
        while self.poll() is None and not self._begun[0]:
            time.sleep(0.005)
        if self.poll() is None:
            os.kill(self.pid, number)

    def text(self):
        return self.log.read_text(errors="replace")


def start(words, log, trap=None, cell_trap=None):
    """Starts `python -m <words>`.

    Args:
      words: a module and its arguments.
      log: file for what it prints.
      trap: for this process.
      cell_trap: for the first process that a study starts.
    """
    begun = mmap.mmap(-1, 1)  # Shared with the child.
    pid = os.fork()
    if not pid:
        with _ending():
            os.setsid()
            _to_log(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC))
            if words[0] == "vpt_gen.study":
                _Cells.take_over(cell_trap)
            if trap:
                trap.set()
            _run(words, begun)
    return Process(pid, log, begun)


def compute(function, *arguments):
    """Returns what a function returns in a child, which may use JAX."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        with _ending(), os.fdopen(write, "wb") as answer:
            os.close(read)
            pickle.dump(function(*arguments), answer)
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        content = answer.read()
    _, status = os.waitpid(pid, 0)
    if status:
        raise RuntimeError(f"{function.__name__}{arguments} failed; see above.")
    return pickle.loads(content)


def wait_for_orphans():
    """Waits until the processes that killed programs left have ended."""
    deadline = time.monotonic() + LIMIT
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < deadline:
            if not os.waitpid(-1, os.WNOHANG)[0]:
                time.sleep(0.01)


@contextlib.contextmanager
def _ending():
    """Ends the child after what is done in it, as an interpreter ends."""
    code = 0
    try:
        yield
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(bool(error.code))
    except BaseException:
        traceback.print_exc()
        code = 1
    with contextlib.suppress(BaseException):
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _to_log(log):
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(descriptor, target)


def _run(words, begun=None):
    module, *arguments = map(str, words)
    sys.argv = [module, *arguments]
    if begun:
        run = cli.exit_code

        def program_begins(program):
            begun[0] = 1
            program()

        cli.exit_code = lambda program: run(lambda: program_begins(program))
    runpy.run_module(module, run_name="__main__", alter_sys=True)


class _Cells:
    """Starts the cells of a study for it: the study has used JAX, so that it cannot fork them.

    Stands for `subprocess` in the study's runner. The process that forks is the study's child from
    its beginning, and like a cell it outlives a study that is killed.
    """

    DEVNULL = None

    def __init__(self, connection):
        self._connection = connection

    @classmethod
    def take_over(cls, trap):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if not os.fork():
            with _ending():
                os.setsid()
                ours.close()
                _serve(theirs, trap)
        theirs.close()
        from vpt_gen.study import runner

        runner.subprocess = cls(ours)

    def Popen(self, command, stdin, stdout, stderr, pass_fds, start_new_session):  # noqa: N802
        del stdin, stderr, start_new_session  # Always nothing, the log and True.
        request = pickle.dumps(command[2:])
        socket.send_fds(self._connection, [request], [stdout.fileno(), *pass_fds])
        self.pid = pickle.loads(self._connection.recv(1 << 12))
        return self

    def wait(self):
        return pickle.loads(self._connection.recv(1 << 12))

    def terminate(self):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


def _serve(connection, trap):
    while True:
        request, descriptors, *_ = socket.recv_fds(connection, 1 << 16, 8)
        if not request:
            return
        pid = os.fork()
        if not pid:
            with _ending():
                os.setsid()
                connection.close()
                _to_log(descriptors[0])
                if trap:
                    trap.set()
                _run(pickle.loads(request))
        trap = None
        for descriptor in descriptors:
            os.close(descriptor)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.send(pickle.dumps(pid))
        _, status = os.waitpid(pid, 0)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.send(pickle.dumps(os.waitstatus_to_exitcode(status)))
