"""The program: a real study of tiny nets, from the command line to its page."""

import csv
import json
import pathlib

import pytest
from absl import flags

from tests import made
from tests.programs import flags_of, start
from tests.study.studies import small_study
from vpt_gen import main
from vpt_gen.config import repeat
from vpt_gen.config.flag import load
from vpt_gen.errors import UserError
from vpt_gen.study import chosen
from vpt_gen.study.cells import all_cells
from vpt_gen.study.config import check_study, dataset, in_order, variant
from vpt_gen.study.runs import Choice, Runs

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
_RUNS = """
from tests import made

def get_config(method="prompts"):
    config = made.prompts_config({data!r}, {nets!r} + "/vqgan", {nets!r} + "/nar")
    config.data.image_size = 32
    config.batch_size = 4
    return config
"""


@pytest.mark.slow
def test_a_real_study(tiny_nets, tmp_path):
    pytest.importorskip("sklearn")
    made.write_folder(tmp_path / "data", count=16, side=32)
    names = {"data": str(tmp_path / "data"), "nets": str(tiny_nets)}
    (tmp_path / "runs.py").write_text(_RUNS.format(**names))
    made.write_study(tmp_path / "study.py", tmp_path / "runs.py", shots=4, validation=0.25)
    run = start("vpt_gen.study", f"--config={tmp_path}/study.py", f"--workdir={tmp_path}/study")
    assert run.returncode == 0, run.stderr + run.stdout
    folder = tmp_path / "study" / "cells" / "full" / "made" / "4" / "1"
    config = json.loads((folder / "config.json").read_text())["config"]
    assert (config["data"]["shots"], config["seed"], config["num_steps"]) == (4, 1, 2)
    assert config["optimizer"]["learning_rate"] == 0.5e-3
    metrics = json.loads((folder / "metrics.json").read_text())
    assert "untuned" not in metrics["figures"]["frechet"]
    assert metrics["protocol"]["judge"]["count"] == 8
    rows = list(csv.DictReader((tmp_path / "study" / "results.csv").open()))
    assert [row["variant"] for row in rows] == ["full", "scrolled"]
    assert float(rows[0]["frechet"]) == metrics["figures"]["frechet"]["value"]
    assert rows[0]["trained_parameters"] == rows[1]["trained_parameters"] != ""
    page = (tmp_path / "study" / "page.md").read_text()
    assert "Runs done: 2 of 2." in page and (tmp_path / "study/page_made_4_samples.png").exists()


def test_the_commands_are_those_of_a_user(tmp_path):
    """What the flags of a cell give is the config of its data set, and what the study sets."""
    study = small_study()
    fields = {"prompt": {"num_prompt_tokens": 4}}
    shares = {"optimizer": {"warmup_steps": 1 / 3}}
    study.variants = in_order(s4=variant("prompts", set=fields, shares=shares))
    runs = Runs(study, tmp_path, tmp_path / "tokens")
    search, final = [
        next(cell for cell in all_cells(study) if (cell.kind, cell.seed) == wanted)
        for wanted in (("search", 0), ("cells", 2))
    ]
    for cell, changes in (
        (search, {"data.evaluate_on": "validation", "evaluation.num_samples": 200, "seed": 0}),
        (final, {"data.evaluate_on": "holdout", "evaluation.num_samples": 500, "seed": 2}),
    ):
        (step,) = runs.steps(cell, Choice(9, 1 / 3))
        assert step.arguments[:2] == ("-m", "vpt_gen.main") and step.result.parent.match(
            str(cell.path)
        )
        with flags_of(main, *step.arguments[2:]):
            given = repeat.flatten(flags.FLAGS.config.to_dict())
        base = repeat.flatten(runs.base("s4", "digits").to_dict())
        expected = (
            base
            | changes
            | {
                "num_steps": 9,
                "optimizer.warmup_steps": 3,
                "optimizer.learning_rate": 0.00333333,
                "data.shots": 5,
                "data.shots_seed": cell.seed,
                "data.cache_dir": str(tmp_path / "tokens"),
            }
        )
        assert given == expected
        assert base["prompt.num_prompt_tokens"] == 4


@pytest.mark.parametrize("shard", ["1", "3/3", "a/b", "-1/2"])
def test_a_shard_that_cannot_be_is_named(shard):
    with pytest.raises(UserError, match=f"--shard={shard} must be i/n"):
        chosen.parse_shard(shard)


def test_cells_are_chosen_by_parts_of_their_paths():
    study = small_study()
    cells = chosen.chosen_cells(study, ["cells/", "/5/"], (0, 1))
    assert len(cells) == 6 and all("/5/" in str(cell) for cell in cells)
    with pytest.raises(UserError, match="No cell matches --only=giraffe"):
        chosen.chosen_cells(study, ["giraffe"], (0, 1))


@pytest.mark.slow
def test_too_few_images_are_told_before_anything_runs(tmp_path):
    study = small_study()
    study.shots = (5, 9999)
    runs, cells = Runs(study, tmp_path, tmp_path / "tokens"), all_cells(study)
    with pytest.raises(UserError, match="Data set digits: config.data.shots is 9999"):
        chosen.check_data(study, runs, cells)


@pytest.mark.parametrize("multiples", [(1.0,), (1.0, 3.0)])
def test_only_the_data_of_chosen_cells_are_opened(multiples, tmp_path, monkeypatch):
    """Validation images are asked for only if the cells choose something on them."""
    study = small_study()
    study.search.multiples = multiples
    opened: list[tuple[int, str]] = []

    def open_made(config):
        opened.append((config.data.shots, config.data.evaluate_on))
        return "training", "held out"

    monkeypatch.setattr(chosen, "open_sources", open_made)
    cells = chosen.chosen_cells(study, ["/5/"], (0, 1))
    study.datasets = in_order(**study.datasets, other=dataset("configs/none.py"))
    chosen.check_data(study, Runs(study, tmp_path, tmp_path / "tokens"), cells)
    on = "validation" if len(multiples) > 1 else "holdout"
    assert opened[1:] == [(5, on)]


def test_a_study_without_a_search_trains_on_all_but_the_held_out_images(tmp_path):
    study = load(f"{CONFIGS}/study_vtab.py")
    check_study(study)
    runs = Runs(study, tmp_path, tmp_path / "tokens")
    (cell,) = chosen.chosen_cells(study, ["/dtd/"], (0, 1))
    (step,) = runs.steps(cell, Choice(study.budget.steps, 1.0))
    assert {"--config.data.validation=0.0", "--config.num_steps=8600"} <= set(step.arguments)
    config = runs.base("prompts", "dtd")
    assert (config.data.train_split, config.data.eval_split) == ("train", "val")
    assert (config.data.validation, config.data.evaluate_on) == (0.0, "holdout")
