"""Files of a study, damaged in every simple way: results are made again, records are named."""

import numpy as np
import pytest

from tests import damage
from tests.study.studies import MadeRuns, small_study, write_all, write_record
from tests.study.test_page import page
from vpt_gen.errors import UserError
from vpt_gen.evaluation import report
from vpt_gen.images import grids
from vpt_gen.machine import lock
from vpt_gen.study.cells import all_cells
from vpt_gen.study.choices import NotYet, choose, num_steps
from vpt_gen.study.config import in_order, variant
from vpt_gen.study.page import FINDINGS
from vpt_gen.study.record import claim_folder
from vpt_gen.study.results import check_strip
from vpt_gen.study.runner import Runner
from vpt_gen.study.runs import Choice, Runs
from vpt_gen.study.states import is_complete, read_attempts


@pytest.fixture
def study():
    return small_study()


@pytest.fixture
def folder(study, tmp_path):
    write_all(study, tmp_path, lambda cell: 0.25)
    return tmp_path


@pytest.mark.parametrize("kind", damage.JSON)
def test_a_damaged_record_is_named_and_not_replaced(study, tmp_path, kind):
    runs = Runs(study, tmp_path, tmp_path / "tokens")
    claim_folder(study, runs, tmp_path)
    path = tmp_path / "study.json"
    damage.apply(path, damage.JSON[kind])
    damaged = path.read_bytes()
    with pytest.raises(UserError) as error:
        claim_folder(study, runs, tmp_path)
    damage.assert_sentence(error, f"{path} is damaged (", "choose another --workdir")
    assert path.read_bytes() == damaged


@pytest.mark.parametrize(
    "content",
    [
        '{"variants": {"a": 3}, "datasets": {}, "configs": {}}',
        '{"variants": {"a": {}}, "datasets": {}, "configs": {}}',
        '{"variants": {}, "datasets": {}, "configs": {"a": 3}}',
    ],
)
def test_a_record_of_no_study_is_named(study, tmp_path, content):
    (tmp_path / "study.json").write_text(content)
    with pytest.raises(UserError) as error:
        claim_folder(study, Runs(study, tmp_path, tmp_path / "tokens"), tmp_path)
    damage.assert_sentence(error, "study.json is damaged (it describes no study: ")


@pytest.mark.parametrize("kind", damage.JSON)
def test_damaged_figures_make_a_cell_unfinished(study, folder, kind, capsys):
    cell = next(cell for cell in all_cells(study) if cell.kind == "cells")
    path = folder / cell.path / "metrics.json"
    assert is_complete(path)
    damage.apply(path, damage.JSON[kind])
    assert not is_complete(path)
    if kind != "without keys":
        assert f"{path} is damaged (" in capsys.readouterr().out
    page(study, folder)


@pytest.mark.parametrize("content", ["", '{"figures": []}'])
def test_damaged_figures_do_not_keep_their_cell_from_running(study, folder, content):
    """Programs replace only a note of theirs that can be read."""
    cells = [cell for cell in all_cells(study) if cell.kind == "cells"][:1]
    path = folder / cells[0].path / "metrics.json"
    path.write_text(content)
    runs = MadeRuns(folder, "if (folder / 'metrics.json').exists(): raise SystemExit('in the way')")
    with lock.held(folder / "shard", "--workdir") as descriptor:
        assert Runner(study, folder, runs).run(cells, descriptor) == {}
    assert is_complete(path)


def test_a_changed_strip_can_be_made_again_as_the_error_says(folder):
    strip = folder / grids.STRIP
    manifest = report.open_manifest(folder, [grids.STRIP])
    manifest.begin()
    manifest.write({grids.STRIP: b"strip"})
    manifest.finish({"figures": {}})
    strip.write_bytes(b"other")
    with pytest.raises(UserError) as error:
        check_strip(folder)
    damage.assert_sentence(error, f"delete it and {folder / 'metrics.json'}")
    (folder / "metrics.json").unlink()
    strip.write_bytes(grids.as_png(np.zeros((2, 2, 3), np.uint8)))  # Of the run before.
    report.open_manifest(folder, [grids.STRIP])


@pytest.mark.parametrize(
    "content", ['{"figures": []}', '{"figures": {"fid": 3}}', '{"figures": {"fid": {"value": ""}}}']
)
def test_a_record_of_no_figures_makes_a_cell_unfinished(tmp_path, content):
    (tmp_path / "metrics.json").write_text(content)
    assert not is_complete(tmp_path / "metrics.json")


@pytest.mark.parametrize("kind", [*damage.JSON, "other"])
def test_a_damaged_choice_is_made_again(study, folder, kind):
    cell = next(cell for cell in all_cells(study) if cell.kind == "search")
    first = choose(study, folder, cell.group)
    path = (folder / cell.path).with_name("chosen.json")
    whole = path.read_text()
    others = {"other": lambda content: content.replace(b'"multiple": ', b'"multiple": 7')}
    damage.apply(path, {**damage.JSON, **others}[kind])
    page(study, folder)
    assert choose(study, folder, cell.group) == first
    assert path.read_text() == whole


@pytest.mark.parametrize("kind", [*damage.JSON, "null", "zero"])
def test_a_damaged_rate_is_measured_again(study, tmp_path, kind):
    study.budget.steps, study.budget.seconds = 0, 10.0
    cell = all_cells(study)[0]
    path = tmp_path / cell.path / "rate.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"seconds_per_update": 0.5}')
    assert is_complete(path) and num_steps(study, tmp_path, cell.group) == 20
    others = {"null": lambda content: b"null"}
    others["zero"] = lambda content: b'{"seconds_per_update": 0}'
    damage.apply(path, {**damage.JSON, **others}[kind])
    assert not is_complete(path)
    with pytest.raises(NotYet, match="is not done"):
        num_steps(study, tmp_path, cell.group)


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"{}", b"[3]", b'[{"command": "x"}]', b'[{"command": 3, "started": ""}]'],
)
def test_damaged_attempts_are_told_and_forgotten(study, folder, content, capsys):
    cell = all_cells(study)[0]
    path = folder / cell.path / "attempts.json"
    assert len(read_attempts(path.parent)) == 1
    path.write_bytes(content)
    assert read_attempts(path.parent) == []
    assert f"{path} is damaged (" in capsys.readouterr().out
    assert Runner(study, folder, MadeRuns(folder, "")).state(cell)


def test_a_page_whose_findings_cannot_be_read_is_kept(study, folder):
    path = folder / "page.md"
    mine = f"{FINDINGS}\n".encode() + b"\xff"
    path.write_bytes(mine)
    with pytest.raises(UserError, match=r"page\.md is not UTF-8"):
        page(study, folder)
    assert path.read_bytes() == mine


@pytest.mark.parametrize("content", [b"", b"x", b"\x89PNG\r\n\x1a\n"])
def test_a_damaged_strip_is_left_out(tmp_path, content, capsys):
    (tmp_path / grids.STRIP).write_bytes(content)
    assert grids.read_strip(tmp_path) is None
    assert "strip.png is damaged (" in capsys.readouterr().out


def test_a_cell_whose_checkpoints_were_deleted_after_its_results_stays_done(study, tmp_path):
    study.variants = in_order(gan=variant("prompts", keep_best=True))
    study.search.multiples = (1.0,)
    cell = next(cell for cell in all_cells(study) if cell.kind == "cells")
    places = [tmp_path / cell.path / name for name in ("", "last", "best")]
    for place in places:
        write_record(place, {"frechet": 0.5})
    runs = Runs(study, tmp_path, tmp_path / "tokens")
    runner = Runner(study, tmp_path, runs)
    assert runner.state(cell) == "done"
    (places[1] / "metrics.json").unlink()
    assert runner.state(cell) != "done"
    results = [step.result.parent for step in runs.steps(cell, Choice(10, 1.0))]
    assert results == places
