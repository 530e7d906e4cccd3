"""Atomic files, checks of where they go, and the folder for what can be made again.

A path of a working directory is an `epath.Path`, which may also lie in a bucket (gs://...).
"""

import contextlib
import errno
import json
import math
import os
import pathlib
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from etils import epath

from vpt_gen.errors import UserError

# Most file systems allow names of 255 bytes; a partial file has more to its name than the file.
_NAME_BYTES = 255
_PARTIAL_BYTES = len("..01234567.partial")
# Bytes at the beginning of a file in which it must say "vpt_gen" to count as ours.
_SEARCHED = 2**24
# Network file systems that cannot sync a folder say so by one of these.
_NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF)


@contextlib.contextmanager
def written_whole(path: epath.Path | pathlib.Path) -> Iterator[epath.Path | pathlib.Path]:
    """Yields a path next to `path` to write to; moves it into place on success, else removes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Two runs, perhaps on two hosts, may write the same file: each has its own partial one.
    partial = path.with_name(f".{_shortened(path)}.{secrets.token_hex(4)}.partial")
    try:
        yield partial
        move(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def move(partial: epath.Path | pathlib.Path, path: epath.Path | pathlib.Path) -> None:
    """Moves a complete file into place; after a power failure it is there as a whole or not."""
    if in_bucket(path):
        partial.replace(path)
        return
    _sync(partial)
    partial.replace(path)
    _sync(path.parent)


def move_folder(partial: pathlib.Path, folder: pathlib.Path) -> None:
    """Moves a complete folder into place; an older one goes when the new one is on the disk.

    Only one program may write the folder.
    """
    for path in (partial, *partial.rglob("*")):
        _sync(path)
    older = folder.with_name(f".{_shortened(folder)}.{secrets.token_hex(4)}.partial")
    with contextlib.suppress(FileNotFoundError):
        folder.rename(older)
    partial.rename(folder)
    _sync(folder.parent)
    for left in _partials(folder.parent, [folder.name]):  # `older`, and those of killed programs.
        shutil.rmtree(left, ignore_errors=True)


def _sync(path: epath.Path | pathlib.Path) -> None:
    """Waits until the content of a file, or the names in a folder, are on the disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(opened)


def remove_partials(folder: epath.Path | pathlib.Path, names: Iterable[str]) -> None:
    """Removes partial files that killed runs left; only one run may write files of these names."""
    for partial in _partials(folder, names):
        partial.unlink(missing_ok=True)


def _partials(
    folder: epath.Path | pathlib.Path, names: Iterable[str]
) -> list[epath.Path | pathlib.Path]:
    ours = {_shortened(folder / name) for name in names}
    found = folder.glob(".*.partial")
    return [partial for partial in found if partial.name[1 : 1 - _PARTIAL_BYTES] in ours]


def _shortened(path: epath.Path | pathlib.Path) -> str:
    return cut(path.name, _NAME_BYTES - _PARTIAL_BYTES)


def cut(name: str, num_bytes: int) -> str:
    """Returns the longest beginning of a file's name that has no more bytes on disk."""
    return os.fsencode(name)[:num_bytes].decode(sys.getfilesystemencoding(), "ignore")


def write_text(path: epath.Path | pathlib.Path, text: str) -> None:
    """Writes a text file; in UTF-8, whatever the locale."""
    with written_whole(path) as partial:
        partial.write_bytes(text.encode())


def check_writable(path: epath.Path | pathlib.Path, flag: str) -> None:
    """Tries to write a file like `path` and removes it again; programs call this before they work.

    Args:
      path: of a file to write; it and its folders need not exist.
      flag: that names it, for the message.

    Raises:
      UserError: the file cannot be written, because of a file system that is read-only or full, a
        missing permission, a file in the place of a folder or the reverse, or a long name.
    """
    if in_bucket(path):
        return
    try:
        target = pathlib.Path(os.path.abspath(path))
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        there = next(folder for folder in target.parents if os.path.lexists(folder))
        if there.exists() and not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{there} is not a folder")
        # In a folder of its own, so that no other program sees missing folders come and go.
        with (
            tempfile.TemporaryDirectory(prefix=".vpt_gen.", dir=there) as private,
            written_whole(pathlib.Path(private) / target.relative_to(there)) as partial,
        ):
            partial.touch()
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have.
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"Cannot write {path}: {reason}; choose another {flag}.") from error


def check_output(path: epath.Path | pathlib.Path, flag: str, start: bytes = b"") -> None:
    """Raises UserError if `path` cannot be written, or is a file that does not name its maker, us.

    Args:
      path: of a file to write, which says "vpt_gen" somewhere.
      flag: that names it, for the message.
      start: with which it begins; a user's notes or programs may name us, too.
    """
    check_writable(path, flag)
    if path.exists() and not names_us(path, start):
        raise not_ours(path, flag)


def names_us(path: epath.Path | pathlib.Path, start: bytes = b"") -> bool:
    """Whether a file names its maker, us, and begins with `start`.

    `grids.as_png` writes our name into pictures.
    """
    with path.open("rb") as file:
        content = file.read(_SEARCHED)
    return content.startswith(start) and b"vpt_gen" in content


def not_ours(path: epath.Path | pathlib.Path, flag: str) -> UserError:
    """Returns the error for a file that must not be replaced."""
    return UserError(
        f"{path} is not replaced, because vpt_gen did not write it, or it has been changed since: "
        f"move it elsewhere, or choose another {flag}."
    )


def write_json(path: epath.Path | pathlib.Path, record: Any) -> None:
    """Writes a record as JSON; see `json_text`."""
    write_text(path, json_text(record))


def json_text(record: Any) -> str:
    """Returns a record as JSON, which has no NaN and no Infinity: such numbers become null.

    A record that is a dict then says in "not_finite" which they were: {"figures.kid.std": "nan"}.
    """
    found: dict[str, str] = {}
    clean = _finite(record, "", found)
    if found and isinstance(clean, dict):
        clean["not_finite"] = found
    return json.dumps(clean, indent=1, allow_nan=False)


def _finite(value: Any, name: str, found: dict[str, str]) -> Any:
    """Returns the value with None for each number that is not finite, and notes it in `found`."""
    if isinstance(value, Mapping):
        inside = f"{name}." if name else ""
        return {key: _finite(part, f"{inside}{key}", found) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part, f"{name}[{i}]", found) for i, part in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        found[name] = str(value)
        return None
    return value


def absolute(path: str) -> epath.Path:
    """Returns the absolute path; a bucket's already is."""
    return epath.Path(path if in_bucket(path) else os.path.abspath(path))


def in_bucket(path: str | epath.Path) -> bool:
    """Whether a path lies in an object store, which cannot rename folders and is never full."""
    return "://" in os.fspath(path)


def cache_folder() -> pathlib.Path:
    """Returns the folder of facts about data sets between runs: $VPT_GEN_CACHE or ~/.cache."""
    return pathlib.Path(os.environ.get("VPT_GEN_CACHE") or "~/.cache/vpt_gen").expanduser()
