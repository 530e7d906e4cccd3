"""Downloads that resume, with a checksum noted next to each to detect later changes.

During the download the file is `<file>.part`. Next to it, `<file>.part.json` notes the address and
the version that it is the beginning of; only that version may continue it.
"""

import base64
import dataclasses
import hashlib
import os
import pathlib
import re
from typing import Any

import requests

from vpt_gen.errors import UserError
from vpt_gen.machine import json_files, lock, network
from vpt_gen.machine.files import check_writable, move, write_json, write_text
from vpt_gen.machine.progress import say, track

_CHUNK = 1 << 20  # bytes
_TIMEOUT = 60  # seconds without an answer
_FIRST_AND_TOTAL = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_VERSION: dict[str, json_files.Kind] = {
    "address": str,
    "validator": str,
    "total": (int, type(None)),
}
_TOTAL = re.compile(r"bytes \*/(\d+)")


@dataclasses.dataclass(frozen=True)
class _Version:
    """The version of a file on a server.

    Attributes:
      address: its URL.
      validator: its strong ETag, or else its time of modification, as the server writes it.
      total: its size in bytes; None if the server does not say.
    """

    address: str
    validator: str
    total: int | None


@dataclasses.dataclass
class _Partial:
    """A download that may have begun, hashed while it arrives.

    Reading gigabytes again takes long.
    """

    path: pathlib.Path
    hashes: dict[str, Any]

    @classmethod
    def at(cls, path: pathlib.Path) -> "_Partial":
        """Returns the partial file at `path`, of which nothing is hashed yet."""
        return cls(path, {"sha256": hashlib.sha256(), "md5": hashlib.md5(usedforsecurity=False)})

    @property
    def note(self) -> pathlib.Path:
        return self.path.with_name(f"{self.path.name}.json")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def version(self, address: str) -> _Version | None:
        """Returns the version that the file is the beginning of; None if it cannot be continued."""
        try:
            version = _Version(**json_files.read_object(self.note, "", _VERSION))
        except (json_files.DamagedFileError, TypeError):
            return None
        known = version.address == address and version.validator
        return version if known and self.size else None

    def begin(self, version: _Version) -> None:
        """Empties the file and notes the version; deletes the old note before the old bytes."""
        self.note.unlink(missing_ok=True)
        self.path.write_bytes(b"")
        if version.validator:
            write_json(self.note, dataclasses.asdict(version))

    def remove(self) -> None:
        self.note.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)

    def hash_all(self) -> None:
        with open(self.path, "rb") as file:
            while chunk := file.read(_CHUNK):
                self._hash(chunk)

    def append(self, answer: requests.Response, total: int | None) -> None:
        """Appends the body of an answer; `total` is for the progress bar."""
        with (
            open(self.path, "ab") as file,
            track(total=total or 0, initial=self.size, label="fetching", in_bytes=True) as bar,
        ):
            for chunk in answer.iter_content(_CHUNK):
                file.write(chunk)
                self._hash(chunk)
                bar.update(len(chunk))

    def _hash(self, chunk: bytes) -> None:
        for one in self.hashes.values():
            one.update(chunk)


def fetch(address: str, path: pathlib.Path, sha256: str = "") -> tuple[str, ...]:
    """Downloads a file; resumes an earlier attempt if the server still holds the same version.

    Args:
      address: URL of the published file.
      path: of the downloaded file.
      sha256: the checksum that its publisher states; "" if none is known.

    Returns:
      The names of the external checksums that it was compared with: "sha256", "md5", or none.

    Raises:
      UnreachableError: --offline, no network, or no such address.
      UserError: a folder that cannot be written, or a file that does not match its checksum.
    """
    if network.is_offline() and not path.exists():
        raise network.UnreachableError(
            f"{path} is missing, and --offline forbids to fetch it",
            f"fetch {address} elsewhere and put it there",
        )
    with lock.held(path, "folder", beside=True, wait=True):
        if path.exists():  # Another program has fetched it meanwhile.
            compare(path, sha256)
            return ("sha256",) if sha256 else ()
        return _fetch(address, path, sha256)


def _fetch(address: str, path: pathlib.Path, sha256: str) -> tuple[str, ...]:
    """Like `fetch`, for a file that no other program fetches."""
    partial = _Partial.at(path.with_name(f"{path.name}.part"))
    check_writable(partial.path, "weights_dir")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        announced = _download(address, partial)
    except requests.RequestException as error:
        raise network.UnreachableError(
            f"{address} cannot be fetched ({type(error).__name__})",
            f"fetch it elsewhere and put it at {path}, or give the same command again to resume",
        ) from error
    digests = {name: one.hexdigest() for name, one in partial.hashes.items()}
    if any(digests[name] != digest for name, digest in announced.items()):
        partial.remove()
        raise _damaged(address)
    if sha256 and digests["sha256"] != sha256:
        partial.remove()
        raise UserError(
            f"{address} is not the published file: its SHA-256 is {digests['sha256']}, not "
            f"{sha256}; fetch the published file elsewhere and put it at {path}."
        )
    _write_note(path, digests["sha256"], partial.path.stat())
    move(partial.path, path)
    partial.note.unlink(missing_ok=True)
    return tuple(sorted({*announced, *(["sha256"] if sha256 else [])}))


def compare(path: pathlib.Path, sha256: str = "") -> None:
    """Checks a local file: against `sha256` if given, else against its own note.

    The file is read only if its size or time has changed since it was noted.

    Raises:
      UserError: the file is not the published one, or not the fetched one.
    """
    noted = _note_of(path)
    digest, *seen = (noted.read_text(errors="replace").split() if noted.exists() else []) or [""]
    status = path.stat()
    expected = sha256 or digest
    untouched = seen == [str(status.st_size), str(status.st_mtime_ns)]
    if not expected or (untouched and digest == expected):
        return
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected and sha256:
        raise UserError(
            f"{path} is not the published file: its SHA-256 is {found}, not {sha256}; delete it "
            "and give the same command again."
        )
    if found != expected:
        raise UserError(
            f"{path} is not the file that was fetched: its SHA-256 is not that of {noted}. "
            "Delete both and fetch it again."
        )
    _write_note(path, expected, status)


def _download(address: str, partial: _Partial) -> dict[str, str]:
    """Completes the partial file; returns the checksums that the server announces."""
    version = partial.version(address)
    if version:
        announced = _resume(version, partial)
        if announced is not None:
            return announced
    with _get(address) as answer:
        return _start(address, answer, partial)


def _resume(version: _Version, partial: _Partial) -> dict[str, str] | None:
    """Like `_download`; None if the server's answer does not continue the partial file."""
    # With If-Range, a server that now has another version sends all of it.
    wanted = {"Range": f"bytes={partial.size}-", "If-Range": version.validator}
    with _get(version.address, wanted) as answer:
        if answer.status_code == requests.codes.ok:
            return _start(version.address, answer, partial)
        if answer.status_code == requests.codes.requested_range_not_satisfiable:
            if not _says_complete(answer, version, partial.size):
                return None
            partial.hash_all()
            return _announced(answer)
        answer.raise_for_status()
        if not _continues(answer, version, partial.size):
            return None
        partial.hash_all()
        return _receive(version.address, answer, partial, _total_of_part(answer, partial.size))


def _start(address: str, answer: requests.Response, partial: _Partial) -> dict[str, str]:
    """Downloads a whole file from its first byte."""
    answer.raise_for_status()
    if answer.status_code != requests.codes.ok:
        raise requests.RequestException(f"status {answer.status_code}")
    total = _length(answer)
    partial.begin(_Version(address, _validator(answer), total))
    return _receive(address, answer, partial, total)


def _receive(
    address: str, answer: requests.Response, partial: _Partial, total: int | None
) -> dict[str, str]:
    """Receives the body of an answer, up to `total` bytes; returns the announced checksums.

    Raises:
      requests.ConnectionError: fewer bytes than announced arrived; they are kept.
      UserError: more bytes than announced arrived; none is kept.
    """
    size = "of unknown size" if total is None else f"{total / 1e6:,.0f} MB"
    say(f"Fetching {address}, {size}, into {partial.path.parent}.")
    partial.append(answer, total)
    if total is not None and partial.size < total:
        raise requests.ConnectionError("the connection ended early")
    if total is not None and partial.size > total:
        partial.remove()
        raise _damaged(address)
    return _announced(answer)


def _get(address: str, headers: dict[str, str] | None = None) -> requests.Response:
    # Positions and lengths in a compressed answer would not be those of the file.
    headers = {"Accept-Encoding": "identity", **(headers or {})}
    return requests.get(address, headers=headers, stream=True, timeout=_TIMEOUT)


def _validator(answer: requests.Response) -> str:
    """Returns what identifies a version byte for byte; "" if the server sends nothing like it."""
    if _is_encoded(answer):
        return ""
    tag = answer.headers.get("ETag", "")
    return tag if tag.startswith('"') else answer.headers.get("Last-Modified", "")


def _is_encoded(answer: requests.Response) -> bool:
    return answer.headers.get("Content-Encoding", "identity") != "identity"


def _length(answer: requests.Response) -> int | None:
    length = answer.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() and not _is_encoded(answer) else None


def _says_complete(answer: requests.Response, version: _Version, have: int) -> bool:
    """Whether status 416 (no such range) means that all `have` bytes of the version are here."""
    total = _TOTAL.fullmatch(answer.headers.get("Content-Range", ""))
    return (
        total is not None
        and int(total[1]) == have
        and version.total in (None, have)
        and _sent_again(answer, version) == version.validator
    )


def _continues(answer: requests.Response, version: _Version, have: int) -> bool:
    """Whether a partial answer continues the version after `have` bytes."""
    place = _FIRST_AND_TOTAL.fullmatch(answer.headers.get("Content-Range", ""))
    if answer.status_code != requests.codes.partial_content or place is None:
        return False
    if int(place[1]) != have or _is_encoded(answer):
        return False
    if place[2] != "*" and version.total not in (None, int(place[2])):
        return False
    # A server that honors If-Range need not repeat the date, but a different date contradicts.
    return _sent_again(answer, version) in (None, version.validator)


def _sent_again(answer: requests.Response, version: _Version) -> str | None:
    """Returns the answer's counterpart of the version's validator."""
    return answer.headers.get("ETag" if version.validator.startswith('"') else "Last-Modified")


def _total_of_part(answer: requests.Response, have: int) -> int | None:
    place = _FIRST_AND_TOTAL.fullmatch(answer.headers["Content-Range"])
    assert place is not None  # `_continues` has checked it.
    total = place[2]
    if total != "*":
        return int(total)
    rest = _length(answer)
    return None if rest is None else have + rest


def _announced(answer: requests.Response) -> dict[str, str]:
    """Returns the hexadecimal checksums that a server sends (Google's storage, Hugging Face)."""
    checksums = {}
    for entry in answer.headers.get("x-goog-hash", "").split(","):
        name, _, value = entry.strip().partition("=")
        if name == "md5":
            checksums["md5"] = base64.b64decode(value).hex()
    # Hugging Face sends a large file's SHA-256 with the redirect to the file.
    for redirect in answer.history:
        tag = redirect.headers.get("X-Linked-ETag", "").strip('"')
        if len(tag) == 64:
            checksums["sha256"] = tag
    return checksums


def _damaged(address: str) -> UserError:
    return UserError(f"{address} arrived damaged; give the same command again.")


def _note_of(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(f"{path.name}.sha256")


def _write_note(path: pathlib.Path, digest: str, status: os.stat_result) -> None:
    write_text(_note_of(path), f"{digest} {status.st_size} {status.st_mtime_ns}\n")
