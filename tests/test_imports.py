"""The lower rooms know JAX and Flax alone."""

import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import vpt_gen.decode
import vpt_gen.methods
import vpt_gen.nets

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
STRANGERS = ["tensorflow", "tensorflow_datasets", "clu", "ml_collections"]
# What an update needs, on a machine that has JAX alone.
TRAINING = [
    f"vpt_gen.training.{name}"
    for name in ("losses", "state", "optimizers", "tokens", "tokenizer", "transformer", "gan")
]


def modules_of(package) -> list[str]:
    found = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    return [module.name for module in found]


def test_lower_rooms_import_no_stranger():
    modules = (
        modules_of(vpt_gen.nets)
        + modules_of(vpt_gen.decode)
        + TRAINING
        + modules_of(vpt_gen.methods)
    )
    code = (
        "import importlib, json, sys\n"
        f"for name in {modules}: importlib.import_module(name)\n"
        f"print(json.dumps([name for name in {STRANGERS} if name in sys.modules]))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert json.loads(run.stdout.splitlines()[-1]) == []


def test_programs_start_without_what_takes_long_to_import():
    programs = [
        "vpt_gen.main",
        "vpt_gen.sample",
        "vpt_gen.evaluate.__main__",
        "vpt_gen.study.__main__",
        # What they import when they begin to work.
        "vpt_gen.runs.build",
        "vpt_gen.runs.measured",
    ]
    code = (
        "import importlib, sys\n"
        f"for name in {programs}: importlib.import_module(name)\n"
        "print([name for name in ('tensorflow', 'scipy.stats') if name in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout.splitlines()[-1] == "[]"
