"""Charts as inline SVG: they use the page's colors, light or dark, and need no script.

Every point shows its values as a tooltip; sections also put the values into tables.
"""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence

from vpt_gen.report.html import Node, h

# Drawn at about this size, so that text keeps its size.
_WIDTH, _HEIGHT = 380, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 14, 14, 42
_MAX_MARKERS = 40
_GAP = 6


@dataclasses.dataclass(frozen=True)
class Series:
    """A line, or a cloud of points.

    Attributes:
      name: in the legend; '' leaves it out.
      x, y: equally many values.
      color: of CSS.
      shape: number of the marker, see `_marker`.
      line: whether the points are joined, in their order.
      labels: tooltip of each point; by default its name and values.
      notes: text next to each point, or nothing.
      size: of a marker, from its middle to its edge.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    color: str = "var(--first)"
    shape: int = 0
    line: bool = True
    labels: Sequence[str] = ()
    notes: Sequence[str] = ()
    size: float = 3.5


def class_color(number: int, count: int) -> str:
    """Returns a color for one of `count` classes, readable on white and on black."""
    return f"oklch(0.64 0.17 {360 * number / max(count, 1):.0f})"


def number(value: float) -> str:
    """Formats a figure with four significant digits and separated thousands."""
    if value != value or math.isinf(value):
        return str(value)
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{value:,.0f}"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def chart(
    series: Sequence[Series],
    title: str,
    x_label: str = "",
    y_label: str = "",
    x_ticks: Mapping[float, str] | None = None,
    y_shown: Sequence[float] = (),
    axes: bool = True,
) -> Node:
    """Draws a chart with its axes and a legend.

    Args:
      series: what to draw, the first underneath.
      title: above the chart, and for screen readers.
      x_label: of the axis.
      y_label: of the axis, horizontal above it.
      x_ticks: position -> text, if they are not plain numbers.
      y_shown: values that must be visible, such as the ends of a scale.
      axes: False if positions have no meaning, as in a t-SNE.
    """
    xs, ys = ([v for one in series for v in getattr(one, axis)] for axis in "xy")
    frame = _Frame(_room(xs), _room([*ys, *y_shown]))
    svg = h(
        "svg",
        h("title", title),
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
        **{"class": "chart"},
    )
    if axes:
        svg.extend(_axes(frame, x_ticks, x_label))
    for one in series:
        svg.extend(_drawn(one, frame))
    svg.extend(_notes(series, frame))
    named = [one for one in series if one.name]
    return h(
        "figure.chart",
        h("figcaption", h("b", title), h("span.axis", y_label and f"↑ {y_label}")),
        svg,
        h("p.legend", *map(_legend, named)) if len(named) > 1 else None,
    )


@dataclasses.dataclass(frozen=True)
class _Frame:
    """Maps values to positions in the drawing."""

    x: tuple[float, float]
    y: tuple[float, float]

    def at(self, x: float, y: float) -> tuple[float, float]:
        right = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        across, down = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
        return _LEFT + right * across, _TOP + (1 - up) * down


def _room(values: Sequence[float]) -> tuple[float, float]:
    """Returns an interval around finite values, with a margin."""
    finite = [v for v in values if math.isfinite(v)] or [0.0]
    low, high = min(finite), max(finite)
    air = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    return low - air, high + air


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Returns about `count` round numbers in an interval."""
    step = 10.0 ** math.floor(math.log10((high - low) / count))
    step *= next((m for m in (1, 2, 5) if (high - low) / (step * m) <= count), 10)
    first = math.ceil(low / step)
    return [round(i * step, 12) for i in range(first, math.floor(high / step) + 1)]


def _axes(frame: _Frame, x_ticks: Mapping[float, str] | None, x_label: str) -> list[Node]:
    nodes = []
    for value in ticks(*frame.y):
        x, y = frame.at(frame.x[0], value)
        nodes.append(_line("grid", x, y, _WIDTH - _RIGHT, y))
        nodes.append(_words(x - _GAP, y + 4, number(value), "end"))
    for value, text in (x_ticks or {v: number(v) for v in ticks(*frame.x)}).items():
        x, y = frame.at(value, frame.y[0])
        nodes.append(_line("tick", x, y, x, y + 4))
        nodes.append(_words(x, y + 17, text, "middle"))
    x, y = frame.at(frame.x[0], frame.y[0])
    nodes.append(_line("axis", x, y, _WIDTH - _RIGHT, y))
    nodes.append(_words(_WIDTH - _RIGHT, _HEIGHT - 6, f"{x_label} →", "end"))
    return nodes


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> Node:
    places = {"x1": x1, "y1": y1, "x2": x2, "y2": y2}
    return h(f"line.{kind}", **{name: f"{value:.1f}" for name, value in places.items()})


def _words(x: float, y: float, text: str, anchor: str) -> Node:
    return h("text", text, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor)


def _drawn(one: Series, frame: _Frame) -> list[Node]:
    # Values that were not measured are nan.
    finite = [i for i, y in enumerate(one.y) if math.isfinite(y)]
    places = [frame.at(one.x[i], one.y[i]) for i in finite]
    nodes = []
    if one.line and len(places) > 1:
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        nodes.append(h("polyline", points=points, style=f"stroke:{one.color}"))
    # A long line needs no marker at every point.
    every = -(-len(places) // _MAX_MARKERS) if one.line else 1
    for (x, y), i in list(zip(places, finite, strict=True))[:: max(every, 1)]:
        nodes.append(_marker(x, y, one, one.labels[i] if one.labels else _tip(one, i)))
    return nodes


def _notes(series: Sequence[Series], frame: _Frame) -> list[Node]:
    """Draws the notes, each at the side of its point with the least overlap."""
    covered = [box for one in series for box in _covered(one, frame)]
    notes = [note for one in series for note in zip(one.notes, one.x, one.y, strict=False)]
    placed: list[_Box] = []

    def in_the_way(box: _Box) -> float:
        # Text over text is unreadable; text over a line is readable.
        return sum(_overlap(box, x) for x in covered) + 5 * sum(_overlap(box, x) for x in placed)

    for note, x, y in notes:
        placed.append(min(_beside(*frame.at(x, y), 7 * len(note)), key=in_the_way))
    return [
        _words(box[0], box[3] - 2, note, "start")
        for box, (note, _, _) in zip(placed, notes, strict=True)
    ]


_Box = tuple[float, float, float, float]


def _covered(one: Series, frame: _Frame) -> list[_Box]:
    """Returns the boxes that a series covers: its markers, and its line in short pieces."""
    points = [frame.at(x, y) for x, y in zip(one.x, one.y, strict=True)]
    boxes = [(x - 4, y - 4, x + 4, y + 4) for x, y in points]
    for (x, y), (next_x, next_y) in itertools.pairwise(points if one.notes and one.line else []):
        pieces = math.ceil(math.hypot(next_x - x, next_y - y) / 4)
        for i in range(1, pieces):
            at_x, at_y = x + (next_x - x) * i / pieces, y + (next_y - y) * i / pieces
            boxes.append((at_x - 2, at_y - 2, at_x + 2, at_y + 2))
    return boxes


def _beside(x: float, y: float, width: float) -> list[_Box]:
    """Returns boxes for text of this width around a point, inside of the drawing."""
    starts = [x + 8, x - 8 - width, x - width / 2]
    boxes = [
        (left, y - 6 + down, left + width, y + 8 + down) for down in (0, -14, 14) for left in starts
    ]
    floor = _HEIGHT - _BOTTOM
    inside = [b for b in boxes if b[0] >= _LEFT and b[2] <= _WIDTH and b[1] >= 0 and b[3] <= floor]
    return inside or boxes


def _overlap(a: _Box, b: _Box) -> float:
    across, down = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(across, 0) * max(down, 0)


def _tip(one: Series, i: int) -> str:
    name = f"{one.name}: " if one.name else ""
    return f"{name}{number(one.y[i])} at {number(one.x[i])}"


def _marker(x: float, y: float, one: Series, tip: str = "") -> Node:
    """Draws a circle, square, triangle or diamond, so that series differ not only by color."""
    r = one.size
    shapes: dict[int, list[tuple[float, float]]] = {
        1: [(-1, -1), (1, -1), (1, 1), (-1, 1)],
        2: [(0, -1.3), (1.2, 1), (-1.2, 1)],
        3: [(0, -1.4), (1.4, 0), (0, 1.4), (-1.4, 0)],
    }
    corners = shapes.get(one.shape % 4)
    name = h("title", tip) if tip else None
    style = f"fill:{one.color}"
    if corners is None:
        return h("circle", name, cx=f"{x:.1f}", cy=f"{y:.1f}", r=f"{r:g}", style=style)
    points = " ".join(f"{x + r * a:.1f},{y + r * b:.1f}" for a, b in corners)
    return h("polygon", name, points=points, style=style)


def _legend(one: Series) -> Node:
    sign = h(
        "svg",
        _line("key", 1, 7, 21, 7) if one.line else None,
        _marker(11, 7, dataclasses.replace(one, size=4)),
        viewBox="0 0 22 14",
        width=22,
        height=14,
        aria_hidden="true",
    )
    if one.line:
        sign[0].set("style", f"stroke:{one.color}")
    return h("span", sign, one.name)
