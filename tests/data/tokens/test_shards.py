"""One file of tokens: a TFRecord file to others, an array to us, and known by its checksum."""

import hashlib

import numpy as np
import pytest
import tensorflow as tf

from vpt_gen.data.tokens import shards as token_shards


@pytest.fixture
def path(tmp_path):
    return tmp_path / "shard-00000-of-00001.tfrecord"


@pytest.fixture
def written(path):
    generator = np.random.default_rng(0)
    labels = np.array([3, 0, 2**31 - 1, 7, 1])
    tokens = generator.integers(0, 2**16, (5, 3, 4), np.uint16)
    token_shards.write_shard(path, labels, tokens)
    return labels, tokens


def test_any_tfrecord_reader_reads_it(path, written):
    labels, tokens = written
    records = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    assert [int.from_bytes(r[:4], "little") for r in records] == labels.tolist()
    found = np.stack([np.frombuffer(r[4:], "<u2").reshape(3, 4) for r in records])
    np.testing.assert_array_equal(found, tokens)


def test_as_an_array(path, written):
    labels, tokens = written
    assert token_shards.num_tokens_in(path, views=3) == 4
    token_shards.check_shape(path, 3, 4)
    with pytest.raises(ValueError, match="no records of 2 views and 4 tokens"):
        token_shards.check_shape(path, 2, 4)
    records = token_shards.map_shard(path, 3, 4)
    np.testing.assert_array_equal(records["label"], labels)
    np.testing.assert_array_equal(records["tokens"], tokens)
    assert records["tokens"].dtype == np.uint16
    assert isinstance(records.base, np.memmap), "the tokens must stay on disk"


def test_the_note_is_what_sha256sum_checks(path, written):
    (note,) = set(path.parent.iterdir()) - {path}
    assert note.read_text() == f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
    assert token_shards.is_intact(path)


def flip(path):
    content = bytearray(path.read_bytes())
    content[40] ^= 1
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def lose_note(path):
    path.with_name(f"{path.name}.sha256").unlink()


@pytest.mark.parametrize("harm", [flip, cut, lose_note, lambda path: path.unlink()])
def test_harm_is_noticed(path, written, harm):
    harm(path)
    assert not token_shards.is_intact(path)


def test_what_a_killed_writer_left_is_removed(path):
    path.parent.mkdir(exist_ok=True)
    (path.parent / f".{path.name}.0badcafe.partial").write_bytes(b"half of a shard")
    (path.parent / ".shard-00001-of-00002.tfrecord.1234abcd.partial").write_bytes(b"another's")
    token_shards.write_shard(path, np.zeros(2, int), np.zeros((2, 1, 4), np.uint16))
    assert [p.name for p in path.parent.glob(".*")] == [
        ".shard-00001-of-00002.tfrecord.1234abcd.partial"
    ]


def test_failure_while_writing_leaves_nothing(path, monkeypatch):
    class FullDisk:
        def __init__(self, file):
            open(file, "wb").close()

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def write(self, record):
            raise OSError("disk full")

    monkeypatch.setattr(tf.io, "TFRecordWriter", FullDisk)
    with pytest.raises(OSError, match="disk full"):
        token_shards.write_shard(path, np.zeros(2, int), np.zeros((2, 1, 4), np.uint16))
    assert list(path.parent.iterdir()) == []
