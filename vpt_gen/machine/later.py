"""Imports that wait until a name is used, so that --help does not import JAX first.

    with later.imports(globals()):
        from vpt_gen.runs.opened import TunedRun, open_run

Python 3.15 has such imports of its own. A module that uses the names in annotations starts with
`from __future__ import annotations`.
"""

import contextlib
import pkgutil
from collections.abc import Iterator
from typing import Any

from etils import epy


@contextlib.contextmanager
def imports(into: dict[str, Any]) -> Iterator[None]:
    """Delays the imports of the block: of modules, functions, classes, dicts and tuples.

    Args:
      into: `globals()` of the module that imports.
    """
    before = set(into)
    with epy.lazy_imports():
        yield
    for name in set(into) - before:
        into[name] = _Later(into, name, into[name].module_name)


class _Later:
    """Stands for a name until its first use, which puts the object itself in its place."""

    # As a key of a dict it would be another key than the object.
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, into: dict[str, Any], name: str, path: str):
        self._into, self._name, self._path = into, name, path

    def _object(self) -> Any:
        found = pkgutil.resolve_name(self._path)
        if self._into.get(self._name) is self:
            self._into[self._name] = found
        return found

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._object()(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._object(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("_into", "_name", "_path"):
            super().__setattr__(name, value)
        else:
            setattr(self._object(), name, value)

    def __getitem__(self, key: Any) -> Any:
        return self._object()[key]

    def __contains__(self, key: Any) -> bool:
        return key in self._object()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._object())
