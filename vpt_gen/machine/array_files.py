"""Reads NumPy's .npy and .npz files in memory and time that their size bounds.

`numpy.load` allocates what a header declares, and decompresses whatever a zip archive holds: a
kilobyte can ask for a terabyte. Here an array is a `StoredArray` first. Its shape and type are
known, are compared with the bytes of the file, and can be checked by the caller before it is read.
"""

import contextlib
import dataclasses
import io
import math
import pathlib
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO

import numpy as np
from etils import epath

# Bytes that a compressed file may always hold, and bytes per byte of the file above that. Images
# and weights compress far less; a file of a single color compresses a thousandfold.
FREE_BYTES = 2**27
MOST_RATIO = 100
_LONGEST_HEADER = 2**14  # bytes; of a version 1.0 or 2.0
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # all that NumPy writes


class DamagedError(ValueError):
    """A file that is not NumPy's, is damaged, or holds more than its size can honestly hold."""


@dataclasses.dataclass(frozen=True)
class StoredArray:
    """An array that has not been read yet.

    Attributes:
      path: the file.
      member: its name in the .npz archive; '' for a .npy file.
      shape: its shape.
      dtype: its type, never of Python's objects.
    """

    path: pathlib.Path | epath.Path
    member: str
    shape: tuple[int, ...]
    dtype: np.dtype

    def read(self) -> np.ndarray:
        """The values.

        Raises:
          DamagedError: damaged content.
          OSError: the file cannot be read.
        """
        with _refused(), self.path.open("rb") as file, contextlib.ExitStack() as stack:
            if self.member:
                archive = stack.enter_context(zipfile.ZipFile(file))
                file = stack.enter_context(archive.open(self.member))
            array = np.lib.format.read_array(file, allow_pickle=False)
        if (array.shape, array.dtype) != (self.shape, self.dtype):
            raise DamagedError("it has changed while it was read")
        return array


def open_npy(path: pathlib.Path | epath.Path) -> StoredArray:
    """Reads the header of a .npy file.

    Raises:
      DamagedError: not such a file, or a header that declares other than the file holds.
      OSError: the file cannot be read.
    """
    with _refused(), path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        return StoredArray(path, "", *_header(file, size))


def open_npz(path: pathlib.Path | epath.Path) -> dict[str, StoredArray]:
    """Reads the names and headers of the arrays in an .npz file.

    Raises:
      DamagedError: not such a file; headers that declare other than the file holds; or far more
        than a file of this size can hold, as in a zip bomb.
      OSError: the file cannot be read.
    """
    with _refused(), path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        with zipfile.ZipFile(file) as archive:
            members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
            _check_sizes(members, size)
            stored = {}
            for member in members:
                name = member.filename.removesuffix(".npy")
                with archive.open(member) as content:
                    header = _header(content, member.file_size)
                stored[name] = StoredArray(path, member.filename, *header)
    return stored


def read_npz(path: pathlib.Path | epath.Path) -> dict[str, np.ndarray]:
    """Reads all arrays of an .npz file: see `open_npz`."""
    return {name: array.read() for name, array in open_npz(path).items()}


@contextlib.contextmanager
def _refused() -> Iterator[None]:
    """Turns what zipfile, zlib and NumPy raise for damaged files into one error."""
    try:
        yield
    except (DamagedError, OSError):
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise DamagedError(str(error) or "it ends too early") from error
    # Headers are parsed as Python, and members may be encrypted: any error is possible.
    except Exception as error:
        raise DamagedError(str(error)[:200] or type(error).__name__) from error


def _check_sizes(members: list[zipfile.ZipInfo], size: int) -> None:
    """Compares what an archive declares with the size of its file."""
    for member in members:
        if member.compress_type not in _METHODS:
            raise DamagedError(f"{member.filename} is compressed in a way that NumPy does not use")
        if member.compress_type == zipfile.ZIP_STORED and member.file_size != member.compress_size:
            raise DamagedError(f"{member.filename} has two sizes")
    if sum(member.compress_size for member in members) > size:
        raise DamagedError("its arrays overlap, or reach beyond its end")
    declared = sum(member.file_size for member in members)
    if declared > max(size, FREE_BYTES + MOST_RATIO * size):
        raise DamagedError(
            f"its {size:,} bytes would become {declared:,}; if that is right, save it with "
            "numpy.savez, uncompressed"
        )


def _header(file: IO[bytes], size: int) -> tuple[tuple[int, ...], np.dtype]:
    """Reads shape and type of an array of `size` bytes with its header."""
    # Reading as many bytes as a header declares would allocate them first.
    start = io.BytesIO(file.read(_LONGEST_HEADER))
    version = np.lib.format.read_magic(start)
    if version not in ((1, 0), (2, 0)):
        raise DamagedError(f"its format has version {version[0]}.{version[1]}")
    read = getattr(np.lib.format, f"read_array_header_{version[0]}_0")
    shape, _, dtype = read(start)
    if dtype.hasobject:
        raise DamagedError("it holds Python objects")
    count = math.prod(shape)
    if min(shape, default=0) < 0 or (count and not dtype.itemsize):
        raise DamagedError(f"an array of {dtype} cannot have shape {shape}")
    if start.tell() + count * dtype.itemsize != size:
        raise DamagedError(f"{dtype} {shape} does not fit its {size:,} bytes")
    return shape, dtype
