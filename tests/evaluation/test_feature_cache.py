"""Features of real images: computed once, made anew where damaged, never half there."""

import dataclasses

import numpy as np
import pytest

from tests import measured
from vpt_gen.evaluation.feature_cache import features_of
from vpt_gen.machine.files import cache_folder


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VPT_GEN_CACHE", str(tmp_path))


@pytest.fixture
def images():
    """A set that counts how often it is streamed."""
    pictures, labels = measured.blobs(20)
    whole = measured.image_set(pictures, labels)
    streamed = []

    def stream():
        streamed.append(1)
        return iter(pictures)

    return dataclasses.replace(whole, stream=stream), streamed


def files():
    return sorted(cache_folder().glob("features/*"))


def assert_same(a, b):
    assert a.count == b.count
    np.testing.assert_array_equal(a.indices, b.indices)
    for name in ("small",):
        np.testing.assert_array_equal(a.rows[name], b.rows[name])
        for ours, theirs in zip(a.moments[name], b.moments[name], strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
def test_images_are_streamed_once(images):
    first = features_of(measured.extractor(), images[0])
    assert_same(features_of(measured.extractor(), images[0]), first)
    assert len(images[1]) == 1
    assert len(files()) == 1


def test_another_net_or_another_image_is_another_file(images):
    features_of(measured.extractor(), images[0])
    features_of(measured.extractor(measured.small_space("1")), images[0])
    features_of(measured.extractor(), dataclasses.replace(images[0], digest="other"))
    assert len(images[1]) == len(files()) == 3


def test_a_set_without_a_digest_is_not_kept(images):
    features_of(measured.extractor(), dataclasses.replace(images[0], digest=""))
    assert not files()


def flip(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize(
    "damage",
    [lambda data: data[:100], flip, lambda data: b"", lambda data: b"x" * len(data)],
    ids=["cut off", "a bit", "empty", "other"],
)
def test_a_damaged_file_is_made_anew(images, damage, capsys):
    first = features_of(measured.extractor(), images[0])
    (path,) = files()
    good = path.read_bytes()
    path.write_bytes(damage(good))
    assert_same(features_of(measured.extractor(), images[0]), first)
    assert "are damaged" in capsys.readouterr().out
    assert len(images[1]) == 2
    features_of(measured.extractor(), images[0])
    assert len(images[1]) == 2


def test_features_under_another_key_are_not_taken(images):
    """A file that was copied over another one is whole, and still the wrong one."""
    other = dataclasses.replace(images[0], digest="other")
    features_of(measured.extractor(), images[0])
    (first,) = files()
    features_of(measured.extractor(), other)
    (second,) = set(files()) - {first}
    second.write_bytes(first.read_bytes())
    features_of(measured.extractor(), other)
    assert len(images[1]) == 3


def test_an_interrupt_leaves_nothing(images):
    def stream():
        yield from images[0].stream()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        features_of(measured.extractor(), dataclasses.replace(images[0], stream=stream))
    assert not files()


def test_one_image_has_rows_and_no_covariance(images):
    pictures, labels = measured.blobs(1)
    found = features_of(measured.extractor(), measured.image_set(pictures, labels))
    assert found.moments == {}
    assert found.rows["small"].shape == (1, 12)
