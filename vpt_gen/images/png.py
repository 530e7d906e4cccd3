"""Chunks of PNG files: the color space they state, and a copy without damaged metadata."""

import struct
import zlib
from collections.abc import Iterator

from vpt_gen.images.color_spaces import SRGB_PRIMARIES, ColorSpace, of_cicp

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Chunks that decide how the pixels look -> their length, if it is fixed.
_NEEDED = {
    b"IHDR": 13, b"PLTE": None, b"IDAT": None, b"IEND": 0, b"tRNS": None, b"cICP": 4,
    b"iCCP": None, b"sRGB": 1, b"gAMA": 4, b"cHRM": 32, b"eXIf": None,
}  # fmt: skip
# Texts that may hold the orientation, and how long they may be for it.
_ORIENTATION = (b"XML:com.adobe.xmp\0", b"Raw profile type exif\0")
_SHORT = 2**16
# Differences that libpng does not count: of gamma, relative to 1/2.2, and of primaries.
_SAME_GAMMA, _SAME_PRIMARIES = 0.05, 0.01


def without_metadata(data: bytes) -> bytes:
    """Returns a copy with only what decides how the pixels look.

    Metadata with a wrong checksum or length is left out, as libpng does; chunks without which there
    is no image stay as they are.
    """
    return SIGNATURE + b"".join(
        chunk
        for kind, chunk in _chunks(data)
        if kind[:1].isupper() or (_is_needed(kind, chunk[8:-4]) and _is_whole(chunk))
    )


def stated_space(data: bytes, info: dict) -> ColorSpace | None:
    """Returns the color space of a PNG by its numbers; None if a profile or nothing states one.

    Args:
      data: the file.
      info: what Pillow has read of it.

    Raises:
      ValueError: see `of_cicp`.
    """
    for kind, chunk in _chunks(data):
        if kind == b"cICP" and len(chunk) == 16:  # Comes before a profile.
            return of_cicp(chunk[8], chunk[9])
        if kind == b"IDAT":
            break
    if info.get("icc_profile") or "srgb" in info:
        return None
    gamma, primaries = info.get("gamma", 0), info.get("chromaticity", SRGB_PRIMARIES)
    plain = not 0.1 < gamma < 10 or abs(gamma * 2.2 - 1) <= _SAME_GAMMA
    offsets = [abs(a - b) for a, b in zip(primaries, SRGB_PRIMARIES, strict=True)]
    same = max(offsets) <= _SAME_PRIMARIES
    return ColorSpace(SRGB_PRIMARIES if same else primaries, 0.0 if plain else 1 / gamma)


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Yields the kind of each chunk, and the whole chunk; the last one may be cut off."""
    view, start = memoryview(data), len(SIGNATURE)
    while start < len(view):
        end = start + 12 + int.from_bytes(view[start : start + 4], "big")
        yield data[start + 4 : start + 8], view[start:end]
        start = end


def _is_needed(kind: bytes, content: memoryview) -> bool:
    if kind in (b"tEXt", b"zTXt", b"iTXt"):
        return len(content) < _SHORT and bytes(content).startswith(_ORIENTATION)
    return kind in _NEEDED and _NEEDED[kind] in (None, len(content))


def _is_whole(chunk: memoryview) -> bool:
    return chunk[-4:] == struct.pack(">I", zlib.crc32(chunk[4:-4]))
