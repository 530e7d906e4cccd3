"""One file of the token cache: TFRecords of fixed length, and a note with their checksum.

A record's data is the label (int32) and then the tokens (V, N) uint16 of one example, both
little-endian. As all records of a file are of one length, a file is an array on disk: reading takes
neither parsing nor TensorFlow.
"""

import hashlib
import pathlib

import numpy as np

from vpt_gen.machine.files import (
    remove_partial,
    write_text,
    written_whole,
)


def _data_type(views: int, num_tokens: int) -> np.dtype:
    return np.dtype([("label", "<i4"), ("tokens", "<u2", (views, num_tokens))])


def record_type(views: int, num_tokens: int) -> np.dtype:
    """A record as it lies in the file: its data framed by their length and two CRCs."""
    data = _data_type(views, num_tokens)
    return np.dtype(
        [("length", "<u8"), ("length_crc", "<u4"), *data.descr, ("data_crc", "<u4")],
    )


def write_shard(path: pathlib.Path, labels: np.ndarray, tokens: np.ndarray) -> None:
    """Writes labels (n,) and tokens (n, V, N), and then the note of the file's checksum.

    What a killed writer of the same file left is removed.
    """
    import tensorflow as tf

    data = np.empty(len(labels), _data_type(*tokens.shape[1:]))
    data["label"] = labels
    data["tokens"] = tokens
    remove_partial(path)
    with written_whole(path) as partial:
        with tf.io.TFRecordWriter(str(partial)) as writer:
            for example in data:
                writer.write(example.tobytes())
        checksum = sha256_of(partial)
    # As the program sha256sum writes it, and can check it (`sha256sum -c *.sha256`).
    write_text(_note(path), f"{checksum}  {path.name}\n")


def read_shard(path: pathlib.Path, views: int, num_tokens: int) -> np.ndarray:
    """The records (n,) of a file, of `record_type`; they stay on disk until they are used."""
    return np.asarray(np.memmap(path, record_type(views, num_tokens), mode="r"))


def num_tokens_in(path: pathlib.Path, views: int) -> int:
    """N, from the length that the first record gives of its data."""
    (length,) = np.fromfile(path, "<u8", count=1)
    return (int(length) - 4) // (2 * views)


def noted_checksum(path: pathlib.Path) -> str | None:
    """The file's checksum by its note, or None if the file was never finished."""
    if not (path.is_file() and _note(path).is_file()):
        return None
    return _note(path).read_text().partition(" ")[0]


def sha256_of(path: pathlib.Path) -> str:
    """The checksum of a file's content, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_intact(path: pathlib.Path) -> bool:
    """Whether the file is there and is what its note says."""
    checksum = noted_checksum(path)
    return checksum is not None and checksum == sha256_of(path)


def _note(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(f"{path.name}.sha256")
