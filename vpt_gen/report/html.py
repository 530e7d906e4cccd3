"""HTML as a tree, in which names of classes and folders are always text; and the whole page.

The page uses no network: its content policy forbids it.
"""

import base64
import importlib.resources
import io
import re
import unicodedata
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

from vpt_gen.images.codec import to_uint8

Node = ET.Element

# Larger images are shrunk: a page of several hundred images must stay small.
MAX_SIDE = 160
# The beginning of every page.
DOCTYPE = b"<!doctype html>"
# Up to this side an image is stored exactly, and a browser magnifies it without smoothing.
_EXACT_SIDE = 64
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def h(tag: str, *children: Node | str | float | None, **attributes: str | float) -> Node:
    """Makes an element.

    Args:
      tag: its name, and its classes after dots: "p.note".
      *children: elements and text, in order; None is left out.
      **attributes: an underscore stands for a dash.
    """
    name, *classes = tag.split(".")
    node = Node(name, {"class": " ".join(classes)} if classes else {})
    for key, value in attributes.items():
        node.set(key.replace("_", "-"), _text(value))
    for child in children:
        if isinstance(child, Node):
            node.append(child)
        elif child is not None and len(node):
            node[-1].tail = (node[-1].tail or "") + _text(child)
        elif child is not None:
            node.text = (node.text or "") + _text(child)
    return node


def _text(value: str | float) -> str:
    """Removes what HTML cannot hold from text: control characters and lone surrogates."""
    return "".join(
        "\ufffd" if unicodedata.category(x) in ("Cc", "Cs") and x not in "\n\t" else x
        for x in str(value)
    )


def table(head: Sequence[Node | str], rows: Iterable[Sequence[Node | str]]) -> Node:
    """Makes a table that scrolls if it is wider than the page; its first column is a header."""
    body = [h("tr", h("th", row[0], scope="row"), *(h("td", x) for x in row[1:])) for row in rows]
    columns = h("tr", *(h("th", x, scope="col") for x in head))
    # tabindex allows scrolling with the keyboard.
    return h("div.wide", h("table", h("thead", columns), h("tbody", *body)), tabindex=0)


def command(text: str) -> Node:
    """Makes a command to copy; if it is wider than the page, it is broken before a flag."""
    parts = re.split(r"(?= --)", text)
    return h("pre", *(h("span", part) for part in parts))


def fold(summary: Node | str, *children: Node | str) -> Node:
    """Makes content that is unfolded on request."""
    return h("details", h("summary", summary), *children)


def section(anchor: str, title: str, *children: Node | str | None) -> Node:
    """Makes a section of the page; the page's menu links to `anchor`."""
    return h("section", h("h2", title), *children, id=anchor)


def picture(image: np.ndarray, alt: str) -> Node:
    """An image (H, W, 3), or (H, W, 4) with transparency, in [0, 1] -> an element holding it."""
    data = Image.fromarray(to_uint8(image))
    longest = max(data.size)
    if longest > MAX_SIDE:
        data = data.resize(
            [max(1, round(side * MAX_SIDE / longest)) for side in data.size],
            Image.Resampling.LANCZOS,
        )
    exact = longest <= _EXACT_SIDE
    kind = "png" if exact else "webp"
    buffer = io.BytesIO()
    data.save(buffer, format=kind, **({"optimize": True} if exact else {"quality": 85}))
    source = f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
    width, height = data.size
    tag = "img.pixels" if exact else "img"
    return h(tag, src=source, alt=alt, title=alt, width=width, height=height)


def strip(label: str, cells: Sequence[Node], columns: int = 0) -> Node:
    """Puts cells in one line after a label; strips with equally many columns are aligned."""
    style = f"--columns:{columns or len(cells)}"
    return h("div.strip", h("span", label), h("div.cells", *cells, style=style))


def page(title: str, lead: Sequence[Node], sections: Sequence[Node]) -> str:
    """Makes the whole document.

    Args:
      title: of the page.
      lead: text under the title.
      sections: made by `section`; the menu lists them.
    """
    style = importlib.resources.files(__package__).joinpath("style.css").read_text("utf-8")
    links = [h("a", part.findtext("h2"), href=f"#{part.get('id')}") for part in sections]
    head = h(
        "head",
        h("meta", charset="utf-8"),
        h("meta", **{"http-equiv": "Content-Security-Policy", "content": _POLICY}),
        h("meta", name="viewport", content="width=device-width, initial-scale=1"),
        h("meta", name="generator", content="vpt_gen"),
        h("meta", name="color-scheme", content="light dark"),
        h("link", rel="icon", href="data:,"),
        h("title", title),
        h("style", style),
    )
    body = h("body", h("header", h("h1", title), *lead), h("nav", *links), h("main", *sections))
    document = h("html", head, body, lang="en")
    return f"{DOCTYPE.decode()}\n" + ET.tostring(document, encoding="unicode", method="html")
