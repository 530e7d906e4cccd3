"""Folders of samples: whole, resumable, and never one call's images under another's record."""

import numpy as np
import pytest
from etils import epath

from vpt_gen.data import sampled
from vpt_gen.runs import saved
from vpt_gen.runs.saved import PROGRESS, SampleFolder

IMAGES = np.random.default_rng(0).random((5, 4, 4, 3)).astype(np.float32)
CLASSES = np.array([0, 0, 0, 1, 1])


def folder_of(path, class_ids=CLASSES, names=("a", "b"), seed=0, images=IMAGES):
    conditions = np.stack([class_ids, np.full(len(class_ids), -1)], axis=1)
    return SampleFolder(epath.Path(path), class_ids, names, {"seed": seed}, conditions)


def test_names_that_look_alike_to_a_file_system_get_files_of_their_own():
    assert saved.file_stems(["a dog", "Cat"]) == ["a_dog", "Cat"]
    assert saved.file_stems(["a dog", "a_dog"]) == ["0000_a_dog", "0001_a_dog"]
    assert len({stem.lower() for stem in saved.file_stems(["cat", "Cat"])}) == 2


def test_the_record_comes_last(tmp_path):
    folder = folder_of(tmp_path)
    assert folder.begin() == 0
    folder.add(0, IMAGES[:2])
    assert sampled.read(tmp_path) is None
    folder.add(2, IMAGES[2:])
    folder.finish()
    classes, record = sampled.read(tmp_path)
    assert record == {"seed": 0}
    assert classes == {
        **{f"a_000{n}.png": "a" for n in range(3)},
        **{f"b_000{n}.png": "b" for n in range(2)},
    }
    assert {path.name for path in tmp_path.iterdir()} == {*classes, sampled.FILE}


def test_the_same_call_goes_on_behind_what_is_done(tmp_path):
    folder = folder_of(tmp_path)
    folder.begin()
    folder.add(0, IMAGES[:2])
    assert folder_of(tmp_path).begin() == 2


@pytest.mark.parametrize(
    "other", [{"seed": 1}, {"class_ids": CLASSES[:4]}, {"names": ("a", "c")}], ids=str
)
def test_another_call_counts_nothing_as_done(tmp_path, other):
    folder = folder_of(tmp_path)
    folder.begin()
    folder.add(0, IMAGES[:2])
    assert folder_of(tmp_path, **other).begin() == 0


def test_a_new_call_takes_the_old_record_away_before_it_replaces_images(tmp_path):
    folder = folder_of(tmp_path)
    folder.begin()
    folder.add(0, IMAGES)
    folder.finish()
    folder_of(tmp_path, seed=1).begin()
    assert sampled.read(tmp_path) is None
    assert (tmp_path / PROGRESS).is_file()


def test_images_come_back_as_they_were_written(tmp_path):
    folder = folder_of(tmp_path)
    folder.begin()
    folder.add(0, IMAGES)
    shown, classes = folder.first_of_each(2)
    assert classes.tolist() == [0, 0, 1, 1]
    np.testing.assert_allclose(shown, IMAGES[[0, 1, 3, 4]], atol=0.5 / 255 + 1e-6)


def test_older_images_in_the_folder_are_told_and_not_listed(tmp_path, capsys):
    for seed, names, told in ((0, "ab", False), (1, "ab", False), (2, "xb", True)):
        folder = folder_of(tmp_path, names=tuple(names), seed=seed)
        folder.begin()
        folder.add(0, IMAGES)
        folder.finish()
        assert ("also holds 3 images" in capsys.readouterr().out) == told
