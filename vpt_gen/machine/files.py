"""Files that are there whole or not at all, and where what can be made again is kept.

A path of a working directory is an `epath.Path`, which may also lie in a bucket (gs://...).
"""

import contextlib
import os
import pathlib
import secrets
from collections.abc import Iterator

from etils import epath


@contextlib.contextmanager
def written_whole(path: epath.Path | pathlib.Path) -> Iterator[epath.Path | pathlib.Path]:
    """A path beside `path` to write to; moved into its place on success, removed otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Two runs may write the same file, also from two hosts: each has a partial one of its own.
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def remove_partial(path: pathlib.Path) -> None:
    """Removes what runs that were killed left of `path`; for a file that one run writes."""
    for partial in path.parent.glob(f".{path.name}.*.partial"):
        partial.unlink()


def write_text(path: epath.Path | pathlib.Path, text: str) -> None:
    """Writes a text file."""
    with written_whole(path) as partial:
        partial.write_text(text)


def absolute(path: str) -> epath.Path:
    """The path from the root on; that of a bucket is one already."""
    return epath.Path(path if in_bucket(path) else os.path.abspath(path))


def in_bucket(path: str | epath.Path) -> bool:
    """Whether a path lies in an object store, which renames no folders and is never full."""
    return "://" in os.fspath(path)


def cache_folder() -> pathlib.Path:
    """Where what is known about a data set is kept between runs: $VPT_GEN_CACHE or ~/.cache."""
    return pathlib.Path(os.environ.get("VPT_GEN_CACHE") or "~/.cache/vpt_gen").expanduser()
