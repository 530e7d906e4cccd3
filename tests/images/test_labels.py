"""Labels of pictures in any script, with the fonts of this machine or without any."""

import pathlib

import numpy as np
import pytest
from PIL import ImageFont

from vpt_gen.images import grids, labels


@pytest.fixture(autouse=True)
def no_fonts(monkeypatch):
    monkeypatch.setattr(labels, "_system_fonts", tuple)


@pytest.mark.parametrize(
    ("name", "drawn"),
    [("cat 1", "cat 1"), ("Müller", "Muller"), ("Mu\u0308ller", "Muller"), ("жук", "???")],
)
def test_without_fonts_letters_lose_their_accents(name, drawn):
    assert labels.drawable(name, labels.font_for(name)) == drawn


def test_a_font_of_the_machine_that_has_all_characters_is_taken(monkeypatch):
    matplotlib = pytest.importorskip("matplotlib")
    folder = pathlib.Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    dejavu = ImageFont.truetype(str(folder / "DejaVuSans.ttf"), labels.SIZE)
    monkeypatch.setattr(labels, "_system_fonts", lambda: (dejavu,))
    assert labels.drawable("Müller жук", labels.font_for("Müller жук")) == "Müller жук"
    assert labels.font_for("Muller") is not dejavu
    # Not this one: the default then draws what it can.
    assert labels.drawable("ü 猫", labels.font_for("ü 猫")) == "u ?"


def test_rows_of_other_scripts_are_told_apart():
    rows = [np.zeros((1, 8, 8, 3))]
    plain, accented = (grids.labeled_rows({name: rows[0]}) for name in ("u", "ü"))
    np.testing.assert_array_equal(plain, accented)
