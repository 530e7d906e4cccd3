"""Reads the JSON files of runs, nets and studies: any damage is one sentence with its cure."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from etils import epath

from vpt_gen.errors import UserError

Kind = type | tuple[type, ...]
# A number is `float`: JSON writes 2.0 and 2 for the same.
_NAMES: dict[type, str] = {
    dict: "an object",
    list: "a list",
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    type(None): "null",
}


class DamagedFileError(UserError):
    """A file that is missing, cannot be read, or holds something else.

    Attributes:
      fault: what is wrong, in a few words.
    """

    def __init__(self, path: epath.Path | pathlib.Path, fault: str, cure: str):
        self.fault = fault
        what = "missing" if fault == "missing" else f"damaged ({fault})"
        super().__init__(f"{path} is {what}; {cure}.")


def read_object(
    path: epath.Path | pathlib.Path, cure: str, kinds: Mapping[str, Kind] | None = None
) -> dict[str, Any]:
    """Reads an object.

    Args:
      path: of the file.
      cure: the end of the error: what to do about a file that is missing or damaged.
      kinds: the required keys and their types, those of inner objects as "facts.class_names".

    Raises:
      DamagedFileError: a file that is missing, cannot be read, or holds something else.
    """
    value = read_value(path, cure)
    if fault := fault_of(value, kinds or {}):
        raise DamagedFileError(path, fault, cure)
    return value


def read_value(path: epath.Path | pathlib.Path, cure: str) -> Any:
    """Reads a value of any type; see `read_object`."""
    try:
        if not path.is_file():
            raise DamagedFileError(path, "missing", cure)
        content = path.read_bytes()
    except OSError as error:
        raise DamagedFileError(path, f"cannot be read: {error.strerror}", cure) from error
    return parse(content, path, cure)


def parse(content: bytes, path: epath.Path | pathlib.Path, cure: str) -> Any:
    """Returns the value that bytes of a file at `path` spell; see `read_object`."""
    try:
        return json.loads(content.decode(), object_pairs_hook=_object)
    except UnicodeDecodeError as error:
        raise DamagedFileError(path, "not UTF-8", cure) from error
    except (ValueError, RecursionError) as error:
        fault = f"not JSON: {error}" if content.strip() else "empty"
        raise DamagedFileError(path, fault, cure) from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Makes an object; of two equal keys, of which one may be damaged, Python would drop one."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key appears twice")
    return found


def is_kind(value: Any, kind: Kind) -> bool:
    """Whether a JSON value has a type: `float` is any number, and no number is `bool`."""
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if isinstance(value, bool):
        return bool in kinds
    return isinstance(value, kinds) or (isinstance(value, int) and float in kinds)


def fault_of(value: Any, kinds: Mapping[str, Kind]) -> str:
    """Returns what keeps a value from being an object with these keys, or ''; see `read_object`."""
    if not isinstance(value, dict):
        return f"{_name(value)} instead of an object"
    for name, kind in kinds.items():
        part: Any = value
        for key in name.split("."):
            if not isinstance(part, dict) or key not in part:
                return f"without {name}"
            part = part[key]
        if not is_kind(part, kind):
            wanted = kind if isinstance(kind, tuple) else (kind,)
            names = " or ".join(dict.fromkeys(_NAMES[one] for one in wanted))
            return f"{name} is {_name(part)} instead of {names}"
    return ""


def _name(value: Any) -> str:
    return _NAMES[type(value)]
