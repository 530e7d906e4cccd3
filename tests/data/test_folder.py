"""Folders of images as users have them: mixed, broken, flat, or wrong."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image

from vpt_gen.data.folder import open_folder
from vpt_gen.errors import UserError

KINDS = ("png", "jpg", "webp", "bmp", "JPEG", "gif", "tiff")
CLASSES = {"ants": 3, "bees": 10, "cats": 5, "dogs": 4, "eels": 7}


def draw(path, value, size=(20, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, value)).save(path)


def draw_classes(root):
    """Five classes in mixed formats and sizes; an image's grey tells its class and number."""
    for label, (name, count) in enumerate(CLASSES.items()):
        for i in range(count):
            path = root / name / f"{i}.{KINDS[(label + i) % len(KINDS)]}"
            draw(path, 40 * label + 2 * i, size=(8 + 5 * i, 30 - label))


def grey(source, index):
    return round(float(source.load(index).mean()))


@pytest.fixture
def mixed(tmp_path):
    """The five classes, with a broken image, a text file and hidden files among them."""
    root = tmp_path / "animals"
    draw_classes(root)
    pixels = np.random.default_rng(0).integers(0, 256, (50, 50, 3), np.uint8)
    Image.fromarray(pixels).save(root / "cats" / "broken.png")
    whole = (root / "cats" / "broken.png").read_bytes()
    (root / "cats" / "broken.png").write_bytes(whole[: len(whole) // 2])
    (root / "dogs" / "notes.txt").write_text("no image")
    (root / "dogs" / ".DS_Store").write_text("hidden")
    draw(root / "dogs" / ".cache" / "thumbnail.png", 0)
    draw(root / ".trash" / "old.png", 0)
    return root


def test_classes_and_labels_follow_the_sorted_names(mixed):
    source = open_folder(str(mixed))
    assert source.class_names == tuple(CLASSES)
    assert source.labels.dtype == np.int32
    np.testing.assert_array_equal(source.labels, np.repeat(np.arange(5), list(CLASSES.values())))


def test_every_image_stands_at_its_label(mixed):
    source = open_folder(str(mixed))
    by_class = [[grey(source, i) for i in np.flatnonzero(source.labels == c)] for c in range(5)]
    for label, (values, count) in enumerate(zip(by_class, CLASSES.values(), strict=True)):
        expected = 40 * label + 2 * np.arange(count)
        np.testing.assert_allclose(sorted(values), expected, atol=1)


def test_broken_and_foreign_files_are_named_hidden_ones_not(mixed, capsys):
    open_folder(str(mixed))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0] == f"Passed over, no image by its name: {mixed / 'dogs' / 'notes.txt'}"
    assert lines[1].startswith(f"Left out, cannot be read: {mixed / 'cats' / 'broken.png'} (")


def test_order_does_not_hang_on_the_file_system(mixed, tmp_path):
    reversed_root = tmp_path / "reversed"
    for path in sorted(mixed.rglob("*.*"), reverse=True):
        if path.is_file():
            copy = reversed_root / path.relative_to(mixed)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    first, second = open_folder(str(mixed)), open_folder(str(reversed_root))
    assert [grey(first, i) for i in range(29)] == [grey(second, i) for i in range(29)]
    assert first.digest == second.digest


def test_images_deeper_in_a_class_folder_count(tmp_path):
    draw(tmp_path / "ants" / "red" / "1.png", 1)
    draw(tmp_path / "ants" / "2.png", 2)
    draw(tmp_path / "bees" / "3.png", 3)
    source = open_folder(str(tmp_path))
    assert source.class_names == ("ants", "bees")
    assert source.labels.tolist() == [0, 0, 1]


def test_flat_folder_is_one_class(tmp_path, capsys):
    for i in range(4):
        draw(tmp_path / "things" / f"{i}.png", i)
    (tmp_path / "things" / "LICENSE").write_text("text")
    source = open_folder(str(tmp_path / "things"))
    assert source.class_names == ("things",)
    assert source.labels.tolist() == [0, 0, 0, 0]
    assert [grey(source, i) for i in range(4)] == [0, 1, 2, 3]
    assert "LICENSE" in capsys.readouterr().out


def test_digest_is_of_the_content_not_of_the_dates(tmp_path):
    draw(tmp_path / "1.png", 10)
    draw(tmp_path / "2.png", 20)
    first = open_folder(str(tmp_path)).digest
    os.utime(tmp_path / "1.png", (0, 0))
    assert open_folder(str(tmp_path)).digest == first
    size = (tmp_path / "1.png").stat().st_size
    draw(tmp_path / "1.png", 11)
    assert (tmp_path / "1.png").stat().st_size == size
    changed = open_folder(str(tmp_path)).digest
    (tmp_path / "2.png").rename(tmp_path / "3.png")
    assert len({first, changed, open_folder(str(tmp_path)).digest}) == 3


@pytest.mark.parametrize("path", ["", "nowhere/at/all"])
def test_missing_folder(path):
    with pytest.raises(UserError, match=rf"'{path}' does not exist; set config\.data\.path"):
        open_folder(path)


def test_file_instead_of_a_folder(tmp_path):
    draw(tmp_path / "1.png", 0)
    with pytest.raises(UserError, match=r"1\.png' does not exist"):
        open_folder(str(tmp_path / "1.png"))


def test_folder_without_images(tmp_path):
    (tmp_path / "readme.txt").write_text("text")
    with pytest.raises(UserError, match=rf"{tmp_path} holds no images \(\.bmp, \.gif, .*\.webp\)"):
        open_folder(str(tmp_path))


@pytest.mark.parametrize("content", [None, b"broken"])
def test_class_without_a_readable_image(tmp_path, content):
    draw(tmp_path / "ants" / "1.png", 0)
    (tmp_path / "bees").mkdir()
    if content:
        (tmp_path / "bees" / "2.png").write_bytes(content)
    with pytest.raises(UserError, match=rf"Class 'bees' of {tmp_path} holds no readable image"):
        open_folder(str(tmp_path))


def test_images_beside_class_folders(tmp_path):
    draw(tmp_path / "ants" / "1.png", 0)
    draw(tmp_path / "stray.jpg", 0)
    with pytest.raises(UserError, match=r"images beside class folders \(stray\.jpg, for one\)"):
        open_folder(str(tmp_path))


def test_image_that_breaks_later_is_named(tmp_path):
    draw(tmp_path / "1.png", 0)
    source = open_folder(str(tmp_path))
    (tmp_path / "1.png").write_bytes(b"broken")
    with pytest.raises(OSError, match=r"1\.png has become unreadable"):
        source.load(0)
