"""TFDS: a small data set prepared on disk, opened by name and by directory; what is refused."""

import socket

import numpy as np
import pytest
import tensorflow_datasets as tfds

from vpt_gen.data.tfds import open_tfds
from vpt_gen.errors import UserError

NAMES = ("cat", "dog", "eel")
IMAGES = np.random.default_rng(0).integers(0, 256, (12, 5, 7, 3), np.uint8)


def features(**changes):
    image = tfds.features.Image(shape=(None, None, 3), encoding_format="png")
    label = tfds.features.ClassLabel(names=list(NAMES))
    return {
        name: value
        for name, value in ({"image": image, "label": label} | changes).items()
        if value is not None
    }


def prepare(folder, feature_dict, examples, name="tiny_set"):
    """Writes a data set with the splits train (all but 4) and test (4); returns its directory."""
    import tensorflow as tf

    keys = list(feature_dict)
    signature = {key: feature_dict[key].get_tensor_spec() for key in keys}

    def split(part):
        return tf.data.Dataset.from_generator(
            lambda: ({key: example[key] for key in keys} for example in part),
            output_signature=signature,
        )

    builder = tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        version="1.0.0",
        features=tfds.features.FeaturesDict(feature_dict),
        split_datasets={"train": split(examples[:-4]), "test": split(examples[-4:])},
        data_dir=str(folder),
        disable_shuffling=True,
    )
    return str(builder.data_path)


def examples(images=IMAGES):
    return [{"image": image, "label": i % 3} for i, image in enumerate(images)]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    return folder, prepare(folder, features(), examples())


@pytest.mark.slow
def test_open_by_directory(prepared):
    _, directory = prepared
    source = open_tfds(directory, "train")
    assert source.class_names == NAMES
    assert source.labels.dtype == np.int32
    assert source.labels.tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    for index in range(8):
        image = source.load(index)
        assert image.dtype == np.uint8
        np.testing.assert_array_equal(image, IMAGES[index])


def test_open_by_name(prepared):
    folder, directory = prepared
    for name in ("tiny_set", "tiny_set:1.0.0"):
        source = open_tfds(name, "train", str(folder))
        assert source.name == "tiny_set/1.0.0[train]"
        assert source.digest == open_tfds(directory, "train").digest


@pytest.mark.parametrize(
    ("split", "first", "count"), [("test", 8, 4), ("train[:50%]", 0, 4), ("train[5:]", 5, 3)]
)
def test_split_expressions(prepared, split, first, count):
    source = open_tfds(prepared[1], split)
    assert len(source) == count
    np.testing.assert_array_equal(source.load(0), IMAGES[first])


@pytest.mark.slow
def test_digest_is_of_the_content(prepared, tmp_path):
    _, directory = prepared
    changed = IMAGES.copy()
    # Two pixels change places: the encoded image may well keep its size.
    changed[3, 0, [0, 1]] = changed[3, 0, [1, 0]]
    same = open_tfds(prepare(tmp_path / "same", features(), examples()), "train")
    other = open_tfds(prepare(tmp_path / "other", features(), examples(changed)), "train")
    relabeled = [example | {"label": 0} for example in examples()]
    labels = open_tfds(prepare(tmp_path / "labels", features(), relabeled), "train")
    digest = open_tfds(directory, "train").digest
    assert same.digest == digest
    assert other.digest != digest
    assert labels.digest != digest
    assert open_tfds(directory, "test").digest != digest


@pytest.mark.parametrize("name", ["no_such_set", "no_such_set:1.0.0", "", "mnist/no_such_config"])
def test_unknown_name_is_one_sentence_without_network(tmp_path, monkeypatch, name):
    asked = []

    def refuse(*address, **options):
        asked.append(address)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(UserError, match=rf"^TFDS data set '{name}' cannot be opened") as info:
        open_tfds(name, "train", str(tmp_path))
    assert asked == []
    assert "\n" not in str(info.value)
    assert str(info.value).endswith("or use a folder of images.")


def test_unknown_split(prepared):
    with pytest.raises(UserError, match=r"\[validation\] cannot be opened \(.*Unknown split"):
        open_tfds(prepared[1], "validation")


def test_directory_without_a_data_set(tmp_path):
    with pytest.raises(UserError, match="cannot be opened"):
        open_tfds(str(tmp_path), "train")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": None}, "has no examples with a class 'label'"),
        ({"label": tfds.features.Scalar(np.int64)}, "has no examples with a class 'label'"),
        ({"image": None}, "has no feature 'image'; it has label"),
    ],
)
def test_features_that_do_not_serve(tmp_path, changes, message):
    directory = prepare(tmp_path, features(**changes), examples())
    with pytest.raises(UserError, match=message):
        open_tfds(directory, "train")


def test_examples_without_a_label(tmp_path):
    unlabeled = [example | {"label": -1} for example in examples()]
    directory = prepare(tmp_path, features(), unlabeled)
    with pytest.raises(UserError, match="has examples without a label"):
        open_tfds(directory, "train")


def test_a_set_that_is_not_prepared_is_refused_without_network(tmp_path, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: pytest.fail("asked"))
    with pytest.raises(UserError, match="'mnist' is not prepared in .*data.check --prepare"):
        open_tfds("mnist", "train", str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_damaged_file(tmp_path):
    directory = prepare(tmp_path, features(), examples())
    (record,) = tmp_path.rglob("*train.tfrecord*")
    record.write_bytes(record.read_bytes()[:-40])
    with pytest.raises(UserError, match="cannot be opened"):
        open_tfds(directory, "train")
