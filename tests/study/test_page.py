"""The page: tables, pictures, what is missing, and what people wrote into it."""

import importlib
import json
import sys
import types

import numpy as np
import pytest

from tests.study.studies import MadeRuns, small_study, write_all, write_record
from vpt_gen.config.fields import default_config
from vpt_gen.data.source import Source
from vpt_gen.errors import UserError
from vpt_gen.images import grids
from vpt_gen.machine import manifest
from vpt_gen.study import plots
from vpt_gen.study.cells import all_cells
from vpt_gen.study.config import in_order, variant
from vpt_gen.study.page import (
    END,
    FINDINGS,
    write_page,
)
from vpt_gen.study.plots import figures_plot
from vpt_gen.study.results import gather, write_results
from vpt_gen.study.runner import Runner


@pytest.fixture
def study():
    study = small_study()
    study.shots = (5,)
    return study


def page(study, folder, pictures=None):
    results = gather(study, folder, Runner(study, folder, MadeRuns(folder, "")).state)
    write_page(study, results, pictures or {}, folder, folder / "page.md", "python -m the study")
    return (folder / "page.md").read_text()


def test_a_row_tells_medians_and_where_values_lie(study, tmp_path):
    write_all(study, tmp_path, lambda cell: 0.1 * (cell.seed + 1))
    text = page(study, tmp_path)
    row = next(line for line in text.splitlines() if line.startswith("| prompts |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1] == "3 of 3" and cells[2:4] == ["0.8 (0.7 to 0.9)", "0.2 (0.1 to 0.3)"]
    assert cells[7:] == ["100", "", "10", "2"]
    real = next(line for line in text.splitlines() if "*real images*" in line)
    assert "0.4 (0.35 to 0.45)" in real and "0.1 (0.05 to 0.15)" in real
    assert "python -m the study" in text and "python -m made 0" in text
    assert "smallest to largest" in text and "Missing cells" not in text


def test_what_is_missing_is_named(study, tmp_path):
    write_all(study, tmp_path, lambda cell: None if cell.variant == "apple" else 0.1)
    text = page(study, tmp_path)
    assert "| apple | 0 of 3 | missing | missing |" in text
    assert "- `search/apple/digits/5/x0.3333`: waiting" in text
    assert "Runs done: 6 of 12." in text


def test_learning_rates_are_told(study, tmp_path):
    write_all(study, tmp_path, lambda cell: 0.1 * cell.multiple if cell.kind == "search" else 0.5)
    text = page(study, tmp_path)
    scores = "0.3333: 0.0333; 1: 0.1; 3: 0.3"
    assert f"| prompts | digits | 5 per class | 0.333 | {scores} | at the edge |" in text


def test_a_collapse_is_a_finding_with_both_checkpoints(study, tmp_path):
    study.variants = in_order(gan=variant("prompts", keep_best=True))
    study.search.multiples = (1.0,)
    for cell in all_cells(study):
        folder = tmp_path / cell.path
        write_record(folder, {"frechet": 9.0}, trained_parameters=7)
        (folder / "checkpoints" / "4").mkdir(parents=True)
        write_record(folder / "last", {"frechet": 0.1 if cell.seed else 0.9})
        write_record(folder / "best", {"frechet": 0.1})
    runs = MadeRuns(tmp_path, "")
    runner = Runner(study, tmp_path, runs)
    results = gather(study, tmp_path, runner.state)
    assert [row.checkpoint for row in results.rows] == ["last", "best"] * 3
    text = page(study, tmp_path)
    assert "| gan, best checkpoint | 3 of 3 |" in text
    assert "- `cells/gan/digits/5/0`: Frechet distance 0.9 at the end, 0.1 at its best" in text
    assert "cells/gan/digits/5/1`: Frechet" not in text


@pytest.mark.slow
def test_a_collapse_that_cannot_be_measured_is_a_finding(study, tmp_path):
    study.variants = in_order(gan=variant("prompts", keep_best=True))
    study.search.multiples = (1.0,)
    for cell in all_cells(study):
        folder = tmp_path / cell.path
        write_record(folder, {}, trained_parameters=7)
        (folder / "checkpoints" / "4").mkdir(parents=True)
        last = {0: {}, 1: {"frechet": float("nan")}, 2: {"frechet": 0.11}}[cell.seed]
        write_record(folder / "last", {"class_agreement": 0.5, **last})
        write_record(folder / "best", {"class_agreement": 0.5, "frechet": 0.1})
    results = gather(study, tmp_path, Runner(study, tmp_path, MadeRuns(tmp_path, "")).state)
    text = page(study, tmp_path, {"digits_figures": figures_plot(study, results, "digits")})
    for seed in (0, 1):
        line = f"- `cells/gan/digits/5/{seed}`: Frechet distance not measured at the end, 0.1 at"
        assert line in text
    assert "`cells/gan/digits/5/2`: Frechet" not in text
    assert "| gan | 3 of 3 | 0.5 (0.5 to 0.5) | 0.11 |" in text


@pytest.mark.slow
def test_figures_of_none_are_no_figures(study, tmp_path):
    write_all(study, tmp_path, lambda cell: 0.1)
    for cell in all_cells(study):
        path = tmp_path / cell.path / "metrics.json"
        record = json.loads(path.read_text())
        if cell.kind == "cells":
            record["figures"]["frechet"] |= {"value": None, "floor": None}
            path.write_text(json.dumps(record))
    runner = Runner(study, tmp_path, MadeRuns(tmp_path, ""))
    results = gather(study, tmp_path, runner.state)
    write_results(study, results, tmp_path)
    figures_plot(study, results, "digits")
    assert "| prompts | 3 of 3 | 0.9 (0.9 to 0.9) | not measured |" in page(study, tmp_path)
    runner._tell(results.rows[0].cell, 1.0)


def test_findings_are_kept(study, tmp_path):
    write_all(study, tmp_path, lambda cell: 0.1)
    text = page(study, tmp_path)
    path = tmp_path / "page.md"
    path.write_text(text.replace(f"{FINDINGS}\n", f"{FINDINGS}\nZebras win.\n"))
    again = page(study, tmp_path)
    assert again == path.read_text() and again.count("Zebras win.") == 1 and END in again


@pytest.mark.slow
def test_pictures_stand_beside_the_page(study, tmp_path):
    write_all(study, tmp_path, lambda cell: 0.1 + 0.01 * cell.seed)
    results = gather(study, tmp_path, Runner(study, tmp_path, MadeRuns(tmp_path, "")).state)
    plot = figures_plot(study, results, "digits")
    assert plot.ndim == 3 and plot.std() > 10
    assert "![Metrics of each variant](page_digits_figures.png)" in page(
        study, tmp_path, {"digits_figures": plot}
    )
    assert (tmp_path / "page_digits_figures.png").stat().st_size > 5000


def test_without_matplotlib_the_page_says_what_is_left_out(study, tmp_path, monkeypatch):
    write_all(study, tmp_path, lambda cell: 0.1)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    importlib.reload(plots)  # As in a process that never had it.
    results = gather(study, tmp_path, Runner(study, tmp_path, MadeRuns(tmp_path, "")).state)
    pictures = plots.pictures(study, None, tmp_path, results)
    assert pictures == {}
    text = page(study, tmp_path, pictures)
    assert "needs matplotlib: `pip install -e .[demo]`" in text and "| prompts |" in text
    monkeypatch.undo()
    assert "needs matplotlib" not in page(study, tmp_path, pictures)


def test_a_row_of_samples_stands_under_real_images(study, tmp_path, monkeypatch):
    write_all(study, tmp_path, lambda cell: 0.1)
    results = gather(study, tmp_path, Runner(study, tmp_path, MadeRuns(tmp_path, "")).state)
    monkeypatch.setattr(plots, "_real_strip", lambda *unused: np.ones((2, 8, 8, 3)))
    assert plots.samples_picture(study, None, tmp_path, results, "digits", 5) is None
    images = np.stack([np.full((8, 8, 3), value) for value in (0.0, 1.0, 0.2)])
    folder = tmp_path / "cells/zebra/digits/5/0"
    grids.save_png(folder / grids.STRIP, grids.strip(images, np.array([1, 0, 1])))
    strip = grids.read_strip(folder)
    np.testing.assert_allclose(strip, images[[1, 0, 2]], atol=1e-6)
    picture = plots.samples_picture(study, None, tmp_path, results, "digits", 5)
    assert picture.shape[0] > 2 * 64 and picture.min() == 0
    record = json.loads((folder / "metrics.json").read_text())
    record["files"] = {grids.STRIP: manifest.sha256(b"another")}
    (folder / "metrics.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match="strip.png is missing, or was changed"):
        plots.samples_picture(study, None, tmp_path, results, "digits", 5)


@pytest.mark.slow
def test_where_nothing_is_held_out_the_real_images_are_those_of_training(study, monkeypatch):
    values = [10, 200, 90]
    labels = np.array([1, 0, 1], np.int32)
    source = Source(
        "made", ("a", "b"), labels, lambda i: np.full((8, 8, 3), values[i], np.uint8), "digest"
    )
    monkeypatch.setattr(plots, "open_sources", lambda config: (source, None))
    runs = types.SimpleNamespace(base=lambda *unused: default_config("prompts"))
    strip = plots._real_strip(study, runs, "digits")
    np.testing.assert_allclose(strip[:, 0, 0, 0] * 255, [200, 10, 90], atol=1e-3)
