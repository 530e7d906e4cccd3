"""Statistics over seeds, against numpy and by hand."""

import csv
import json

import numpy as np
import pytest

from tests.study.studies import MadeRuns, small_study, write_all
from vpt_gen.study.results import (
    Results,
    gather,
    spread,
    spread_name,
    write_results,
)
from vpt_gen.study.runner import Runner


def test_of_few_seeds_the_spread_is_from_the_least_to_the_largest():
    found = spread([3.0, 1.0, 2.5])
    assert (found.median, found.low, found.high, found.count) == (2.5, 1.0, 3.0, 3)
    assert spread_name(3) == "smallest to largest"
    assert spread([1.0, 2.0, 4.0, 8.0]).median == 3.0
    assert spread([7.0]).low == spread([7.0]).high == 7.0


def test_of_many_seeds_it_is_quartiles():
    values = np.random.default_rng(0).normal(size=9)
    found = spread(values)
    ordered = np.sort(values)
    assert [found.median, found.low, found.high] == pytest.approx(ordered[[4, 2, 6]].tolist())
    assert spread_name(9) == "quartiles"


@pytest.fixture
def results(tmp_path):
    """Distances of 0.1, 0.2, 0.3 for seeds 0, 1, 2; of one variant a seed is missing."""
    study = small_study()
    study.search.multiples = (1.0,)

    def value_of(cell):
        left_out = cell.variant == "apple" and cell.seed == 1 and cell.group.shots == 20
        return None if left_out else 0.1 * (cell.seed + 1)

    write_all(study, tmp_path, value_of)
    runner = Runner(study, tmp_path, MadeRuns(tmp_path, ""))
    return study, gather(study, tmp_path, runner.state)


def test_figures_are_gathered_over_seeds(results):
    study, found = results
    assert len(found.rows) == 11
    ((cell, why),) = found.missing.items()
    assert (str(cell), why) == ("cells/apple/digits/20/1", "waiting")
    spreads = {
        (variant, group.shots): s for (group, variant, _), s in found.spreads("frechet").items()
    }
    assert spreads["zebra", 20] == spread([0.1, 0.2, 0.1 * 3])
    assert spreads["apple", 20].median == pytest.approx(0.2)
    assert spreads["apple", 20].count == 2
    assert found.floors("frechet", "digits", 5).median == pytest.approx(0.1)
    assert found.floors("kid", "digits", 5) is None


def test_tables_are_written(results, tmp_path):
    study, found = results
    write_results(study, found, tmp_path)
    rows = list(csv.DictReader((tmp_path / "results.csv").open()))
    assert len(rows) == 11 and rows[0]["variant"] == "zebra" and rows[0]["num_steps"] == "10"
    assert float(rows[0]["frechet"]) == 2 * float(rows[0]["frechet_real"]) == 0.1
    record = json.loads((tmp_path / "results.json").read_text())
    assert record["missing"] == {"cells/apple/digits/20/1": "waiting"}
    assert record["summary"][0]["values"]["trained_parameters"]["median"] == 100


@pytest.mark.parametrize("summary", [[], [{"variant": "zebra"}]])
def test_tables_of_an_older_version_are_replaced(tmp_path, summary):
    """Also those of a study that had no results yet; they have no digests."""
    (tmp_path / "results.json").write_text(json.dumps({"spread": "quartiles", "summary": summary}))
    (tmp_path / "results.csv").write_text("variant,dataset\n")
    write_results(small_study(), Results([], {}), tmp_path)
    assert json.loads((tmp_path / "results.json").read_text())["files"].keys() == {"results.csv"}
