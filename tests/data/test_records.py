"""Random access: TFDS's own order for any split expression, an index that is never stale."""

import os

import numpy as np
import pytest
import tensorflow_datasets as tfds

from vpt_gen.data import records
from vpt_gen.data import tfds as sets
from vpt_gen.data.tfds import open_tfds
from vpt_gen.errors import UserError

NAMES = ("cat", "dog", "eel")
IMAGE = tfds.features.Image(shape=(None, None, 3), encoding_format="png")


def write(folder, image=IMAGE, draw=None, file_format="tfrecord", num_shards=3):
    """Splits train (24) and test (10), in several files each, shuffled as TFDS does."""
    features = tfds.features.FeaturesDict(
        {"image": image, "label": tfds.features.ClassLabel(names=list(NAMES))}
    )
    draw = draw or (lambda i: np.full((3, 4, 3), i, np.uint8))
    builder = tfds.dataset_builders.store_as_tfds_dataset(
        name="tiny_set",
        version="1.0.0",
        features=features,
        split_datasets={
            split: [(i, {"image": draw(i), "label": i % 3}) for i in range(first, last)]
            for split, first, last in (("train", 0, 24), ("test", 100, 110))
        },
        data_dir=str(folder),
        file_format=file_format,
        download_config=tfds.download.DownloadConfig(num_shards=num_shards),
    )
    return builder


@pytest.fixture(scope="module")
def builder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("tfds"))


def numbers(source):
    return [int(source.load(i)[0, 0, 0]) for i in range(len(source))]


@pytest.mark.slow
@pytest.mark.parametrize(
    "split",
    [
        "train",
        "test[:50%]",
        "test[50%:]",
        "train[5:20]",
        "train[80%:90%]",
        "train+test[:50%]",
        "train[:3]+train[17:20]",
        "test+train[-2:]",
    ],
)
def test_examples_and_their_order_are_those_of_tfds(builder, split):
    assert len(builder.info.splits["train"].filenames) == 3
    dataset = builder.as_dataset(
        split=split, read_config=tfds.ReadConfig(interleave_cycle_length=1)
    )
    expected = list(tfds.as_numpy(dataset))
    source = open_tfds(str(builder.data_path), split)
    assert numbers(source) == [int(example["image"][0, 0, 0]) for example in expected]
    assert source.labels.tolist() == [example["label"] for example in expected]


def test_order_is_shuffled_so_that_the_test_above_says_something(builder):
    train = numbers(open_tfds(str(builder.data_path), "train"))
    assert sorted(train) == list(range(24)) != train


@pytest.mark.slow
def test_array_records_read_alike(builder, tmp_path):
    path = str(write(tmp_path, file_format="array_record").data_path)
    for split in ("train", "train[5:20]+test[3:]"):
        expected = open_tfds(str(builder.data_path), split)
        source = open_tfds(path, split)
        assert numbers(source) == numbers(expected)
        assert source.digest == expected.digest


@pytest.mark.parametrize(
    ("image", "draw"),
    [
        (tfds.features.Tensor(shape=(3, 4, 3), dtype=np.uint8), None),
        (
            tfds.features.Tensor(shape=(3, 4), dtype=np.uint8),
            lambda i: np.full((3, 4), i, np.uint8),
        ),
        (
            tfds.features.Tensor(shape=(3, 4, 1), dtype=np.uint8, encoding="zlib"),
            lambda i: np.full((3, 4, 1), i, np.uint8),
        ),
        (
            tfds.features.Image(shape=(None, None, 1), encoding_format="png"),
            lambda i: np.full((3, 4, 1), i, np.uint8),
        ),
    ],
    ids=["tensor", "gray tensor", "packed tensor", "gray png"],
)
def test_images_of_every_kind_become_rgb(builder, tmp_path, image, draw):
    source = open_tfds(str(write(tmp_path, image, draw).data_path), "train[5:9]")
    assert numbers(source) == numbers(open_tfds(str(builder.data_path), "train[5:9]"))
    assert source.load(0).shape == (3, 4, 3)
    assert source.load(0).dtype == np.uint8


def test_an_image_of_another_type_is_named_when_it_is_read(tmp_path):
    image = tfds.features.Tensor(shape=(3, 4, 3), dtype=np.float32)
    directory = write(tmp_path, image, lambda i: np.full((3, 4, 3), i, np.float32)).data_path
    with pytest.raises(OSError, match="must be uint8"):
        open_tfds(str(directory), "train").load(0)


@pytest.fixture
def passes(monkeypatch, tmp_path):
    """The passes over records since the start of the test, with an empty cache."""
    monkeypatch.setenv("VPT_GEN_CACHE", str(tmp_path / "cache"))
    made = []
    scan = records.scan

    def counted(instructions):
        made.append(instructions)
        return scan(instructions)

    monkeypatch.setattr(records, "scan", counted)
    return made


def test_the_second_opening_needs_no_pass(builder, passes):
    first = open_tfds(str(builder.data_path), "train[2:]")
    again = open_tfds(str(builder.data_path), "train[2:]")
    assert len(passes) == 1
    assert numbers(again) == numbers(first)
    assert (again.digest, again.labels.tolist()) == (first.digest, first.labels.tolist())
    open_tfds(str(builder.data_path), "train[3:]")
    assert len(passes) == 2


@pytest.mark.slow
def test_files_that_changed_are_read_again(passes, tmp_path):
    directory = write(tmp_path / "a").data_path
    other = write(tmp_path / "b", draw=lambda i: np.full((3, 4, 3), 200 - i, np.uint8)).data_path
    before = open_tfds(str(directory), "train")
    shown = numbers(before)
    for file in directory.glob("*train*"):
        file.write_bytes((other / file.name).read_bytes())
    after = open_tfds(str(directory), "train")
    assert numbers(after) == [200 - i for i in shown]
    assert after.digest != before.digest
    # A touched file of the same size counts as changed, too.
    count = len(passes)
    os.utime(next(iter(directory.glob("*train*"))), ns=(1, 1))
    open_tfds(str(directory), "train")
    assert len(passes) == count + 1


def test_a_damaged_index_is_made_anew(builder, passes, tmp_path):
    whole = open_tfds(str(builder.data_path), "train")
    (index,) = (tmp_path / "cache" / "records").iterdir()
    index.write_bytes(index.read_bytes()[:100])
    assert numbers(open_tfds(str(builder.data_path), "train")) == numbers(whole)
    assert len(passes) == 2


def test_a_cache_that_cannot_be_written_is_no_hindrance(builder, passes, tmp_path, capsys):
    (tmp_path / "cache").write_text("a file where a folder should be")
    assert len(open_tfds(str(builder.data_path), "train")) == 24
    assert "cannot be saved for the next run" in capsys.readouterr().out


def test_a_file_that_changes_under_an_open_source_is_named(tmp_path):
    directory = write(tmp_path, num_shards=1).data_path
    source = open_tfds(str(directory), "train")
    (file,) = directory.glob("*train*")
    file.write_bytes(b"x" + file.read_bytes())
    with pytest.raises(OSError, match="has changed since it was opened"):
        source.load(3)


def test_a_flipped_bit_is_found(tmp_path):
    directory = write(tmp_path, num_shards=1).data_path
    (file,) = directory.glob("*train*")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(UserError, match=r"cannot be opened \(.*corrupted record"):
        open_tfds(str(directory), "train")


def test_missing_records_are_named(tmp_path):
    directory = write(tmp_path, num_shards=1).data_path
    (file,) = directory.glob("*train*")
    source = open_tfds(str(directory), "train")
    last = records.Place(*source_places(directory)[-1])
    file.write_bytes(file.read_bytes()[: last.offset - 12])
    with pytest.raises(UserError, match="ends after 23 of 24 records; prepare it again"):
        open_tfds(str(directory), "train")
    assert len(source) == 24


def source_places(directory):
    instructions = tfds.builder_from_directory(directory).info.splits["train"].file_instructions
    return [place for place, _ in records.scan(instructions)]


def test_other_formats_are_named():
    with pytest.raises(UserError, match="prepare the data set as tfrecord"):
        records.check_formats(("x/set-train.riegeli-00000-of-00001",))


def test_a_part_of_a_sequence_is_read_by_its_path():
    features = tfds.features.FeaturesDict(
        {
            "label": np.int64,
            "objects": tfds.features.Sequence(
                {"kind": np.int64, "place": tfds.features.Tensor(shape=(3,), dtype=np.float32)}
            ),
        }
    )
    reader = sets.RecordReader(features, ("objects/kind", "objects/place"))
    for count in (0, 2):
        objects = [{"kind": i, "place": np.full(3, i, np.float32)} for i in range(count)]
        example = features.encode_example({"label": 1, "objects": objects})
        read = reader.read(features.serialize_example(example))
        assert read.keys() == {"objects/kind", "objects/place"}
        assert read["objects/kind"].tolist() == list(range(count))
        assert read["objects/place"].shape == (count, 3)
    for key in ("depth", "objects/depth"):
        with pytest.raises(UserError, match=f"no feature '{key}'; it has label, objects"):
            sets.RecordReader(features, (key,))
