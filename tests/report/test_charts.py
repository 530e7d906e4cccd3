"""Charts show what they are given, in its place."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from vpt_gen.report.charts import (
    Series,
    chart,
    class_color,
    number,
    ticks,
)


def markers(figure):
    return [(float(c.get("cx")), float(c.get("cy")), c[0].text) for c in figure.iter("circle")]


def test_points_lie_in_order_and_tell_their_values():
    figure = chart([Series("loss", [0, 10, 20], [3.0, 1.0, 2.0])], "Loss", "update")
    (x0, y0, tip), (x1, y1, _), (x2, y2, _) = markers(figure)
    assert x1 - x0 == pytest.approx(x2 - x1)
    assert y0 < y2 < y1  # Downwards on the screen.
    assert tip == "loss: 3 at 0"
    assert len(figure.find(".//polyline").get("points").split()) == 3


def test_a_legend_is_for_several_series():
    one = Series("a", [0, 1], [0, 1])
    assert chart([one], "t").find("p") is None
    legend = chart([one, Series("b", [0, 1], [1, 0])], "t").find("p")
    assert ["".join(span.itertext()).strip() for span in legend] == ["a", "b"]


def test_long_lines_keep_all_points_and_few_markers():
    values = list(range(1000))
    figure = chart([Series("", values, values)], "t")
    assert len(figure.find(".//polyline").get("points").split()) == 1000
    assert len(markers(figure)) == 40


@pytest.mark.parametrize("y", [[1.0], [0.0, 0.0], [float("nan"), 2.0], []])
def test_odd_values_make_a_chart(y):
    figure = chart([Series("a", list(range(len(y))), y)], "t", y_shown=(0, 1))
    assert len(markers(figure)) == sum(np.isfinite(y))
    assert all(0 <= place <= 400 for c in markers(figure) for place in c[:2])
    assert "nan" not in ET.tostring(figure, encoding="unicode")


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (3, 97, [20, 40, 60, 80]), (1.9, 2.1, None)],
)
def test_ticks_are_few_and_round(low, high, expected):
    found = ticks(low, high)
    assert 2 <= len(found) <= 6 and all(low <= t <= high for t in found)
    if expected:
        assert found == expected


def test_notes_do_not_lie_on_each_other():
    close = Series("", [0, 0.1, 0.2], [0, 0.02, 0.04], notes=["first", "second", "third"])
    figure = chart([close, Series("", [1], [1])], "t", axes=False)
    boxes = [(float(t.get("x")), float(t.get("y")), 7 * len(t.text)) for t in figure.iter("text")]
    for i, (x, y, width) in enumerate(boxes):
        for other_x, other_y, other_width in boxes[:i]:
            apart = x >= other_x + other_width or other_x >= x + width
            assert apart or abs(y - other_y) >= 10


def test_figures_are_short():
    assert [number(v) for v in (3, 0.12345, 1234567.8, 12.0, -2.5)] == [
        "3", "0.1235", "1,234,568", "12", "-2.5"
    ]  # fmt: skip
    assert number(float("nan")) == "nan"
    assert len({class_color(c, 10) for c in range(10)}) == 10
