"""Several files and one note about them: the note goes first and comes last.

Before the first file is written, a hidden mark next to the note (`.<note>.unfinished.json`) says
what is to come, and an older note goes. Before each file, the mark gets its digest. At the end the
note is written, with the SHA-256 of each file under "files", and the mark goes. Whenever a program
is killed, a note is therefore never next to other files than it describes, and the next program
knows which files are ours: only these are replaced.

Several processes may write the files of one note. The first has the `Manifest`; each other one
has a `Share`, with a mark of its own (`.<note>.unfinished.<number>.json`), as not every file
system lets two hosts extend one file.
"""

import hashlib
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from etils import epath

from vpt_gen.machine import json_files
from vpt_gen.machine.files import (
    check_writable,
    in_bucket,
    names_us,
    not_ours,
    remove_partials,
    write_json,
    write_text,
    written_whole,
)

FILES = "files"
# Bytes of a file that are read at once.
_PIECE = 1 << 20
# The digests that a file of ours may have; None is any, where an older version noted none.
_Known = dict[str, set[str | None]]


def mark_of(note: epath.Path) -> epath.Path:
    """Returns the path of the mark that stands for `note` until all files are written."""
    return note.with_name(f".{note.stem}.unfinished.json")


def _mark_of_share(note: epath.Path, number: int) -> epath.Path:
    """Returns the path of the mark of process `number`, not the first."""
    return note.with_name(f".{note.stem}.unfinished.{number}.json")


def _marks_of_shares(note: epath.Path) -> list[epath.Path]:
    """Returns the marks that other processes left, however many they were."""
    if not note.parent.exists():
        return []
    return sorted(note.parent.glob(f".{note.stem}.unfinished.*.json"))


def sha256(content: bytes) -> str:
    """Returns a file's digest, hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _always_noted(note: Mapping[str, Any]) -> Iterable[str]:
    """Of programs that have noted their files from the beginning: another note is not theirs."""
    raise KeyError(FILES)


class Manifest:
    """The files of one note, from before the first is written to the end.

    Attributes:
      done: file -> digest, of the files that an interrupted program wrote for the same request, as
        far as they are still there.
    """

    def __init__(
        self,
        note: epath.Path,
        names: Sequence[str],
        older: Callable[[Mapping[str, Any]], Iterable[str]] = _always_noted,
        request: str = "",
        flag: str = "--output",
        named: bool = False,
    ):
        """Checks that no file of somebody else would be replaced; writes nothing.

        Args:
          note: a JSON file; its folder is that of the files.
          names: all files to write, relative to that folder.
          older: note of an older version, which has no digests -> the files that it is about;
            raises KeyError for the note of another program. By default there are none.
          request: identifies the content of the files; '' never resumes.
          flag: that names the folder, for messages.
          named: whether files that no note lists are ours if they name us as their maker, so that
            they can be made again after their note was deleted.

        Raises:
          UserError: the files cannot be written, or one of them exists, and we did not write it or
            it has been changed since.
        """
        check_writable(note, flag)
        self._note, self._names, self._request = note, list(names), request
        self._mark = mark_of(note)
        started, written = _read_mark(self._mark)
        shares = [_read_mark(mark) for mark in _marks_of_shares(note)] if started else []
        noted = _read_note(note, older) if note.exists() else {}
        if noted is None:
            raise not_ours(note, flag)
        known: _Known = {name: {digest} for name, digest in noted.items()}
        if "done" in started:  # An older version counted files and did not say which.
            known |= {name: {None} for name in names}
        of_shares = itertools.chain.from_iterable(digests for _, digests in shares)
        for found in (started.get("older"), *written, *of_shares):
            for name, digest in _texts(found).items():
                known.setdefault(name, set()).add(digest)
        there = _digests_of(note.parent, {*names, *known})
        self._ours = {n: d for n, d in there.items() if known.get(n, set()) & {d, None}}
        if named:
            unlisted = {n: d for n, d in there.items() if d and n not in known}
            self._ours |= {n: d for n, d in unlisted.items() if names_us(note.parent / n)}
        for name in names:
            if name in there and name not in self._ours:
                raise not_ours(note.parent / name, flag)
        self.done: dict[str, str] = {}
        if started and request and started.get("request") == request:
            for header, digests in shares:
                written += digests if header.get("request") == request else []
            given = {name: digest for batch in written for name, digest in _texts(batch).items()}
            self.done = {name: d for name, d in given.items() if there.get(name) == d}

    def begin(self, processes: int = 1) -> None:
        """Marks the files as unfinished and removes the older note.

        Args:
          processes: that write files of this note, numbered from 0.
        """
        self._processes = processes
        header = {"request": self._request, FILES: self._names, "older": self._ours}
        self._share = Share(self._note, self._mark, _line(header) + _line(self.done), self.done)
        for mark in _marks_of_shares(self._note):
            mark.unlink()
        self._note.unlink(missing_ok=True)
        remove_partials(self._note.parent, self._names)

    def write(self, files: Mapping[str, bytes]) -> None:
        """Writes some of the files: name -> content."""
        self._share.write(files)

    def finish(self, content: Mapping[str, Any]) -> None:
        """Writes the note: `content`, and the digest of each file.

        All processes have written their files. Files of earlier requests that this one did not
        replace stay listed, so that they stay ours.
        """
        digests = {**self._ours, **self._share.digests}
        # By name: a list of a folder may lack what another host has just written.
        marks = [_mark_of_share(self._note, number) for number in range(1, self._processes)]
        for mark in marks:
            for batch in _read_mark(mark)[1]:
                digests |= _texts(batch)
        note = {**content, FILES: dict(sorted(digests.items()))}
        write_json(self._note, note)
        for mark in (*marks, self._mark):
            mark.unlink(missing_ok=True)


class Share:
    """The files of a note that one process writes.

    Attributes:
      digests: file -> digest, of those written so far.
    """

    def __init__(self, note: epath.Path, mark: epath.Path, text: str, digests: Mapping[str, str]):
        """Writes its mark.

        Args:
          note: of the files.
          mark: the process's own.
          text: of the mark at the beginning.
          digests: of the files that exist already.
        """
        self._note, self._mark, self._text, self.digests = note, mark, text, dict(digests)
        write_text(mark, text)

    def write(self, files: Mapping[str, bytes]) -> None:
        """Writes some of the files: name -> content."""
        digests = {name: sha256(content) for name, content in files.items()}
        self._append(_line(digests))
        self.digests |= digests
        with ThreadPoolExecutor() as pool:
            list(pool.map(self._write, files, files.values()))

    def _write(self, name: str, content: bytes) -> None:
        with written_whole(self._note.parent / name) as partial:
            partial.write_bytes(content)

    def _append(self, line: str) -> None:
        self._text += line
        if in_bucket(self._mark):  # Where no file can be extended.
            write_text(self._mark, self._text)
            return
        with open(self._mark, "ab") as file:
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())


def share_of(note: epath.Path, request: str, number: int) -> Share:
    """Returns what process `number`, not the first, writes files with after `Manifest.begin`."""
    return Share(note, _mark_of_share(note, number), _line({"request": request}), {})


def _line(entry: Mapping[str, Any]) -> str:
    return json.dumps(entry) + "\n"


def _read_mark(mark: epath.Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Reads a mark: what is to come ({} without a mark), and the digests of each batch."""
    try:
        header, *written = _entries(mark.read_text())
    except (OSError, ValueError):
        return {}, []
    return header, written


def _entries(text: str) -> Iterator[dict[str, Any]]:
    """Yields the lines of a mark; the last is cut if a program was killed while it wrote it."""
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            return
        if not isinstance(entry, dict):
            return
        yield entry


def _texts(entry: Any) -> dict[str, str]:
    """Returns the digests of an entry, which may be damaged."""
    if not isinstance(entry, dict):
        return {}
    return {name: digest for name, digest in entry.items() if isinstance(digest, str)}


def _read_note(
    note: epath.Path, older: Callable[[Mapping[str, Any]], Iterable[str]]
) -> dict[str, str | None] | None:
    """Returns the files of a note with their digests; None if it is not a note of ours."""
    try:
        content = json_files.read_object(note, "")
        if FILES in content:
            return dict(_texts(content[FILES]))
        return dict.fromkeys(older(content))
    except (json_files.DamagedFileError, KeyError, TypeError):
        return None


def _sha256_of(path: epath.Path) -> str:
    # In pieces, as shards are large and many are read at once; files of a bucket may lack what
    # `hashlib.file_digest` needs.
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _digests_of(folder: epath.Path, names: Iterable[str]) -> dict[str, str]:
    """Returns the digest of each file that exists; '' if it is none or cannot be read."""
    if in_bucket(folder):  # Where it takes long to ask for every file.
        there = {path.name for path in folder.iterdir()} if folder.exists() else set()
    else:
        there = {name for name in names if os.path.lexists(folder / name)}

    def digest(name: str) -> str:
        try:
            return _sha256_of(folder / name)
        except OSError:
            return ""

    names = [name for name in names if name in there]
    with ThreadPoolExecutor() as pool:
        return dict(zip(names, pool.map(digest, names), strict=True))
