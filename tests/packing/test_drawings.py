"""The drawings of the photos source: what stays, under which class, and how it is drawn."""

import numpy as np
import pytest

from tests.packing.made_archives import bar, png, write_clipart, write_emoji
from vpt_gen.errors import UserError
from vpt_gen.packing import drawing_rules, drawings
from vpt_gen.packing.archives import find_archives


def test_a_picture_is_cropped_and_centered_on_white():
    drawn = drawings.draw(png(lambda pen: pen.rectangle((10, 20, 69, 49), fill=(255, 0, 0))))
    assert drawn.shape == (64, 64, 3) and drawn.dtype == np.uint8
    rows, columns = np.nonzero((drawn == (255, 0, 0)).all(axis=-1))
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (2, 61, 17, 46)
    assert (drawn[0] == 255).all() and (drawn[:, 0] == 255).all()


@pytest.mark.parametrize("ink", ["white", (250, 250, 250)])
def test_what_is_white_on_white_is_blank(ink):
    assert drawings.draw(bar((10, 10, 80, 80), ink=ink)) == "blank"


@pytest.mark.parametrize(
    ("source", "path", "kept"),
    [
        ("emoji", "Flags/country-flag/flag-it", False),
        ("emoji", "Component/skin-tone/skin-tone-2", False),
        ("emoji", "People & Body/person-role/male-cook", False),
        ("emoji", "People & Body/person-role/cook", True),
        ("emoji", "Objects/clothing/mans_shoe", True),
        ("clipart", "buildings/homes/home0", False),
        ("clipart", "buildings/homes/home0_other", True),
        ("clipart", "signs_and_symbols/flags/italy", True),
    ],
)
def test_what_stays(source, path, kept):
    assert (drawing_rules.why_excluded(source, path) is None) == kept


@pytest.mark.parametrize(
    ("source", "path", "name"),
    [
        ("clipart", "food/fruit/pear", "clipart/food_fruit"),
        ("clipart", "food/pizza", "clipart/food"),
        ("clipart", "science/atom", "clipart/misc"),
        ("emoji", "Travel & Places/transport-sign/atm", "emoji/symbols"),
        ("emoji", "Travel & Places/transport-air/helicopter", "emoji/vehicles"),
        ("emoji", "Food & Drink/drink/tea", "emoji/food"),
    ],
)
def test_class_names(source, path, name):
    assert drawing_rules.class_of(source, path) == name


def test_the_same_shape_in_another_color_is_another_picture(tmp_path):
    wide, tall = (10, 20, 89, 39), (20, 10, 39, 89)
    colors = {"red": (255, 0, 0), "red_too": (250, 0, 0), "blue": (0, 0, 255)}
    hearts = [("Smileys & Emotion", "heart", n, bar(wide, c)) for n, c in colors.items()]
    write_emoji(tmp_path, hearts)
    write_clipart(tmp_path, {"food/fruit/pear": bar(tall), "food/cut": bar(tall)[:90]})
    packer = drawings.pack(find_archives(str(tmp_path), "photos", drawings.ARCHIVES))
    kept = [(source, path.rsplit("/", 1)[-1]) for source, path, _ in packer.kept]
    assert kept == [("emoji", "red"), ("emoji", "blue"), ("clipart", "pear")]
    assert {image.shape for *_, image in packer.kept} == {(64, 64, 3)}
    assert packer.broken == ["clipart/food/cut"]
    assert packer.dropped == {"emoji: near duplicate": 1, "clipart: broken file": 1}


def test_nothing_usable_is_said(tmp_path):
    write_emoji(tmp_path, [])
    write_clipart(tmp_path, {"food/white": bar((1, 1, 9, 9), "white")})
    archives = find_archives(str(tmp_path), "photos", drawings.ARCHIVES)
    with pytest.raises(UserError, match="holds no usable picture"):
        drawings.pack(archives)
