"""What a page says, as a browser reads it."""

import html.parser
import re

VOID = {"meta", "link", "img", "br", "hr", "input", "col"}


class Reader(html.parser.HTMLParser):
    """Elements, attributes and text of a page; every element must be closed where it was opened."""

    def __init__(self, page: str):
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open and self._open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data):
        self.text.append(data)

    @property
    def addresses(self) -> list[str]:
        """All that the page points to, also from its style."""
        named = [
            value
            for _, attributes in self.elements
            for key, value in attributes.items()
            if key in ("src", "href", "srcset", "action", "data", "poster")
        ]
        return named + re.findall(r"url\(([^)]*)\)|@import\s*(\S+)", " ".join(self.text))


def read(page: str) -> Reader:
    """Reads a whole page, and checks that it needs nothing but itself."""
    assert page.startswith("<!doctype html>")
    reader = Reader(page)
    outside = [a for a in reader.addresses if not str(a).startswith(("data:", "#"))]
    assert not outside, outside
    assert not any(tag in ("script", "iframe", "object", "embed") for tag, _ in reader.elements)
    assert not any(key.startswith("on") for _, a in reader.elements for key in a)
    return reader
