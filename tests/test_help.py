"""--help of every program answers before what takes seconds to import."""

import json
import re
import subprocess
import sys

import pytest

from tests.programs import ROOT

PACKAGE = ROOT / "vpt_gen"
SLOW = ("jax", "flax", "optax", "orbax", "tensorflow", "tensorflow_datasets", "matplotlib", "scipy")
# Prints what --help of each program says, and which of the packages it has imported. Each has a
# process, which starts with what they share.
ASK = """
import contextlib, io, json, os, runpy, sys
import vpt_gen.cli
programs, slow = (words.split(",") for words in sys.argv[1:])
for program in programs:
    if os.fork():
        os.wait()
        continue
    sys.argv[:] = [program, "--help"]
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.suppress(SystemExit):
        runpy.run_module(program, run_name="__main__")
    answer = {"said": said.getvalue(), "found": [name for name in slow if name in sys.modules]}
    print(json.dumps({program: answer}), flush=True)
    os._exit(0)
"""


def program_names():
    for path in sorted(PACKAGE.rglob("*.py")):
        if re.search(r"^    cli\.run\(", path.read_text(), re.M):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            yield module.removesuffix(".__main__")


PROGRAMS = list(program_names())


@pytest.fixture(scope="module")
def answers():
    done = subprocess.run(
        [sys.executable, "-c", ASK, ",".join(PROGRAMS), ",".join(SLOW)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return dict(item for line in done.stdout.splitlines() for item in json.loads(line).items())


def test_the_programs_are_found():
    assert {"vpt_gen.sample", "vpt_gen.study", "vpt_gen.packing.ship"} < set(PROGRAMS)


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_says_something_and_imports_nothing_slow(program, answers):
    assert "USAGE" in answers[program]["said"]
    assert answers[program]["found"] == []
