"""Results of a study: one row per cell, and medians over seeds."""

import csv
import dataclasses
import io
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath
from ml_collections import ConfigDict

from vpt_gen.errors import UserError
from vpt_gen.evaluation.report import with_new_names
from vpt_gen.images import grids
from vpt_gen.machine.manifest import FILES, Manifest, sha256
from vpt_gen.study.cells import (
    Cell,
    Group,
    all_cells,
)
from vpt_gen.study.choices import choose
from vpt_gen.study.states import is_number, read_done

# Values of metrics.json besides the figures, the same for all methods.
COUNTS = ("trained_parameters", "frozen_parameters", "optimizer_bytes", "tuning_seconds")
LAST, BEST = "last", "best"
_TABLE, _NOTE = "results.csv", "results.json"
# With fewer seeds, quartiles have no meaning.
_FEWEST_FOR_QUARTILES = 5


@dataclasses.dataclass(frozen=True)
class Row:
    """The results of one checkpoint of one cell.

    Attributes:
      cell: of the kind 'cells'.
      checkpoint: `LAST`, or `BEST` on validation images if the variant keeps it.
      figures: name -> value, without those that could not be measured.
      floors: name -> value of real images, without those that could not be measured.
      facts: `COUNTS`, the learning rate's multiple, and the number of updates.
      floor_of: the real images that replaced the generated ones.
    """

    cell: Cell
    checkpoint: str
    figures: Mapping[str, float]
    floors: Mapping[str, float]
    facts: Mapping[str, float]
    floor_of: str = ""

    @property
    def key(self) -> tuple[Group, str, str]:
        """The common key of all seeds: group (data and shots), variant and checkpoint."""
        return self.cell.group, self.cell.variant, self.checkpoint


@dataclasses.dataclass(frozen=True)
class Spread:
    """A figure over seeds: the median, and the range of values.

    With five or more seeds `low` and `high` are quartiles; with fewer, the smallest and largest
    value.
    """

    median: float
    low: float
    high: float
    count: int


def spread(values: Iterable[float]) -> Spread:
    """Returns median and spread of one or more values."""
    values = np.array(list(values), np.float64)
    ends = (25, 75) if len(values) >= _FEWEST_FOR_QUARTILES else (0, 100)
    low, high = np.percentile(values, ends)
    return Spread(float(np.median(values)), float(low), float(high), len(values))


def spread_name(num_seeds: int) -> str:
    """Names `low` and `high`."""
    return "quartiles" if num_seeds >= _FEWEST_FOR_QUARTILES else "smallest to largest"


@dataclasses.dataclass(frozen=True)
class Results:
    """All results of a study.

    Attributes:
      rows: of the finished cells.
      missing: cell of any kind -> why it is missing.
    """

    rows: list[Row]
    missing: dict[Cell, str]

    def spreads(self, name: str) -> dict[tuple[Group, str, str], Spread]:
        """Returns the spread of a figure or fact for each variant over the existing seeds."""
        values: dict[tuple[Group, str, str], list[float]] = {}
        for row in self.rows:
            value = {**row.facts, **row.figures}.get(name)
            if value is not None:
                values.setdefault(row.key, []).append(value)
        return {key: spread(found) for key, found in values.items()}

    def floors(self, name: str, dataset: str, shots: int) -> Spread | None:
        """Returns the floor over seeds; a seed's floor is the same for all variants."""
        by_seed = {
            row.cell.seed: row.floors[name]
            for row in self.rows
            if (row.cell.group.dataset, row.cell.group.shots) == (dataset, shots)
            and row.checkpoint == LAST
            and name in row.floors
        }
        return spread(by_seed.values()) if by_seed else None


def gather(study: ConfigDict, folder: pathlib.Path, state: Callable[[Cell], str]) -> Results:
    """Reads the results of all cells.

    Args:
      study: the checked study.
      folder: of the study.
      state: cell -> 'done', or why not.
    """
    rows, missing = [], {}
    for cell in all_cells(study):
        about = state(cell)
        if about != "done":
            missing[cell] = about
        elif cell.kind == "cells":
            rows += _rows(study, folder, cell)
    return Results(rows, missing)


def _rows(study: ConfigDict, folder: pathlib.Path, cell: Cell) -> list[Row]:
    variant = study.variants[cell.variant]
    trained = dataclasses.replace(cell, variant=variant.trained_as or cell.variant)
    counts = read_done(folder / trained.path / "metrics.json")
    choice = choose(study, folder, cell.group)
    facts = {name: counts[name] for name in COUNTS if name in counts}
    facts |= {"learning_rate_multiple": choice.multiple, "num_steps": choice.num_steps}
    return [
        _row(cell, name, read_done(place / "metrics.json"), facts)
        for name, place in result_folders(study, folder, cell).items()
    ]


def result_folders(study: ConfigDict, folder: pathlib.Path, cell: Cell) -> dict[str, pathlib.Path]:
    """Returns the folders with figures and pictures of a cell's checkpoints."""
    own = folder / cell.path
    kept = study.variants[cell.variant].keep_best
    return {LAST: own / LAST, BEST: own / BEST} if kept else {LAST: own}


def check_strip(place: pathlib.Path) -> None:
    """Raises UserError if the pictures in a folder are not those that its figures are about."""
    note, strip = place / "metrics.json", place / grids.STRIP
    expected = read_done(note).get(FILES, {}).get(grids.STRIP)
    if expected and not (strip.is_file() and sha256(strip.read_bytes()) == expected):
        raise UserError(
            f"{strip} is missing, or was changed after {note.name} was written: delete it and "
            f"{note}, and give the command of the study again to make both."
        )


def _row(cell: Cell, checkpoint: str, record: Mapping[str, Any], facts) -> Row:
    figures = with_new_names(record)["figures"]
    floor_of = [f["protocol"].get("floor_of", "") for f in figures.values()]
    return Row(
        cell,
        checkpoint,
        {n: f["value"] for n, f in figures.items() if is_number(f.get("value"))},
        {n: f["floor"] for n, f in figures.items() if is_number(f.get("floor"))},
        facts,
        floor_of[0] if floor_of else "",
    )


def open_manifest(folder: pathlib.Path) -> Manifest:
    """Returns what writes the tables of a study; see `Manifest`."""

    def files_before(note: Mapping[str, Any]) -> Sequence[str]:
        return [_TABLE] if note["summary"] is not None else ()

    return Manifest(epath.Path(folder) / _NOTE, [_TABLE], files_before, flag="--workdir")


def write_results(study: ConfigDict, results: Results, folder: pathlib.Path) -> list[pathlib.Path]:
    """Writes `results.csv` (one row per cell) and `results.json` (medians, missing cells)."""
    names = sorted({name for row in results.rows for name in row.figures})
    facts = sorted({name for row in results.rows for name in row.facts})
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    axes = ("variant", "dataset", "shots", "seed", "checkpoint")
    writer.writerow([*axes, *facts, *names, *(f"{name}_real" for name in names)])
    for row in results.rows:
        group = row.cell.group
        where = (row.cell.variant, group.dataset, group.shots, row.cell.seed, row.checkpoint)
        parts = [(facts, row.facts), (names, row.figures), (names, row.floors)]
        found = [part.get(name, "") for wanted, part in parts for name in wanted]
        writer.writerow([*where, *found])
    record = {
        "spread": spread_name(len(study.seeds)),
        "summary": list(_summary(results, [*names, *facts])),
        "missing": {str(cell): why for cell, why in results.missing.items()},
        "study": study.to_dict(),
    }
    manifest = open_manifest(folder)
    manifest.begin()
    manifest.write({_TABLE: table.getvalue().encode()})
    manifest.finish(record)
    return [folder / _TABLE, folder / _NOTE]


def _summary(results: Results, names: list[str]) -> Iterator[dict[str, Any]]:
    spreads = {name: results.spreads(name) for name in names}
    for key in dict.fromkeys(row.key for row in results.rows):
        group, variant, checkpoint = key
        yield {
            "variant": variant,
            "dataset": group.dataset,
            "shots": group.shots,
            "checkpoint": checkpoint,
            "values": {n: dataclasses.asdict(s[key]) for n, s in spreads.items() if key in s},
        }
