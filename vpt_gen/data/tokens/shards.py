"""One file of the token cache: TFRecords of fixed length, and a note with their checksum.

A record's data is the label (int32) and then the tokens (V, N) uint16 of one example, both
little-endian. As all records of a file have the same length, a file is an array on disk: reading
needs neither parsing nor TensorFlow.
"""

import hashlib
import pathlib

import numpy as np

from vpt_gen.data.lazy import tf
from vpt_gen.machine.files import (
    remove_partials,
    write_text,
    written_whole,
)


def _data_type(views: int, num_tokens: int) -> np.dtype:
    return np.dtype([("label", "<i4"), ("tokens", "<u2", (views, num_tokens))])


def record_type(views: int, num_tokens: int) -> np.dtype:
    """Returns the type of a record in the file: data framed by their length and two CRCs."""
    data = _data_type(views, num_tokens)
    return np.dtype(
        [("length", "<u8"), ("length_crc", "<u4"), *data.descr, ("data_crc", "<u4")],
    )


def paths_of(folder: pathlib.Path, count: int) -> list[pathlib.Path]:
    """Returns the files of a cache with `count` shards, in order."""
    return [folder / f"shard-{i:05}-of-{count:05}.tfrecord" for i in range(count)]


def write_shard(path: pathlib.Path, labels: np.ndarray, tokens: np.ndarray) -> None:
    """Writes labels (n,) and tokens (n, V, N), and then the note of the file's checksum.

    Leftovers of a killed writer of the same file are removed.
    """
    data = np.empty(len(labels), _data_type(*tokens.shape[1:]))
    data["label"] = labels
    data["tokens"] = tokens
    remove_partials(path.parent, [path.name])
    with written_whole(path) as partial:
        with tf.io.TFRecordWriter(str(partial)) as writer:
            for example in data:
                writer.write(example.tobytes())
        checksum = sha256_of(partial)
    # In the format of sha256sum, which can check it (`sha256sum -c *.sha256`).
    write_text(_note(path), f"{checksum}  {path.name}\n")


def check_shape(path: pathlib.Path, views: int, num_tokens: int) -> None:
    """Checks the records of a file.

    Raises:
      ValueError: the records have another number of views or tokens.
    """
    if views < 1 or (views, num_tokens) != (views, num_tokens_in(path, views)):
        raise ValueError(f"{path.name} has no records of {views} views and {num_tokens} tokens")


def map_shard(path: pathlib.Path, views: int, num_tokens: int) -> np.ndarray:
    """Maps the records (n,) of a file, of `record_type`; they stay on disk until they are used.

    The file is open as long as the array, or a view of it, exists.

    Raises:
      OSError: the file cannot be opened.
      ValueError: the file does not consist of such records.
    """
    # A text, because NumPy resolves the links in a `Path` each time.
    return np.asarray(np.memmap(str(path), record_type(views, num_tokens), mode="r"))


def num_tokens_in(path: pathlib.Path, views: int) -> int:
    """Returns N, from the length of the first record's data."""
    (length,) = np.fromfile(path, "<u8", count=1)
    return (int(length) - 4) // (2 * views)


def noted_checksum(path: pathlib.Path) -> str | None:
    """Reads the file's noted checksum; None if the file was never finished."""
    if not (path.is_file() and _note(path).is_file()):
        return None
    return _note(path).read_text(errors="replace").partition(" ")[0]


def sha256_of(path: pathlib.Path) -> str:
    """Computes the checksum of a file's content, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_intact(path: pathlib.Path) -> bool:
    """Whether the file exists and matches its note."""
    checksum = noted_checksum(path)
    return checksum is not None and checksum == sha256_of(path)


def _note(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(f"{path.name}.sha256")
