"""Boxes of AVIF and JPEG 2000 files: the color spaces that Pillow does not tell."""

from collections.abc import Iterator

from vpt_gen.images.color_spaces import ColorSpace, of_cicp

_FULL = 4  # bytes of version and flags


def avif_space(data: bytes) -> ColorSpace | None:
    """Returns the color space that an AVIF states by numbers for its main image, or None.

    Raises:
      ValueError: see `of_cicp`.
    """
    meta = _first(memoryview(data), b"meta")[_FULL:]
    item = _first(meta, b"pitm")
    main = int.from_bytes(item[_FULL:], "big")
    properties = _first(meta, b"iprp")
    kinds = list(_boxes(_first(properties, b"ipco")))
    for number in _properties_of(_first(properties, b"ipma"), main):
        kind, content = kinds[number - 1] if 0 < number <= len(kinds) else (b"", memoryview(b""))
        if kind == b"colr" and content[:4] == b"nclx" and len(content) >= 10:
            primaries, transfer = (int.from_bytes(content[i : i + 2], "big") for i in (4, 6))
            return of_cicp(primaries, transfer)
    return None


def jp2_profile(data: bytes) -> bytes | None:
    """Returns the ICC profile in a JPEG 2000 file, or None."""
    for kind, content in _boxes(_first(memoryview(data), b"jp2h")):
        if kind == b"colr" and content[:1] in (b"\x02", b"\x03"):
            return bytes(content[3:])
    return None


def _properties_of(table: memoryview, item: int) -> list[int]:
    """Returns the numbers of an item's properties, from 1, by a box `ipma`."""
    if len(table) < 8:
        return []
    id_bytes, number_bytes = (4 if table[0] else 2), (2 if table[3] & 1 else 1)
    mask, at = (0x7FFF if number_bytes == 2 else 0x7F), 8
    while at + id_bytes < len(table):
        found = int.from_bytes(table[at : at + id_bytes], "big")
        at += id_bytes + 1
        end = at + table[at - 1] * number_bytes
        if found == item:
            numbers = range(at, end, number_bytes)
            return [int.from_bytes(table[i : i + number_bytes], "big") & mask for i in numbers]
        at = end
    return []


def _first(data: memoryview, kind: bytes) -> memoryview:
    return next((content for found, content in _boxes(data) if found == kind), memoryview(b""))


def _boxes(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Yields kind and content of each box; ends at one that is not possible."""
    start = 0
    while start + 8 <= len(data):
        size, head = int.from_bytes(data[start : start + 4], "big"), 8
        if size == 1:
            size, head = int.from_bytes(data[start + 8 : start + 16], "big"), 16
        end = start + size if size else len(data)
        if end < start + head:
            return
        yield bytes(data[start + 4 : start + 8]), data[start + head : end]
        start = end
