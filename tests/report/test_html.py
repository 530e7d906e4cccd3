"""A page is well formed whatever it is about, holds its pictures, and points nowhere."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from tests.report.pages import read
from vpt_gen.errors import UserError
from vpt_gen.machine import files
from vpt_gen.report.html import (
    DOCTYPE,
    MAX_SIDE,
    fold,
    h,
    page,
    picture,
    section,
    strip,
    table,
)

NASTY = "<b>&\"'</b>\x00\udce9"


def test_text_stays_text_wherever_it_stands():
    block = section(
        "one",
        NASTY,
        table([NASTY], [[NASTY, h("code", NASTY)]]),
        fold(NASTY, h("p", "before ", h("i", "in"), " behind", NASTY)),
        strip(NASTY, [picture(np.zeros((2, 2, 3)), NASTY)]),
    )
    reader = read(page(NASTY, [h("p", NASTY)], [block]))
    shown = "<b>&\"'</b>\ufffd\ufffd"
    assert "b" not in {tag for tag, _ in reader.elements}
    assert reader.text.count(shown) >= 7
    assert "before " in reader.text and f" behind{shown}" in reader.text
    assert [a["alt"] for tag, a in reader.elements if tag == "img"] == [shown]


def test_the_menu_leads_to_every_section():
    reader = read(page("t", [], [section("a", "First"), section("b", "Second")]))
    ids = {a["id"] for tag, a in reader.elements if tag == "section"}
    assert ids == {a["href"][1:] for tag, a in reader.elements if tag == "a"} == {"a", "b"}


def decode(node):
    data = node.get("src").split("base64,")[1]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


@pytest.mark.parametrize("channels", [3, 4])
def test_a_small_picture_is_kept_to_the_bit(channels):
    image = np.random.default_rng(0).integers(0, 256, (32, 16, channels), np.uint8)
    node = picture(image / 255.0, "x")
    np.testing.assert_array_equal(decode(node), image)
    assert "pixels" in node.get("class")
    assert (node.get("width"), node.get("height")) == ("16", "32")


def test_a_large_picture_is_shrunk():
    smooth = np.linspace(0, 1, 512)[:, None, None] * np.ones((1, 256, 3))
    node = picture(smooth, "x")
    assert decode(node).shape == (MAX_SIDE, MAX_SIDE // 2, 3)
    assert node.get("class") is None
    assert abs(decode(node)[::8] / 255.0 - smooth[1::26][:20, :80]).max() < 0.1


def test_a_page_is_known_as_ours_and_notes_about_us_are_not(tmp_path):
    path = tmp_path / "report.html"
    path.write_text(page("Title", [], []))
    files.check_output(path, "--output", DOCTYPE)
    path.write_text("# Notes about vpt_gen")
    with pytest.raises(UserError, match="report.html is not replaced"):
        files.check_output(path, "--output", DOCTYPE)
