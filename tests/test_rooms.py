"""Imports point down the list of rooms in ARCHITECTURE.md, never up."""

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "vpt_gen"


def floors() -> list[list[str]]:
    """The rooms from the top down; those of one line do not import each other."""
    block = re.search(r"```rooms\n(.*?)```", (ROOT / "ARCHITECTURE.md").read_text(), re.S)
    return [re.split(r"\s{2,}", line)[0].split() for line in block[1].splitlines()]


FLOORS = {room: floor for floor, rooms in enumerate(floors()) for room in rooms}


def modules() -> dict[str, pathlib.Path]:
    """Dotted names below `vpt_gen`, packages by their own name."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imported(path: pathlib.Path) -> set[str]:
    """The modules of the package that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    inside = {name.removeprefix("vpt_gen.") for name in names if name.startswith("vpt_gen.")}
    return {name if name in MODULES else name.rpartition(".")[0] for name in inside} - {""}


def room(module: str) -> str:
    return module.partition(".")[0]


def test_every_room_is_listed_and_every_listed_room_exists():
    assert {room(module) for module in MODULES} - {""} == set(FLOORS)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_point_down(module):
    if not module:
        return
    here = FLOORS[room(module)]
    up = {
        other
        for other in imported(MODULES[module])
        if room(other) != room(module) and FLOORS[room(other)] <= here
    }
    assert not up


def test_the_check_sees_an_import_that_points_up(tmp_path):
    file = tmp_path / "low.py"
    file.write_text("def f():\n    from vpt_gen.runs import experiment\n")
    assert imported(file) == {"runs.experiment"}
