"""One writer per folder: a lock that ends with the process that holds it, however it ends.

A program holds the lock of a folder from before its first write until after its last one. The lock
is an `flock` on a hidden file in the folder. The system releases it when its owner ends, so that a
killed program never blocks the next one. The file says who its owner is; it is removed at the end.

There are no locks in a bucket (gs://...). On a network file system, the locks are as good as those
of that system; if it has none, a note says so.
"""

import contextlib
import datetime
import errno
import fcntl
import io
import os
import pathlib
import shlex
import socket
import sys
from collections.abc import Iterator

from vpt_gen.errors import UserError
from vpt_gen.machine import distributed
from vpt_gen.machine.files import in_bucket
from vpt_gen.machine.progress import say

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
_COMMAND = 300  # characters of the owner's command that are shown
_OWNER = 1000  # bytes of a lock's file that are read


@contextlib.contextmanager
def held(
    folder: str | os.PathLike[str], flag: str, *, wait: bool = False, beside: bool = False
) -> Iterator[int]:
    """Holds the lock of a folder.

    Args:
      folder: to write to. It is made if it does not exist, and removed at the end if it is empty.
      flag: what the user sets to choose another folder, for messages.
      wait: whether to wait for the owner; otherwise an owner is an error.
      beside: whether the lock's file is next to the folder, which is replaced as a whole or is a
        single file; otherwise it is in the folder.

    Yields:
      The lock's descriptor; a process that inherits it holds the lock, too. -1 in a bucket.

    Raises:
      UserError: another program holds the lock, or the folder cannot be written.
    """
    if in_bucket(os.fspath(folder)):
        yield -1
        return
    path = pathlib.Path(os.path.abspath(folder))
    path = path.with_name(f".{path.name}.lock") if beside else path / ".lock"
    made = [parent for parent in path.parents if not os.path.exists(parent)]
    with _taken(path, folder, flag, wait) as file:
        try:
            yield file.fileno()
        finally:
            with contextlib.suppress(OSError):  # The folder may be gone, or hold what was written.
                if _is_at(path, file):
                    path.unlink()
                for parent in made:
                    parent.rmdir()


@contextlib.contextmanager
def held_for_all(
    folder: str | os.PathLike[str], flag: str, *, wait: bool = False, beside: bool = False
) -> Iterator[None]:
    """Like `held`, for all processes of a run: they call this together, and the first one holds it.

    Raises:
      UserError: in all processes, if the first one does not get the lock.
    """
    refusal: UserError | None = None
    with contextlib.ExitStack() as stack:
        if distributed.is_first():
            try:
                stack.enter_context(held(folder, flag, wait=wait, beside=beside))
            except UserError as error:
                refusal = error
        distributed.wait_long()  # The first process may wait for the lock.
        if not distributed.all_agree(refusal is None):
            raise refusal or UserError(f"Process 0 cannot use {folder}; its message says why.")
        yield


def _taken(path: pathlib.Path, folder: str | os.PathLike[str], flag: str, wait: bool) -> io.FileIO:
    """Opens and locks the lock's file, and writes into it who holds it."""
    while True:
        file = _opened(path, folder, flag)
        if not _locked(file, fcntl.LOCK_EX | fcntl.LOCK_NB, folder):
            owner = _owner(file)
            if not wait:
                raise UserError(
                    f"{os.fspath(folder)} is in use by {owner}; wait until it ends, or choose "
                    f"another {flag}."
                )
            say(f"Waiting for {os.fspath(folder)}, which is in use by {owner}.")
            _locked(file, fcntl.LOCK_EX, folder)
        # The last owner has removed the file that this process waited for.
        if _is_at(path, file):
            break
    with contextlib.suppress(OSError):  # On a full disk the owner is not named.
        file.truncate(0)
        file.write(_myself().encode())
    return file


def _opened(path: pathlib.Path, folder: str | os.PathLike[str], flag: str) -> io.FileIO:
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return open(path, "ab+", buffering=0)
        except OSError as error:
            if isinstance(error, FileNotFoundError) and not os.path.exists(path.parent):
                continue  # The last owner has removed the empty folder in between.
            is_file = isinstance(error, FileExistsError | NotADirectoryError)
            reason = "it is a file, or in one" if is_file else error.strerror
            raise UserError(
                f"Cannot write to {os.fspath(folder)}: {reason}; choose another {flag}."
            ) from error


def _locked(file: io.FileIO, operation: int, folder: str | os.PathLike[str]) -> bool:
    """Locks the file; returns whether no other process holds it."""
    try:
        fcntl.flock(file, operation)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        say(
            f"Note: the file system of {os.fspath(folder)} has no locks; make sure that no other "
            "program writes to this folder."
        )
    return True


def _is_at(path: pathlib.Path, file: io.FileIO) -> bool:
    """Whether an open file is the one at `path`."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _owner(file: io.FileIO) -> str:
    file.seek(0)
    text = file.read(_OWNER).decode(errors="replace")
    return "".join(x if x.isprintable() else " " for x in text).strip() or "another program"


def _myself() -> str:
    now = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
    command = shlex.join(sys.orig_argv)[:_COMMAND]
    return f"process {os.getpid()} on {socket.gethostname()}, since {now} ({command})"
