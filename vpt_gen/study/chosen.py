"""The cells that a command line selects, and a check of their data."""

import collections
import re

from vpt_gen.data.batches import open_judge, open_sources
from vpt_gen.errors import UserError
from vpt_gen.machine.progress import say
from vpt_gen.study.cells import Cell, all_cells, chooses
from vpt_gen.study.runner import Runner
from vpt_gen.study.runs import Runs


def parse_shard(text: str) -> tuple[int, int]:
    """Parses a shard: '1/4' -> (1, 4).

    Raises:
      UserError: anything else.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or int(match[1]) >= int(match[2]):
        raise UserError(f"--shard={text} must be i/n with i from 0 to n - 1, such as 0/4.")
    return int(match[1]), int(match[2])


def chosen_cells(study, only: list[str], shard: tuple[int, int]) -> list[Cell]:
    """Returns the cells that the command line selects, in the order of running.

    Raises:
      UserError: no cells are selected.
    """
    cells = [cell for cell in all_cells(study, shard) if all(part in f"{cell}/" for part in only)]
    if not cells:
        raise UserError(
            f"No cell matches --only={' --only='.join(only) or 'all'} and --shard="
            f"{shard[0]}/{shard[1]}; --list without them shows all cells."
        )
    return cells


def check_data(study, runs: Runs, cells: list[Cell]) -> None:
    """Opens the data of some cells once, so that errors are found before anything runs.

    Raises:
      UserError: data that cannot be opened, too few for the shots, to hold any out, or for
        validation if something is chosen on it.
    """
    of_data: dict[str, list[Cell]] = {}
    for cell in cells:
        of_data.setdefault(cell.group.dataset, []).append(cell)
    for name, some in of_data.items():
        config = runs.base(some[0].group.variant, name)
        if open_sources(config)[1] is None:
            raise UserError(
                f"Data set {name}: there are no held-out images to measure with; set data.holdout "
                "higher."
            )
        if any(chooses(study, cell) for cell in some):
            config.data.evaluate_on = "validation"
        for shots in sorted({cell.group.shots for cell in some}):
            config.data.shots = shots
            try:
                open_sources(config)
                open_judge(config)
            except UserError as error:
                raise UserError(f"Data set {name}: {error}") from error


def list_cells(cells: list[Cell], runner: Runner) -> None:
    """Prints one line per cell, and how many are in which state."""
    states = {cell: runner.state(cell) for cell in cells}
    for cell, state in states.items():
        say(f"{cell!s:60} {state}")
    counts = collections.Counter(state.partition(":")[0] for state in states.values())
    say(f"{len(cells)} cells: {', '.join(f'{n} {state}' for state, n in counts.items())}")
