"""Records as JSON: no reader meets NaN or Infinity."""

import json
import math
import pathlib
import re

import numpy as np
import pytest

from vpt_gen.machine.files import json_text, write_json

ROOT = pathlib.Path(__file__).parents[2]
# Text that no other program reads: keys of digests, requests to a worker, and configs.
INNER = re.compile(r"loads\(json\.dumps|sha256\(json\.dumps|digest_of\(|frombuffer\(json\.dumps")


def strictly(text):
    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float64("nan")])
def test_what_is_not_finite_is_null_and_says_why(value, tmp_path):
    write_json(
        tmp_path / "a.json", {"figures": {"kid": {"std": value, "value": 1.5}}, "n": [value]}
    )
    found = strictly((tmp_path / "a.json").read_text())
    assert found["figures"] == {"kid": {"std": None, "value": 1.5}} and found["n"] == [None]
    assert found["not_finite"] == {"figures.kid.std": str(float(value)), "n[0]": str(float(value))}
    assert strictly(json_text([value, 1])) == [None, 1]


def test_other_records_are_written_as_they_are():
    record = {"a": 1, "b": [1.5, None, True, "NaN"], "c": {"d": [{}]}, "e": (1, 2)}
    assert json_text(record) == json.dumps(record, indent=1)


def test_no_program_writes_json_in_another_way():
    """A file of `json.dumps` would have NaN where a figure has none."""
    found = {
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in (ROOT / "vpt_gen").rglob("*.py")
        for line in path.read_text().splitlines()
        if "json.dump" in line and not INNER.search(line)
    }
    assert {line.partition(":")[0] for line in found} == {
        "vpt_gen/machine/files.py",
        "vpt_gen/machine/manifest.py",
        "vpt_gen/benchmark/comparison.py",
        "vpt_gen/benchmark/worker.py",
        "vpt_gen/evaluation/shared_features.py",  # For a digest, not a file.
    }
