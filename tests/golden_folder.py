"""Folders of reference numbers, of any sizes: where they are, and what of them is there.

A test names the arrays and files that it needs. Those that a folder lacks are skipped with the
reason; those that it has are compared.
"""

import functools
import json
import os
from pathlib import Path

import jax
import numpy as np
import pytest

_SHARED = Path(__file__).parents[2] / "shared" / "golden"
# Expected values that the running test could not be compared with.
_lacking: list[str] = []


class Known(dict):
    """What a file holds; a test that needs something else of it is skipped."""

    where = ""

    def __missing__(self, key):
        pytest.skip(f"{self.where} lacks {key}")


class Folder:
    """A folder for which the environment may name another one of its kind.

    Attributes:
      path: of the folder.
      absent: why tests are skipped if there is none.
      needed: mark of tests that need it.
    """

    def __init__(self, kind: str):
        variable = f"VPT_GEN_GOLDEN_{kind.upper()}"
        self.path = Path(os.environ.get(variable) or _SHARED / kind)
        self.absent = f"no golden folder: set {variable} to one"
        self.needed = pytest.mark.skipif(not self.is_there(), reason=self.absent)

    def is_there(self) -> bool:
        return (self.path / "manifest.json").exists()

    def file(self, name: str) -> Path:
        """The path of a file; skips the test if the folder lacks it."""
        if not self.is_there():
            pytest.skip(self.absent)
        if not (self.path / name).exists():
            pytest.skip(f"{self.path} lacks {name}")
        return self.path / name

    @functools.cache  # noqa: B019 (one folder of each kind)
    def json(self, name: str = "manifest.json") -> dict:
        """The content of a .json file; see `Known`."""
        path = self.file(name)

        def known(content: dict) -> Known:
            found = Known(content)
            found.where = str(path)
            return found

        return json.loads(path.read_text(), object_hook=known)

    @functools.cache  # noqa: B019
    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """The arrays of an .npz file; see `Known`."""
        with np.load(self.file(name)) as stored:
            found = Known(stored)
        found.where = str(self.path / name)
        return found

    def has(self, file: str, name: str) -> bool:
        """Whether an expected array is there; if not, the test is told at its end."""
        there = name in self.arrays(file)
        if not there:
            lacks(f"{self.path / file} lacks {name}")
        return there

    def check(self, file: str, name: str, value, part=np.s_[...]) -> None:
        """Asserts that `value` is the golden array, or a part of it, as an index.

        Integers must be the same exactly, floats to the array's own tolerance.
        """
        if not self.has(file, name):
            return
        expected, value = self.arrays(file)[name][part], np.asarray(value)
        assert value.shape == expected.shape, f"{name}: shape {value.shape}, not {expected.shape}"
        tolerance = self.json()["arrays"][file][name]["tolerance"]
        if not isinstance(tolerance, dict):
            np.testing.assert_array_equal(value, expected, name)
            return
        np.testing.assert_allclose(
            value, expected, rtol=tolerance["rtol"], atol=tolerance["atol"], err_msg=name
        )


def lacks(what: str) -> None:
    """Notes an expected value that is not there, so that the test goes on with the others."""
    _lacking.append(what)


def skip_lacking() -> None:
    """Skips what the running test could not compare."""
    reasons, _lacking[:] = list(dict.fromkeys(_lacking)), []
    if reasons:
        pytest.skip("; ".join(reasons))


def run(module_and_variables, method: str, *args, **kwargs):
    """A method of a net, compiled once for all tests."""
    module, variables = module_and_variables
    return _jitted(module, method)(variables, *args, **kwargs)


@functools.cache
def _jitted(module, method: str):
    return jax.jit(functools.partial(module.apply, method=method))


def inside(module_and_variables, *args, **kwargs) -> dict:
    """What the modules of a net return for a call."""
    module, variables = module_and_variables

    def call(variables):
        return module.apply(variables, *args, **kwargs, capture_intermediates=True)[1]

    return jax.jit(call)(variables)["intermediates"]
