"""Small studies, and cells that are made up."""

import json

from vpt_gen.study.cells import all_cells
from vpt_gen.study.config import (
    dataset,
    default_study,
    in_order,
    variant,
)
from vpt_gen.study.runs import Step
from vpt_gen.study.states import Attempt, write_attempts


def small_study():
    study = default_study()
    study.variants = in_order(
        zebra=variant("prompts", "prompts"),
        apple=variant("prompts", set={"prompt": {"design": "additive"}}),
    )
    study.datasets = in_order(digits=dataset("configs/demo.py", "Digits"))
    study.shots = (5, 20)
    study.seeds = (0, 1, 2)
    study.budget.steps = 10
    return study


def record_of(figures, **facts):
    """A metrics.json with the given figures, each with a floor of half its value."""
    protocol = {"floor_of": "4 training images against 9 held-out images"}
    return {
        **facts,
        "figures": {
            name: {"value": value, "floor": value / 2, "protocol": protocol}
            for name, value in figures.items()
        },
        "left_out": {},
    }


def write_record(folder, figures, **facts):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.json").write_text(json.dumps(record_of(figures, **facts)))
    write_attempts(folder, [Attempt(f"python -m made {folder.name}", "2020-01-01", 9.0, 0)])


def write_all(study, folder, value_of):
    """Results of all cells: `value_of` gives a cell's distance, or None to leave it out."""
    for cell in all_cells(study):
        if (value := value_of(cell)) is not None:
            figures = {"frechet": value, "class_agreement": 1.0 - value}
            write_record(folder / cell.path, figures, trained_parameters=100, tuning_seconds=2.0)


class MadeRuns:
    """Commands that run a piece of Python in the cell's folder and leave a result."""

    def __init__(self, folder, code):
        self._folder, self._code = folder, code

    def steps(self, cell, choice):
        folder = self._folder / cell.path
        record = json.dumps(record_of({"frechet": 0.5}, num_steps=choice.num_steps))
        result = folder / "metrics.json"
        head = f"import pathlib\nfolder, cell = pathlib.Path({str(folder)!r}), {str(cell)!r}\n"
        tail = (
            f"\n(folder / 'new').write_text({record!r})\n(folder / 'new').rename({str(result)!r})"
        )
        yield Step(("-c", head + self._code + tail), result)
