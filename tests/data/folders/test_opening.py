"""Folders of images as users have them: mixed, broken, flat, or wrong."""

import json
import os
import pathlib
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from vpt_gen.data import sampled
from vpt_gen.data.folders import checked, listing
from vpt_gen.data.folders.opening import open_folder
from vpt_gen.errors import UserError
from vpt_gen.images import grids

KINDS = ("png", "jpg", "webp", "bmp", "JPEG", "gif", "tiff")
CLASSES = {"ants": 3, "bees": 10, "cats": 5, "dogs": 4, "eels": 7}


def draw(path, value, size=(20, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, value)).save(path)


def draw_classes(root):
    """Five classes in mixed formats and sizes; an image's gray tells its class and number."""
    for label, (name, count) in enumerate(CLASSES.items()):
        for i in range(count):
            path = root / name / f"{i}.{KINDS[(label + i) % len(KINDS)]}"
            draw(path, 40 * label + 2 * i, size=(8 + 5 * i, 30 - label))


@pytest.fixture(autouse=True)
def findings(tmp_path_factory, monkeypatch):
    """Where the findings of a test are kept; files count at once as settled."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("VPT_GEN_CACHE", str(folder))
    monkeypatch.setattr(checked, "_SETTLED_NS", -(10**12))
    return folder


@pytest.fixture
def examined(monkeypatch):
    """The files whose content the check has looked at."""
    names = []
    whole = checked._examine

    def examine(path):
        names.append(os.path.basename(path).decode())
        return whole(path)

    monkeypatch.setattr(checked, "_examine", examine)
    return names


def gray(source, index):
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
    by_class = [[gray(source, i) for i in np.flatnonzero(source.labels == c)] for c in range(5)]
    for label, (values, count) in enumerate(zip(by_class, CLASSES.values(), strict=True)):
        expected = 40 * label + 2 * np.arange(count)
        np.testing.assert_allclose(sorted(values), expected, atol=1)


def test_broken_and_foreign_files_are_named_hidden_ones_not(mixed, capsys):
    open_folder(str(mixed))
    broken, notes, total, classes = capsys.readouterr().out.splitlines()
    assert notes == f"Left out: {mixed / 'dogs' / 'notes.txt'} (not an image by its name)"
    assert broken.startswith(f"Left out: {mixed / 'cats' / 'broken.png'} (cannot be read: ")
    assert total == f"29 images in 5 classes, 2 left out: {mixed}"
    assert classes == "Classes: ants (3), bees (10), cats (5), dogs (4), eels (7)"


def test_order_does_not_hang_on_the_file_system(mixed, tmp_path):
    reversed_root = tmp_path / "reversed"
    for path in sorted(mixed.rglob("*.*"), reverse=True):
        if path.is_file():
            copy = reversed_root / path.relative_to(mixed)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    first, second = open_folder(str(mixed)), open_folder(str(reversed_root))
    assert [gray(first, i) for i in range(29)] == [gray(second, i) for i in range(29)]
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
    assert [gray(source, i) for i in range(4)] == [0, 1, 2, 3]
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
    with pytest.raises(UserError, match=rf"{tmp_path} holds no images \(\.apng, .*\.webp\)"):
        open_folder(str(tmp_path))


@pytest.mark.parametrize("content", [None, b"broken"])
def test_class_without_a_readable_image(tmp_path, content):
    draw(tmp_path / "ants" / "1.png", 0)
    (tmp_path / "bees").mkdir()
    if content:
        (tmp_path / "bees" / "2.png").write_bytes(content)
    with pytest.raises(UserError, match=rf"Class 'bees' of {tmp_path} holds no readable image"):
        open_folder(str(tmp_path))


def test_folder_without_a_readable_image(tmp_path, capsys):
    (tmp_path / "1.png").write_bytes(b"broken")
    with pytest.raises(UserError, match=rf"^{tmp_path} holds no readable image"):
        open_folder(str(tmp_path))
    assert "folders inside" not in capsys.readouterr().out


def test_images_beside_class_folders(tmp_path):
    draw(tmp_path / "ants" / "1.png", 0)
    draw(tmp_path / "stray.jpg", 0)
    with pytest.raises(UserError, match=r"images next to class folders \(such as stray\.jpg\)"):
        open_folder(str(tmp_path))


def test_image_that_changes_later_is_named(tmp_path):
    draw(tmp_path / "1.png", 0)
    draw(tmp_path / "2.png", 0)
    source = open_folder(str(tmp_path))
    draw(tmp_path / "1.png", 9)
    with pytest.raises(OSError, match=r"1\.png has changed since the run began"):
        source.load(0)
    (tmp_path / "2.png").unlink()
    with pytest.raises(OSError, match=r"2\.png has become unreadable: No such file"):
        source.load(1)


def test_what_was_checked_once_is_not_read_again(mixed, examined):
    first = open_folder(str(mixed))
    assert len(examined) == 30
    again = open_folder(str(mixed))
    assert len(examined) == 30
    assert again.digest == first.digest
    np.testing.assert_array_equal(again.labels, first.labels)


def test_only_what_changed_is_checked_again(mixed, examined, capsys):
    open_folder(str(mixed))
    examined.clear()
    same = mixed / "bees" / "2.bmp"
    before = same.stat()
    draw(same, 77, size=(18, 29))
    assert same.stat().st_size == before.st_size
    os.utime(same, ns=(before.st_atime_ns, before.st_mtime_ns))
    draw(mixed / "ants" / "new.png", 99)
    (mixed / "bees" / "3.JPEG").unlink()
    draw(mixed / "cats" / "broken.png", 50)
    capsys.readouterr()
    source = open_folder(str(mixed))
    assert sorted(examined) == ["2.bmp", "broken.png", "new.png"]
    assert "30 images in 5 classes, 1 left out" in capsys.readouterr().out
    assert [gray(source, i) for i in (3, 6)] == [99, 77]
    shutil.rmtree(checked.cache_folder())
    assert open_folder(str(mixed)).digest == source.digest


def test_a_file_that_has_just_changed_is_not_trusted_yet(tmp_path, examined, monkeypatch):
    monkeypatch.setattr(checked, "_SETTLED_NS", 10**12)
    draw(tmp_path / "1.png", 1)
    open_folder(str(tmp_path))
    open_folder(str(tmp_path))
    assert examined == ["1.png", "1.png"]


@pytest.mark.parametrize("damage", [b"", b"no index", None])
def test_damaged_findings_are_made_anew(tmp_path, examined, damage):
    draw(tmp_path / "1.png", 1)
    first = open_folder(str(tmp_path))
    index = checked.index_path(str(tmp_path))
    index.write_bytes(index.read_bytes()[:-30] if damage is None else damage)
    assert open_folder(str(tmp_path)).digest == first.digest
    assert len(examined) == 2


@pytest.mark.parametrize("name", ["stamps", "digests", "pixels"])
def test_findings_of_another_length_are_made_anew(tmp_path, examined, name):
    draw(tmp_path / "1.png", 1)
    open_folder(str(tmp_path))
    index = checked.index_path(str(tmp_path))
    arrays = dict(np.load(index))
    np.savez(index, **{**arrays, name: arrays[name][:0]})
    assert open_folder(str(tmp_path)).content is not None
    assert len(examined) == 2


def test_another_decoder_checks_again(tmp_path, examined, monkeypatch):
    draw(tmp_path / "1.png", 1)
    open_folder(str(tmp_path))
    monkeypatch.setattr(checked, "_RULES", "of tomorrow")
    open_folder(str(tmp_path))
    assert len(examined) == 2


def test_findings_that_cannot_be_kept_do_not_stop_a_run(tmp_path, findings, capsys):
    draw(tmp_path / "1.png", 1)
    (findings / "folders").write_text("in the way")
    assert len(open_folder(str(tmp_path))) == 1
    assert "Cannot remember which images were checked" in capsys.readouterr().out


def test_interrupted_check_keeps_what_it_found(tmp_path, examined, monkeypatch):
    for i in range(100):
        draw(tmp_path / f"{i:03}.png", i, size=(2, 2))

    def interrupted(results, **options):
        for number, result in enumerate(results):
            if number == 60:
                raise KeyboardInterrupt
            yield result

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(checked, "track", interrupted)
        open_folder(str(tmp_path))
    examined.clear()
    assert len(open_folder(str(tmp_path))) == 100
    assert sorted(examined) == [f"{i:03}.png" for i in range(60, 100)]


def test_many_bad_files_are_counted_and_listed(tmp_path, capsys):
    for i in range(30):
        (tmp_path / f"{i:02}.png").write_text("broken")
    draw(tmp_path / "good.png", 0)
    open_folder(str(tmp_path))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 23
    assert all(line.startswith("Left out: ") for line in lines[:20])
    start, _, whole = lines[20].rpartition(" ")
    assert start == "... and 10 more; the whole list:"
    assert pathlib.Path(whole).read_text().splitlines()[:20] == lines[:20]
    assert len(pathlib.Path(whole).read_text().splitlines()) == 30
    assert lines[21] == f"1 image in 1 class, 30 left out: {tmp_path}"


def test_content_counts_and_not_the_extension(tmp_path, capsys):
    draw(tmp_path / "image.png", 9)
    (tmp_path / "image.png").rename(tmp_path / "IMAGE.JPG")
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "zero.png").touch()
    (tmp_path / "phone.HEIC").write_bytes(b"heic")
    source = open_folder(str(tmp_path))
    np.testing.assert_array_equal(source.load(0), np.full((30, 20, 3), 9))
    out = capsys.readouterr().out
    assert f"{tmp_path}/text.png (cannot be read: not an image of a supported format" in out
    assert f"{tmp_path}/zero.png (empty)" in out
    assert f"{tmp_path}/phone.HEIC (HEIC; convert it to JPEG)" in out


@pytest.mark.parametrize(
    "name", ["two words", "übung 猫 🐈", "new\nline", "tab\t", "-flag", "a'b\"c"]
)
def test_any_name(tmp_path, name, capsys):
    draw(tmp_path / name / f"{name}.png", 5)
    (tmp_path / name / f"{name}.txt").touch()
    source = open_folder(str(tmp_path))
    assert gray(source, 0) == 5
    shown = name.replace("\n", "\\n").replace("\t", "\\t")
    assert [c.replace("\\'", "'") for c in source.class_names] == [shown]
    assert len(capsys.readouterr().out.splitlines()) == 3


def folder_of_bytes(tmp_path, name, image):
    """A folder, and an image in it, whose names need not be text; the folder's path."""
    folder = os.path.join(os.fsencode(tmp_path), name)
    try:
        os.mkdir(folder)
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    draw(tmp_path / "1.png", 5)
    os.rename(tmp_path / "1.png", os.path.join(folder, image))
    return folder


def test_names_that_are_no_text(tmp_path, capsys):
    folder_of_bytes(tmp_path, b"caf\xe9", b"\xff.png")
    source = open_folder(str(tmp_path))
    assert source.class_names == ("caf\\xe9",)
    assert gray(source, 0) == 5


def test_bad_files_of_a_folder_whose_name_is_no_text_are_listed(tmp_path, capsys):
    folder = folder_of_bytes(tmp_path, b"b\xe4r", b"1.png")
    for i in range(25):
        open(os.path.join(folder, b"%d.txt" % i), "w").close()
    open_folder(os.fsdecode(folder))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"Left out: {tmp_path}/b\\xe4r/0.txt (not an image by its name)"
    whole = pathlib.Path(lines[20].rpartition(" ")[2])
    assert whole.read_text().splitlines()[:20] == lines[:20]


def test_a_folder_that_may_not_be_entered_is_one_sentence(tmp_path, forbid):
    draw(tmp_path / "cats" / "1.png", 1)
    forbid(tmp_path, listed=True)
    message = f"{tmp_path} cannot be listed: Permission denied; .*`chmod u.rx {tmp_path}`"
    with pytest.raises(UserError, match=message):
        open_folder(str(tmp_path))
    forbid(tmp_path, listed=False)
    with pytest.raises(UserError, match=message):
        open_folder(str(tmp_path))


def test_links(tmp_path, capsys):
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    draw(root / "a" / "1.png", 1)
    draw(elsewhere / "deep" / "2.png", 2)
    (root / "a" / "to_file.png").symlink_to(elsewhere / "deep" / "2.png")
    (root / "a" / "to_folder").symlink_to(elsewhere)
    (root / "a" / "to_itself.png").symlink_to("to_itself.png")
    (root / "a" / "to_nothing.png").symlink_to("nothing")
    (root / "a" / "up").symlink_to(root)
    (elsewhere / "round").symlink_to(elsewhere)
    (root / "loop").symlink_to(root)
    (root / "b").symlink_to(elsewhere / "deep")
    os.mkfifo(root / "a" / "pipe.png")
    source = open_folder(str(root))
    assert source.class_names == ("a", "b")
    assert [(gray(source, i), int(source.labels[i])) for i in range(4)] == [
        (1, 0), (2, 0), (2, 0), (2, 1)
    ]  # fmt: skip
    lines = capsys.readouterr().out.splitlines()
    reasons = dict(line.removeprefix(f"Left out: {root}/").split(" (", 1) for line in lines[:-2])
    twice = "a link to a folder that was already read)"
    assert reasons == {
        "a/to_itself.png": "cannot be followed: Too many levels of symbolic links)",
        "a/to_nothing.png": "a link to nothing)",
        "a/pipe.png": "neither a file nor a folder)",
        "a/to_folder/round/": twice,
        "a/up/": twice,
        "loop/": twice,
    }


def test_what_systems_leave_behind_is_no_image_and_no_class(tmp_path, capsys):
    draw(tmp_path / "cats" / "1.png", 1)
    draw(tmp_path / "cats" / "@eaDir" / "1.png" / "thumb.jpg", 2)
    (tmp_path / "cats" / "Thumbs.db").touch()
    (tmp_path / "desktop.ini").touch()
    (tmp_path / "__MACOSX" / "cats").mkdir(parents=True)
    (tmp_path / "__MACOSX" / "cats" / "._1.png").touch()
    source = open_folder(str(tmp_path))
    assert (source.class_names, len(source)) == (("cats",), 1)
    assert capsys.readouterr().out.startswith("1 image in 1 class, 0 left out")


BINS = [
    "$RECYCLE.BIN",
    "#recycle",
    "System Volume Information",
    "lost+found",
    "RECYCLER",
    "@Recycle",
]
BINS += ["found.000", "LOST.DIR", "@tmp", "#snapshot", "@Recently-Snapshot", "@__thumb", "MSOCache"]


@pytest.mark.parametrize("name", BINS)
def test_recycle_bins_and_system_folders_are_ignored_at_any_depth(tmp_path, name, capsys):
    draw(tmp_path / "cats" / "1.png", 1)
    draw(tmp_path / "cats" / "deep" / "2.png", 2)
    for place in (tmp_path, tmp_path / "cats", tmp_path / "cats" / "deep"):
        draw(place / name / "S-1-5-21" / "deleted.png", 3)
    source = open_folder(str(tmp_path))
    assert (source.class_names, len(source)) == (("cats",), 2)
    assert capsys.readouterr().out.startswith("2 images in 1 class, 0 left out")
    flat = open_folder(str(tmp_path / "cats" / "deep"))
    assert (flat.class_names, len(flat)) == (("deep",), 1)


def test_what_is_ignored_is_listed_in_the_docs():
    text = (pathlib.Path(__file__).parents[3] / "docs" / "images.md").read_text().lower()
    missing = {name.decode().replace("\r", "\\r") for name in listing._LEFTOVERS}
    assert [name for name in sorted(missing) if f"`{name}`" not in text] == []


def test_what_is_shown_of_different_names_differs(tmp_path, capsys):
    names = ["a\nb", "a\\nb", "caf\xe9", "\x85", "\\x85", "\\u0085", "a\\", "tab\t"]
    raw = [os.fsencode(name) for name in names] + [b"caf\xe9", b"\x85", b"caf\\xe9"]
    shown = [listing.shown(name) for name in raw]
    assert len(set(shown)) == len(raw)
    assert all(name.isprintable() for name in shown)
    assert shown[:3] == ["a\\nb", "a\\\\nb", "caf\xe9"]
    for i, name in enumerate(names[:2]):
        draw(tmp_path / name / "1.png", i)
    source = open_folder(str(tmp_path))
    assert source.class_names == ("a\\nb", "a\\\\nb")
    assert "2 images in 2 classes" in capsys.readouterr().out


COMPOSED, DECOMPOSED = "caf\xe9", "cafe\u0301"


def test_names_that_look_the_same_are_the_same(tmp_path):
    draw(tmp_path / DECOMPOSED / "1.png", 1)
    draw(tmp_path / "cafz" / "2.png", 2)
    source = open_folder(str(tmp_path), classes=(COMPOSED,))
    assert (source.class_names, source.labels.tolist()) == ((DECOMPOSED, "cafz"), [0])
    draw(tmp_path / COMPOSED / "3.png", 3)
    with pytest.raises(UserError, match="two classes called 'café' .*rename one, or merge them"):
        open_folder(str(tmp_path))


def test_numbers_are_the_classes_of_these_names(tmp_path):
    for name in ("0", "1", "2"):
        draw(tmp_path / name / "1.png", int(name))
    assert open_folder(str(tmp_path), classes=(2, 0)).labels.tolist() == [0, 2]
    with pytest.raises(UserError, match="names '3', which .* does not have; it has 0, 1, 2"):
        open_folder(str(tmp_path), classes=(0, 3))


@pytest.mark.parametrize(
    ("wanted", "near"),
    [("cofee", "coffee"), ("BLACK TEA", "black_tea"), (7, "007"), ("cafe", "café")],
)
def test_a_near_name_is_named(tmp_path, wanted, near):
    for name in ("coffee", "black_tea", "007", "café"):
        draw(tmp_path / name / "1.png", 1)
    with pytest.raises(UserError, match=f"does not have; it has .*; did you mean '{near}'"):
        open_folder(str(tmp_path), classes=(wanted,))


def test_images_that_transparency_makes_white_are_named(tmp_path, capsys, examined):
    (tmp_path / "a").mkdir()
    images = {
        "clear.png": Image.new("RGBA", (4, 4), (200, 0, 0, 0)),
        "white on nothing.webp": Image.new("RGBA", (4, 4), (255, 255, 255, 90)),
        "color.gif": Image.new("L", (4, 4), 7),
        "paper.png": Image.new("RGB", (4, 4), "white"),
        "half.png": Image.new("RGBA", (4, 4), (0, 0, 0, 128)),
    }
    for name, image in images.items():
        image.save(
            tmp_path / "a" / name, transparency=7 if image.mode == "L" else None, lossless=True
        )
    for _ in range(2):
        assert len(open_folder(str(tmp_path))) == 5
        lines = capsys.readouterr().out.splitlines()
        assert lines[:3] == [
            f"Note: {tmp_path}/a/{name} (wholly white, because transparent parts go on white)"
            for name in ("clear.png", "color.gif", "white on nothing.webp")
        ]
        assert lines[3].startswith("5 images in 1 class, 0 left out")
    assert len(examined) == 5, "the second time, nothing is decoded"


def test_reasons_name_no_constant_of_a_library(tmp_path, capsys):
    draw(tmp_path / "good.png", 1)
    image, text = Image.new("RGB", (2, 2)), PngInfo()
    text.add_text("workflow", "x" * 2**21, zip=True)
    image.save(tmp_path / "text.png", pnginfo=text)
    image.save(tmp_path / "profile.png", icc_profile=bytes(2**21))
    image.save(tmp_path / "late.jpg")
    (tmp_path / "late.jpg").write_bytes(b"\n" + (tmp_path / "late.jpg").read_bytes())
    assert len(open_folder(str(tmp_path))) == 3
    out = capsys.readouterr().out
    assert f"{tmp_path}/profile.png (cannot be read: its metadata is larger than 1 MB" in out
    assert "MAX_" not in out


def test_other_classes_are_neither_decoded_nor_told_of(mixed, examined, capsys):
    whole = open_folder(str(mixed))
    shutil.rmtree(checked.cache_folder())
    examined.clear()
    capsys.readouterr()
    (mixed / "ants" / "broken.png").write_text("broken")
    part = open_folder(str(mixed), classes=("bees", "dogs"))
    assert len(examined) == 14
    assert part.class_names == whole.class_names
    assert part.labels.tolist() == [1] * 10 + [3] * 4
    assert [gray(part, i) for i in (0, 10)] == [gray(whole, i) for i in (3, 18)]
    assert "Classes: bees (10), dogs (4)\n" in capsys.readouterr().out
    # What is known of some classes stays known, and what is not is found out.
    assert open_folder(str(mixed)).digest == whole.digest
    assert len(examined) == 31
    assert open_folder(str(mixed), classes=("bees", "dogs")).digest == part.digest != whole.digest
    assert len(examined) == 31


def test_a_class_without_images_can_be_passed_over(tmp_path):
    draw(tmp_path / "ants" / "1.png", 0)
    (tmp_path / "annotations").mkdir()
    with pytest.raises(UserError, match="or name the other classes in config.data.classes"):
        open_folder(str(tmp_path))
    assert open_folder(str(tmp_path), classes=("ants",)).labels.tolist() == [1]
    with pytest.raises(UserError, match=f"names 'bees', which {tmp_path} does not have"):
        open_folder(str(tmp_path), classes=("ants", "bees"))


@pytest.mark.parametrize(
    ("images", "hint"),
    [
        (("Train/1.png", "Test/2.png"), "named like splits: if they are splits, .*/Test.$"),
        (("mine/cats/1.png", "mine/dogs/2.png"), "inside of one class folder: .*/mine.$"),
        (("cats/1.png", "dogs/a/2.png"), ""),
        (("1.png", "2.png"), ""),
    ],
)
def test_a_folder_that_may_mean_something_else_is_told(tmp_path, capsys, images, hint):
    for image in images:
        draw(tmp_path / "train" / image, 0)
    open_folder(str(tmp_path / "train"))
    _, classes, *hints = capsys.readouterr().out.splitlines()
    assert classes.startswith("Classes: ")
    assert bool(hints) == bool(hint)
    assert not hint or re.search(hint, hints[0])


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="needs a file no one may read")
def test_file_that_cannot_be_opened_or_read_is_tried_again(tmp_path, examined, capsys):
    draw(tmp_path / "1.png", 1)
    (tmp_path / "2.png").symlink_to("/proc/self/mem")
    open_folder(str(tmp_path))
    assert f"{tmp_path}/2.png (cannot be read: Input/output error)" in capsys.readouterr().out
    open_folder(str(tmp_path))
    assert examined == ["1.png", "2.png", "2.png"]


def test_files_beyond_all_measure_are_not_read(tmp_path, capsys):
    draw(tmp_path / "1.png", 1)
    with open(tmp_path / "2.tif", "wb") as file:
        file.truncate(2**30 + 1)  # A hole, which takes no room.
    open_folder(str(tmp_path))
    assert "2.tif (cannot be read: larger than 1 GiB)" in capsys.readouterr().out


@pytest.fixture
def deep(tmp_path):
    """A folder with an image 1200 folders down: deeper than Python functions call themselves."""
    root = tmp_path / "deep"
    draw(root / "1.png", 3)
    here = os.open(root, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.rename(root / "1.png", "1.png", dst_dir_fd=here)
    os.close(here)
    yield root
    subprocess.run(["rm", "-rf", str(root)], check=True)  # shutil.rmtree calls itself.


def test_very_deep_folders(deep):
    assert gray(open_folder(str(deep)), 0) == 3


@pytest.fixture
def samples(tmp_path):
    """A folder as vpt_gen.sample writes it."""
    classes = {"7_0.png": "7", "a_b_0.png": "a b", "a_b_1.png": "a b"}
    values = dict(zip([*classes, "grid.png"], [70, 10, 11, 0], strict=True))
    folder = tmp_path / "samples"
    manifest = sampled.open_manifest(folder, list(values))
    manifest.begin()
    manifest.write({n: grids.as_png(np.full((8, 8, 3), v, np.uint8)) for n, v in values.items()})
    sampled.finish(manifest, classes, {"seed": 3})
    return folder


def test_a_folder_of_samples_has_the_classes_of_its_note(samples, capsys):
    source = open_folder(str(samples))
    assert source.class_names == ("7", "a b")
    assert source.labels.tolist() == [0, 1, 1]
    assert [gray(source, i) for i in range(3)] == [70, 10, 11]
    said = capsys.readouterr().out
    assert "grid.png" not in said and "3 images in 2 classes, 0 left out" in said


def test_figures_and_earlier_images_may_be_in_the_folder_of_samples(samples, capsys):
    draw(samples / grids.STRIP, 5)  # Of vpt_gen.evaluate --output.
    manifest = sampled.open_manifest(samples, ["7_0.png"])
    manifest.begin()
    manifest.write({"7_0.png": grids.as_png(np.full((8, 8, 3), 71, np.uint8))})
    sampled.finish(manifest, {"7_0.png": "7"}, {"seed": 4})
    source = open_folder(str(samples))
    assert (len(source), gray(source, 0)) == (1, 71)
    said = capsys.readouterr().out
    assert "a_b_0.png (of an earlier request)" in said
    assert "1 image in 1 class, 2 left out" in said


def test_samples_that_are_missing_changed_or_not_listed_are_an_error(samples, tmp_path):
    def refused(name, content, message):
        folder = tmp_path / "faulty"
        shutil.copytree(samples, folder)
        (folder / name).unlink(missing_ok=True)
        if content is not None:
            (folder / name).write_bytes(content)
        with pytest.raises(UserError, match=message) as error:
            open_folder(str(folder))
        assert "\n" not in str(error.value)
        shutil.rmtree(folder)

    other = (samples / "7_0.png").read_bytes()
    refused("a_b_1.png", None, r"lacks 1 of the images .* \(such as a_b_1.png\)")
    refused("a_b_1.png", other, r"1 image of .* \(such as a_b_1.png\) changed after samples.json")
    refused("a_b_1.png", other[:50], r"1 image of .* \(such as a_b_1.png\) changed")
    refused("a_b_2.png", other, r"1 image that its samples.json does not list .*a_b_2.png")
    refused(sampled.FILE, b"{", "samples.json is damaged")
    refused(sampled.FILE, b"[]", "samples.json is damaged")
    mark = ".samples.unfinished.json"
    refused(mark, b"", "unfinished.* same command again, or delete .* to read")
    (samples / "000000.tar").touch()  # Of which nothing can be read without the note.
    refused(mark, b"", r"unfinished.* run the same command again\.$")


def test_a_file_of_another_program_with_the_name_of_the_note_is_passed_over(samples, capsys):
    (samples / sampled.FILE).write_text('{"samples": [], "info": {}}')
    assert open_folder(str(samples)).class_names == ("samples",)
    assert "samples.json is of another program" in capsys.readouterr().out


def test_samples_of_an_older_version_are_read_and_said_to_be_unverified(samples, capsys):
    note = json.loads((samples / sampled.FILE).read_text())
    del note["files"]
    (samples / sampled.FILE).write_text(json.dumps(note))
    draw(samples / "a_b_1.png", 12)
    draw(samples / "mine.png", 13)
    source = open_folder(str(samples))
    assert [gray(source, i) for i in range(3)] == [70, 10, 12]
    assert "has no digests: changes of its images" in capsys.readouterr().out
