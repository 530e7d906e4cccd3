"""Array record files stay open between records, and never longer than they are needed."""

import concurrent.futures
import gc
import multiprocessing
import os
import pickle

import numpy as np
import pytest
from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter

from vpt_gen.data import array_readers
from vpt_gen.data.records import Records

FILES, COUNT = 3, 20


def record(file, number):
    return bytes([file, number]) * (number + 1)


@pytest.fixture
def opened(monkeypatch):
    """The readers made since the start of the test, each with the process that made it."""
    made = []

    def counted(*args):
        reader = ArrayRecordReader(*args)
        made.append((os.getpid(), reader))
        return reader

    monkeypatch.setattr(array_readers, "ArrayRecordReader", counted)
    return made


@pytest.fixture
def records(tmp_path, opened):
    paths, places = [], []
    for file in range(FILES):
        paths.append(str(tmp_path / f"set-train.array_record-{file}"))
        writer = ArrayRecordWriter(paths[-1], "group_size:1")
        for number in range(COUNT):
            writer.write(record(file, number))
            places.append((file, number, len(record(file, number))))
        writer.close()
    return Records(tuple(paths), np.array(places, np.int64))


EXPECTED = [record(file, number) for file in range(FILES) for number in range(COUNT)]


def in_any_order(records):
    order = np.random.default_rng(0).permutation(len(EXPECTED))
    read = {int(i): records.read(int(i)) for i in order}
    return [read[i] for i in range(len(EXPECTED))]


def test_each_file_is_opened_once(records, opened):
    assert in_any_order(records) == in_any_order(records) == EXPECTED
    assert len(opened) == FILES


def test_threads_share_what_is_open(records, opened):
    numbers = list(range(len(EXPECTED))) * 20
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(records.read, numbers)) == EXPECTED * 20
    assert len(opened) == FILES


def test_no_more_files_are_open_than_allowed(records, opened, monkeypatch):
    monkeypatch.setattr(array_readers, "MOST_OPEN", 2)
    assert in_any_order(records) == EXPECTED
    assert sum(reader.is_open() for _, reader in opened) == 2
    # The least recently used one goes first.
    count = len(opened)
    for i in (0, COUNT, 0, 2 * COUNT, 0):
        records.read(i)
    assert opened[-1][1].is_open() and len(opened) <= count + 3


def test_all_are_closed_at_the_end(records, opened):
    in_any_order(records)
    records.close()
    assert not any(reader.is_open() for _, reader in opened)
    assert in_any_order(records) == EXPECTED  # opened again
    assert len(opened) == 2 * FILES


@pytest.mark.slow
def test_all_are_closed_with_the_last_reference(records, opened):
    other = Records(records.files, records.places)
    in_any_order(other)
    assert all(reader.is_open() for _, reader in opened)
    del other
    gc.collect()
    assert len(opened) == FILES and not any(reader.is_open() for _, reader in opened)


def test_a_pickled_copy_opens_its_own(records, opened):
    in_any_order(records)
    copy = pickle.loads(pickle.dumps(records))
    assert in_any_order(copy) == EXPECTED
    assert len(opened) == 2 * FILES


def _answer(records, opened, pipe):
    pipe.send((in_any_order(records), sum(process == os.getpid() for process, _ in opened)))


@pytest.mark.filterwarnings("ignore:.*fork.*")
def test_a_forked_process_opens_its_own_even_if_the_lock_was_held(records, opened):
    assert in_any_order(records) == EXPECTED
    here, there = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(
        target=_answer, args=(records, opened, there)
    )
    with records._array_readers._lock:
        child.start()
    try:
        assert here.poll(60), "the child waits for the parent's lock"
        assert here.recv() == (EXPECTED, FILES)
    finally:
        child.kill()
        child.join()
    assert in_any_order(records) == EXPECTED
    assert len(opened) == FILES


def test_a_damaged_record_is_named_and_the_others_are_read(tmp_path):
    path = tmp_path / "set-train.array_record-0"
    writer = ArrayRecordWriter(str(path), "group_size:1,uncompressed")
    stored = [np.random.default_rng(i).bytes(70_000) for i in range(4)]
    for one in stored:
        writer.write(one)
    writer.close()
    data = bytearray(path.read_bytes())
    data[data.index(stored[2][35_000:35_010])] ^= 1
    path.write_bytes(data)
    records = Records((str(path),), np.array([(0, i, 70_000) for i in range(4)]))
    with pytest.raises(OSError, match="array_record-0 has changed since it was opened"):
        records.read(2)
    assert [records.read(i) for i in (0, 1, 3)] == [stored[i] for i in (0, 1, 3)]


def test_a_record_of_another_length_or_none_is_named(records):
    records.places[3, 2] += 1
    records.places[4, 1] = COUNT
    for i in (3, 4):
        with pytest.raises(OSError, match="has changed since it was opened"):
            records.read(i)
    assert records.read(5) == EXPECTED[5]
