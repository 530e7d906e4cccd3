"""Atomic files, and the folder for what can be made again.

A path of a working directory is an `epath.Path`, which may also lie in a bucket (gs://...).
"""

import contextlib
import json
import math
import os
import pathlib
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

from etils import epath


@contextlib.contextmanager
def written_whole(path: epath.Path | pathlib.Path) -> Iterator[epath.Path | pathlib.Path]:
    """Yields a path next to `path` to write to; moves it into place on success, else removes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Two runs, perhaps on two hosts, may write the same file: each has its own partial one.
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def remove_partial(path: pathlib.Path) -> None:
    """Removes partial files of `path` that killed runs left; only one run may write the file."""
    for partial in path.parent.glob(f".{path.name}.*.partial"):
        partial.unlink()


def write_text(path: epath.Path | pathlib.Path, text: str) -> None:
    """Writes a text file."""
    with written_whole(path) as partial:
        partial.write_text(text)


def write_json(path: epath.Path | pathlib.Path, record: Any) -> None:
    """Writes a record as JSON; see `json_text`."""
    write_text(path, json_text(record))


def json_text(record: Any) -> str:
    """Returns a record as JSON, which has no NaN and no Infinity: such numbers become null.

    A record that is a dict then says in "not_finite" which they were: {"figures.kid.std": "nan"}.
    """
    found: dict[str, str] = {}
    clean = _finite(record, "", found)
    if found and isinstance(clean, dict):
        clean["not_finite"] = found
    return json.dumps(clean, indent=1, allow_nan=False)


def _finite(value: Any, name: str, found: dict[str, str]) -> Any:
    """Returns the value with None for each number that is not finite, and notes it in `found`."""
    if isinstance(value, Mapping):
        inside = f"{name}." if name else ""
        return {key: _finite(part, f"{inside}{key}", found) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part, f"{name}[{i}]", found) for i, part in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        found[name] = str(value)
        return None
    return value


def absolute(path: str) -> epath.Path:
    """Returns the absolute path; a bucket's already is."""
    return epath.Path(path if in_bucket(path) else os.path.abspath(path))


def in_bucket(path: str | epath.Path) -> bool:
    """Whether a path lies in an object store, which cannot rename folders and is never full."""
    return "://" in os.fspath(path)


def cache_folder() -> pathlib.Path:
    """Returns the folder of facts about data sets between runs: $VPT_GEN_CACHE or ~/.cache."""
    return pathlib.Path(os.environ.get("VPT_GEN_CACHE") or "~/.cache/vpt_gen").expanduser()
