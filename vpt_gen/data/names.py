"""Class names as people type them and as folders spell them: which ones are the same.

An accent is one character on most systems and two on macOS (Unicode's composed and decomposed
form), which look the same; a number in a config means the class of this name.
"""

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence

from vpt_gen.errors import UserError

_NAMED = 20  # names in a message
_FEW = 5  # names within a sentence


def name_key(name: object) -> str:
    """Returns what is equal for names that look the same; a number counts as its text."""
    return unicodedata.normalize("NFC", str(name))


def alike(first: Iterable[object], second: Iterable[object]) -> bool:
    """Whether two lists have the same names in the same order."""
    return list(map(name_key, first)) == list(map(name_key, second))


def numbers_of(known: Iterable[object]) -> dict[str, int]:
    """Returns the key of each name -> its number."""
    return {name_key(name): number for number, name in enumerate(known)}


def check_distinct(class_names: Sequence[str], source_name: str) -> None:
    """Raises UserError if two class names are the same, or look the same."""
    first_of: dict[str, str] = {}
    for name in class_names:
        if name_key(name) in first_of:
            other = first_of[name_key(name)]
            spelled = f" (spelled {ascii(other)} and {ascii(name)})" if other != name else ""
            raise UserError(
                f"{source_name} has two classes called {name_key(name)!r}{spelled}: rename one, or "
                "merge them."
            )
        first_of[name_key(name)] = name


def some(names: Sequence[str]) -> str:
    """Returns the first names, for a message."""
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")


def first_few(names: Sequence[str]) -> str:
    """Returns the first five names and the number of the others, for a sentence; '' without any."""
    more = len(names) - _FEW
    return ", ".join(names[:_FEW]) + (f" and {more:,} more" if more > 0 else "")


def nearest(wanted: object, known: Sequence[str]) -> str:
    """Returns the end of a sentence about an unknown name: the nearest known one, or '.'."""
    folded: dict[str, str] = {}
    for name in known:
        folded.setdefault(_folded(name), name)
    near = difflib.get_close_matches(_folded(wanted), folded, n=1)
    return f"; did you mean {folded[near[0]]!r}?" if near else "."


def _folded(name: object) -> str:
    """Returns a name without what people mistake: case, separators, leading zeros, widths."""
    text = unicodedata.normalize("NFKC", str(name)).casefold()
    return re.sub(r"[\W_]+|\b0+(?=\d)", "", text) or text
