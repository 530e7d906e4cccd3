"""Fonts for labels in pictures: class names may be of any script."""

import functools
import unicodedata

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
SIZE = 14
# Those of Linux, Windows and macOS, which hold more scripts from one to the next.
_SYSTEM = ("DejaVuSans.ttf", "Arial.ttf", "Arial Unicode.ttf", "NotoSansCJK-Regular.ttc")
# No font has this character: it is drawn as the sign for a missing one.
_NOWHERE = "\uffff"


def font_for(text: str) -> Font:
    """Returns a font that has all characters of a text, else Pillow's own, which has ASCII."""
    for font in (_own_font(), *(() if text.isascii() else _system_fonts())):
        if all(_has(font, character) for character in set(text)):
            return font
    return _own_font()


def drawable(text: str, font: Font) -> str:
    """Returns a text without what a font lacks: letters lose their accents, others become `?`."""
    return "".join(_nearest(character, font) for character in unicodedata.normalize("NFC", text))


def _nearest(character: str, font: Font) -> str:
    if _has(font, character):
        return character
    letter = unicodedata.normalize("NFKD", character)[0]
    return letter if letter != character and _has(font, letter) else "?"


# Pictures of many classes ask for the same letters again and again.
@functools.lru_cache(10_000)
def _has(font: Font, character: str) -> bool:
    return bytes(font.getmask(character)) != bytes(font.getmask(_NOWHERE))


@functools.cache
def _own_font() -> Font:
    return ImageFont.load_default(size=SIZE)


@functools.cache
def _system_fonts() -> tuple[Font, ...]:
    found = []
    for name in _SYSTEM:
        try:
            found.append(ImageFont.truetype(name, SIZE))
        except OSError:  # This machine lacks it.
            continue
    return tuple(found)
