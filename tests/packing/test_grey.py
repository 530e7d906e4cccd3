"""Packing the source pictures: how each is drawn, which are left out, and hostile archives."""

import gzip
import json
import pickle
import zipfile

import numpy as np
import pytest

from tests.memory import allocating_at_most
from tests.packing.made_archives import bar, png, write_clipart, write_npm
from vpt_gen.errors import UserError
from vpt_gen.packing import grey, grey_rules
from vpt_gen.packing.archives import find_archives
from vpt_gen.packing.packer import Packer


def write_wheel(folder, images, labels):
    """A wheel like animal-mnist's; `images` may be any object, to be hostile."""
    path = folder / "animal_mnist-0.4-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for word, content in (("data", images), ("label", labels)):
            name = f"animal_mnist/data/Animal_MNIST/animal_{word}_version_3.gz"
            archive.writestr(name, gzip.compress(pickle.dumps(content, protocol=4)))
    return path


def write_icons(folder, files):
    files = {f"icons/{name}.png": content for name, content in files.items()}
    return write_npm(folder / "tabler-icons-png-3.48.0.tgz", files)


def test_ink_is_bright_centered_and_fills_its_frame():
    drawn = grey.draw(grey.ink_of(bar((10, 20, 49, 39))))
    assert drawn.shape == (64, 64)
    assert drawn.dtype == np.uint8
    rows, columns = np.nonzero(drawn > 128)
    assert (columns.min(), columns.max()) == (4, 59)
    assert (rows.min(), rows.max()) == (18, 45)
    assert drawn[32, 32] == 0 and drawn[0, 0] == 0 and drawn.max() == 255


def test_transparent_is_paper_and_opaque_white_too():
    on_glass = bar((10, 20, 49, 39))
    on_white = png(
        lambda pen: pen.rectangle((10, 20, 49, 39), outline="black", width=3),
        (100, 100),
        "RGB",
        "white",
    )
    np.testing.assert_array_equal(grey.ink_of(on_glass), grey.ink_of(on_white))


@pytest.mark.parametrize(
    ("picture", "why"),
    [
        (png(lambda pen: None), "blank"),
        (bar((10, 10, 80, 80), ink="white"), "blank"),
        (bar((10, 10, 80, 80), ink=(200, 200, 200)), "faint"),
        (png(lambda pen: pen.rectangle((10, 10, 80, 60), fill="black")), "slab of ink"),
    ],
)
def test_pictures_that_are_no_drawings(picture, why):
    assert grey.draw(grey.ink_of(picture)) == why


@pytest.mark.parametrize(
    "path",
    [
        "outline/number-small",
        "outline/box-multiple-3",
        "filled/circle-letter-q",
        "outline/abc",
        "outline/clock-hour",
        "outline/math-pi",
        "outline/currency-euro",
        "outline/brand-python",
        "outline/file-type",
        "outline/meter-square",
        "outline/s-turn-down",
        "outline/repeat-once",
        "outline/eye-table",
        "filled/zoom-money",
    ],
)
def test_icons_of_writing_are_excluded(path):
    assert grey_rules.why_excluded("icons", path)


@pytest.mark.parametrize(
    "path",
    [
        "logos/anything",
        "recreation/games/cards/white/ace",
        "signs_and_symbols/clocks/round",
        "office/simple_calculator_01",
        "people/Phone_1",
        "signs_and_symbols/flags/route_jakob",
    ],
)
def test_clipart_of_writing_is_excluded(path):
    assert grey_rules.why_excluded("clipart", path)


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("icons", "outline/circle"),
        ("icons", "filled/x"),
        ("icons", "outline/table"),
        ("icons", "outline/brandy"),
        ("clipart", "recreation/music/guitar_01"),
        ("clipart", "people/clothing/signorina"),
        ("clipart", "logosphere/cat"),
        ("animals", "edge/cat/00124"),
    ],
)
def test_shapes_and_words_within_words_stay(source, path):
    assert grey_rules.why_excluded(source, path) is None


@pytest.mark.parametrize(
    ("source", "path", "name"),
    [
        ("animals", "skeleton/zebra/00008", "skeleton/zebra"),
        ("icons", "outline/arrow-up", "icon/arrow"),
        ("icons", "outline/acorn", "icon/outline"),
        ("icons", "filled/arrow-up", "icon/filled"),
        ("clipart", "food/fruit/pear", "clipart/food"),
        ("clipart", "buttons/round", "clipart/misc"),
    ],
)
def test_class_names(source, path, name):
    assert grey_rules.class_of(source, path) == name


def test_near_duplicates_and_long_series_are_dropped(monkeypatch):
    monkeypatch.setattr(grey_rules, "CLIPART_CAPS", {"shapes/stars": 1})
    packer = Packer(grey.draw, grey_rules)
    packer.add("clipart", "shapes/stars/wide", bar((10, 20, 89, 39)))
    packer.add("clipart", "food/same_but_grey", bar((10, 20, 89, 39), ink=(20, 20, 20)))
    packer.add("clipart", "shapes/stars/tall", bar((20, 10, 39, 89)))
    packer.add("clipart", "food/tall", bar((20, 10, 39, 89)))
    assert [path for _, path, _ in packer.kept] == ["shapes/stars/wide", "food/tall"]
    assert packer.dropped == {"clipart: near duplicate": 1, "clipart: series beyond its cap": 1}


def test_broken_and_huge_files_are_counted_and_broken_ones_named():
    packer = Packer(grey.draw, grey_rules)
    whole = bar((10, 20, 49, 39))
    huge = whole[:16] + (100_000).to_bytes(4) * 2 + whole[24:]
    for path, picture in {"cut": whole[:90], "text": b"no picture", "huge": huge}.items():
        packer.add("clipart", f"food/{path}", picture)
    assert packer.broken == ["clipart/food/cut", "clipart/food/text"]
    assert packer.dropped == {"clipart: broken file": 2, "clipart: too many pixels": 1}


def test_archives_to_npz(tmp_path):
    silhouettes = np.zeros((3, 28, 28), np.uint8)
    silhouettes[:, 4:24, 8:12] = silhouettes[:, 8:12, 4:20] = 255  # a cross
    write_wheel(tmp_path, silhouettes, np.array([0, 0, 9]))
    write_icons(tmp_path, {"outline/fish": bar((5, 5, 90, 70)), "outline/box-2": bar((1, 1, 9, 9))})
    write_clipart(tmp_path, {"food/fruit/pear": bar((30, 5, 70, 90))})
    archives = find_archives(str(tmp_path), "grey", grey.ARCHIVES)
    packer = grey.pack(archives)
    packer.save(archives, str(tmp_path / "out.npz"), ("numpy", "scikit-image"))

    with np.load(tmp_path / "out.npz") as packed:
        assert packed["images"].shape == (5, 64, 64)
        assert packed["images"].dtype == np.uint8
        assert packed["labels"].dtype == np.int32
        names = packed["class_names"][packed["labels"]]
        drawn = ["filled/bear", "edge/bear", "skeleton/zebra"]
        assert list(names) == [*drawn, "icon/outline", "clipart/food"]
        assert list(packed["sources"]) == ["animals"] * 3 + ["icons", "clipart"]
        assert packed["paths"][4] == "food/fruit/pear"
        record = json.loads(str(packed["record"]))
    assert record["kept"] == {"animals": 3, "icons": 1, "clipart": 1}
    assert record["dropped"] == {"icons: digit in the icon's name": 1}
    assert len(record["archives"]["icons"]["sha256"]) == 64


class Hostile:
    """Unpickles by calling a function of its choice."""

    def __reduce__(self):
        return print, ("the pickle ran code",)


@pytest.mark.parametrize("images", [Hostile(), np.array([Hostile()], dtype=object)])
def test_hostile_pickle_is_refused(tmp_path, capsys, images):
    wheel = write_wheel(tmp_path, images, np.array([0]))
    with pytest.raises(UserError, match=r"builtins\.print"):
        grey.pack({"animals": wheel})
    assert "ran code" not in capsys.readouterr().out


class Call:
    """Unpickles by calling a function, and by changing what it gives."""

    def __init__(self, function, arguments, state=None):
        self.call = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.call


RECONSTRUCT = np.empty(0).__reduce__()[0]


@pytest.mark.parametrize(
    "images",
    [
        Call(np.ndarray, ((2**40,),)),
        Call(RECONSTRUCT, (np.ndarray, (2**36,), b"b"), (1, (2**36,), np.dtype("u1"), False, b"")),
        Call(np.dtype, ([("a", "u1")] * 9,)),
        Call(RECONSTRUCT, (np.ndarray, (0,), b"b"), (1, (2**20,), np.dtype("u1"), False, b"")),
    ],
)
def test_an_array_takes_no_more_memory_than_its_numbers(tmp_path, images):
    wheel = write_wheel(tmp_path, images, np.array([0]))
    with allocating_at_most(2**23), pytest.raises(UserError):
        grey.pack({"animals": wheel})


def test_missing_archive_is_named_with_the_cure(tmp_path):
    with pytest.raises(UserError, match=r"animal_mnist-\*\.whl; run `bash launch/fetch\.sh grey"):
        find_archives(str(tmp_path), "grey", grey.ARCHIVES)


@pytest.mark.parametrize("source", ["animals", "icons", "clipart"])
@pytest.mark.parametrize("content", [b"", b"an error page, not an archive" * 9])
def test_damaged_archive_is_named_with_the_cure(tmp_path, source, content):
    path = tmp_path / "archive"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"archive is damaged .*; delete it and run"):
        grey.pack({source: path})
