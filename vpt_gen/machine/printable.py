"""Makes text from files, names and flags safe to print on a terminal.

Control characters move the cursor, change colors and titles, or send answers to the shell.
Bidirectional controls show a line in another order. Lone surrogates cannot be printed at all.
"""

import io
import unicodedata
from typing import Any, TextIO

# Controls, lone surrogates, and separators of lines and paragraphs.
_CATEGORIES = {"Cc", "Cs", "Zl", "Zp"}
_BIDIRECTIONAL = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def printable(text: str, keep: str = "\n\t") -> str:
    """Escapes characters that a terminal would obey rather than show; the rest is unchanged.

    Args:
      text: any text.
      keep: control characters to leave as they are.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in keep or not _is_control(c) else _escaped(c) for c in text)


def escaping(stream: TextIO | Any) -> None:
    """Lets a stream escape what its encoding lacks, as stderr does, rather than raise an error."""
    if isinstance(stream, io.TextIOWrapper):  # A test or a notebook may have put another there.
        stream.reconfigure(errors="backslashreplace")


def one_line(text: str) -> str:
    """Escapes also the ends of lines, so that a name cannot look like a message of its own."""
    return printable(text, keep="\t")


def _is_control(character: str) -> bool:
    return character in _BIDIRECTIONAL or unicodedata.category(character) in _CATEGORIES


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
