"""Random access into the record files of a prepared TFDS split, in TFDS's own order."""

import dataclasses
import itertools
import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from array_record.python.array_record_module import ArrayRecordReader

from vpt_gen.data.array_readers import ArrayReaders
from vpt_gen.data.lazy import tf
from vpt_gen.errors import UserError
from vpt_gen.machine import later

with later.imports(globals()):
    import tensorflow_datasets as tfds

# A TFRecord is its length (uint64), a checksum of that (uint32), the bytes, their checksum.
_HEADER = struct.Struct("<QI")
_FOOTER_BYTES = 4
_RECORDS_AT_A_TIME = 64


class Place(NamedTuple):
    """Place of a record: the number of its file, its offset there and its length.

    In a TFRecord file both count bytes; in an array_record file the offset counts records.
    """

    file: int
    offset: int
    length: int


@dataclasses.dataclass(frozen=True)
class Records:
    """Places of a split's n records.

    Attributes:
      files: paths of the record files.
      places: (n, 3) int64, the fields of `Place`.
    """

    files: tuple[str, ...]
    places: np.ndarray
    _array_readers: ArrayReaders = dataclasses.field(
        default_factory=ArrayReaders, init=False, repr=False, compare=False
    )

    def read(self, index: int) -> bytes:
        """Reads a record; raises OSError if the file has changed."""
        place = Place(*(int(x) for x in self.places[index]))
        path = self.files[place.file]
        if _is_array_record(path):
            record = self._array_readers.read(path, place.offset)
            return _check_length(path, record, place.length)
        with tfds.core.Path(path).open("rb") as file:
            file.seek(place.offset - _HEADER.size)
            header, record = file.read(_HEADER.size), file.read(place.length)
        _check_length(path, record, place.length)
        return _check_length(path, record, _HEADER.unpack(header)[0])

    def close(self) -> None:
        """Closes the open files; later reads open them again."""
        self._array_readers.close()


def _check_length(path: str, record: bytes, length: int) -> bytes:
    if len(record) != length:
        raise OSError(f"{path} has changed since it was opened")
    return record


def scan(instructions: list) -> Iterator[tuple[Place, bytes]]:
    """Yields the records of a split in order, comparing checksums.

    Args:
      instructions: TFDS's `file_instructions` of the split: file, records to skip and to take.

    Raises:
      UserError: a file of another format, or a truncated one.
    """
    for number, instruction in enumerate(instructions):
        path = str(instruction.filename)
        walk = _walk_array_record if _is_array_record(path) else _walk_tfrecord
        first, last = instruction.skip, instruction.skip + instruction.take
        count = 0
        for offset, record in walk(path, first, last):
            count += 1
            yield Place(number, offset, len(record)), record
        if count < instruction.take:
            raise UserError(
                f"{path} ends after {first + count} of {last} records; prepare it again."
            )


def check_formats(files: tuple[str, ...]) -> None:
    """Raises UserError for a file that is neither a TFRecord nor an array_record."""
    for path in files:
        if not (_is_array_record(path) or ".tfrecord" in path):
            raise UserError(
                f"{path} has a record format that is not supported; prepare the data set as "
                "tfrecord (the default of TFDS) or array_record."
            )


def _is_array_record(path: str) -> bool:
    return ".array_record" in path


def _walk_tfrecord(path: str, first: int, last: int) -> Iterator[tuple[int, bytes]]:
    """Yields offset and bytes of the records `first` to `last` - 1."""
    batches = tf.data.TFRecordDataset(path, buffer_size=2**20).batch(_RECORDS_AT_A_TIME)
    end = 0
    records = itertools.chain.from_iterable(batches.as_numpy_iterator())
    for position, record in enumerate(itertools.islice(records, last)):
        offset = end + _HEADER.size
        end = offset + len(record) + _FOOTER_BYTES
        if position >= first:
            yield offset, record


def _walk_array_record(path: str, first: int, last: int) -> Iterator[tuple[int, bytes]]:
    """Like `_walk_tfrecord`; offsets are the records' numbers."""
    reader = ArrayRecordReader(path)
    last = min(last, reader.num_records())
    for start in range(first, last, _RECORDS_AT_A_TIME):
        numbers = range(start, min(start + _RECORDS_AT_A_TIME, last))
        yield from zip(numbers, reader.read(list(numbers)), strict=True)
