"""Choices of a group's first cells for the others: number of updates and learning rate."""

import json
import pathlib
import statistics
from typing import Any

from ml_collections import ConfigDict

from vpt_gen.errors import UserError
from vpt_gen.machine.files import write_text
from vpt_gen.study.cells import (
    Cell,
    Group,
    cells_of,
    searched,
    searches,
)
from vpt_gen.study.runs import (
    RATE,
    Choice,
    distance_of,
)
from vpt_gen.study.states import (
    failure,
    is_complete,
    is_number,
    is_rate,
    read_done,
    read_json,
)

CHOSEN = "chosen.json"


class NotYet(Exception):
    """A cell needs the choice of other cells; the message says which."""


class _NoScore(Exception):
    """A run whose images cannot be measured; the message says why."""


def write_rate(folder: pathlib.Path) -> None:
    """Reads the seconds per update from a short run's events, and writes them to a file.

    The first interval, which includes compilation, is left out; of the others the median is used,
    as a busy machine makes some too long.

    Raises:
      UserError: the run has too few events.
    """
    times = _event_times(folder)
    rates = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in zip(times[1:], times[2:], strict=False)]
    if not rates or min(rates) <= 0:
        raise UserError(f"{folder} has no times of its updates; delete it to measure them again.")
    record = {
        "seconds_per_update": statistics.median(rates),
        "intervals": rates,
        "steps": [step for step, _ in times],
    }
    write_text(folder / RATE, json.dumps(record, indent=1))


def _event_times(folder: pathlib.Path) -> list[tuple[int, float]]:
    """Returns the updates with a logged loss, and their times."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    accumulator.Reload()
    if "train/loss" not in accumulator.Tags()["tensors"]:
        return []
    return [(event.step, event.wall_time) for event in accumulator.Tensors("train/loss")]


def num_steps(study: ConfigDict, folder: pathlib.Path, group: Group) -> int:
    """Returns the number of updates of a whole run of the group.

    Raises:
      NotYet: the rate of updates is not measured yet.
    """
    if study.budget.steps:
        return study.budget.steps
    (cell,) = (cell for cell in cells_of(study, group) if cell.kind == "calibration")
    record = read_json(folder / cell.path / RATE)
    if record is None or not is_rate(record.get("seconds_per_update")):
        raise NotYet(f"{cell} is not done")
    return max(1, round(study.budget.seconds / record["seconds_per_update"]))


def choose(study: ConfigDict, folder: pathlib.Path, group: Group) -> Choice:
    """Chooses the number of updates, and the best multiple of the learning rate on validation data.

    The choice is saved and not made again.

    Raises:
      NotYet: a cell that the choice depends on is not done; one that diverged counts as done, and
        is never chosen.
    """
    updates = num_steps(study, folder, group)
    if not searches(study):
        return Choice(updates, study.search.multiples[0])
    tried = [c for c in cells_of(study, searched(study, group)) if c.kind == "search"]
    path = (folder / tried[0].path).with_name(CHOSEN)
    record = read_chosen(path)
    if record is None or record["multiple"] not in study.search.multiples:
        record = _search(study, folder, tried)
        write_text(path, json.dumps(record, indent=1))
    return Choice(updates, record["multiple"])


def read_chosen(path: pathlib.Path) -> dict[str, Any] | None:
    """Reads a saved choice; None if there is none, or a damaged one, which is made again."""
    kinds = {"multiple": float, "scores": dict, "diverged": list, "at_the_edge": bool}
    return read_json(path, kinds)


def _search(study: ConfigDict, folder: pathlib.Path, tried: list[Cell]) -> dict[str, Any]:
    scores, diverged, reason = {}, [], "diverged with every learning rate"
    for cell in tried:
        if is_complete(folder / cell.path / "metrics.json"):
            try:
                scores[cell.multiple] = _score(study, folder, cell)
            except _NoScore as error:  # Images that cannot be measured: the run has collapsed.
                diverged.append(cell.multiple)
                reason = str(error)
            continue
        failed = failure(folder / cell.path)
        if not (failed and failed.diverged):
            raise NotYet(f"{cell} is not done")
        diverged.append(cell.multiple)
    if not scores:
        raise NotYet(f"{tried[0].path.parent} {reason}")
    best = min(scores, key=lambda multiple: (scores[multiple], multiple))
    return {
        "multiple": best,
        "score": distance_of(study),
        "scores": {f"{multiple:.4g}": score for multiple, score in scores.items()},
        "diverged": diverged,
        "at_the_edge": best in (min(study.search.multiples), max(study.search.multiples)),
    }


def _score(study: ConfigDict, folder: pathlib.Path, cell: Cell) -> float:
    record, name = read_done(folder / cell.path / "metrics.json"), distance_of(study)
    value = record["figures"].get(name, {}).get("value")
    if not is_number(value):
        reason = record.get("left_out", {}).get(name, "it was not measured")
        raise _NoScore(f"has no {name} to choose by: {reason}")
    return value
