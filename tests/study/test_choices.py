"""What a group's first cells decide: the number of updates, and the learning rate."""

import dataclasses
import json

import pytest
from clu import metric_writers

from tests.study.studies import small_study, write_record
from vpt_gen.study import choices
from vpt_gen.study.cells import all_cells
from vpt_gen.study.choices import (
    NotYet,
    choose,
    write_rate,
)
from vpt_gen.study.states import Attempt, write_attempts


@pytest.fixture
def study():
    return small_study()


def tried(study):
    return [cell for cell in all_cells(study) if cell.kind == "search"][:3]


def test_the_nearest_to_validation_images_is_chosen_once(study, tmp_path):
    cells = tried(study)
    with pytest.raises(NotYet, match="search/zebra/digits/5/x0.3333 is not done"):
        choose(study, tmp_path, cells[0].group)
    for cell, score in zip(cells, (0.3, 0.2, 0.4), strict=True):
        write_record(tmp_path / cell.path, {"frechet": score})
    assert choose(study, tmp_path, cells[0].group).multiple == 1.0
    record = json.loads((tmp_path / "search/zebra/digits/5/chosen.json").read_text())
    assert record["scores"] == {"0.3333": 0.3, "1": 0.2, "3": 0.4} and not record["at_the_edge"]
    # Whatever comes later: the cells that it was chosen for are trained already.
    write_record(tmp_path / cells[0].path, {"frechet": 0.1})
    assert choose(study, tmp_path, cells[0].group).multiple == 1.0


def test_one_search_decides_for_all_shots(study, tmp_path):
    study.search.shots = 20
    cells = tried(study)
    for cell, score in zip(cells, (0.3, 0.2, 0.1), strict=True):
        assert cell.group.shots == 20
        write_record(tmp_path / cell.path, {"frechet": score})
    few = dataclasses.replace(cells[0].group, shots=5)
    assert choose(study, tmp_path, few) == choose(study, tmp_path, cells[0].group)
    assert choose(study, tmp_path, few).multiple == 3.0


def test_what_diverges_is_never_chosen_and_what_crashes_is_waited_for(study, tmp_path):
    cells = tried(study)
    for cell, score in zip(cells[:2], (0.3, 0.2), strict=True):
        write_record(tmp_path / cell.path, {"frechet": score})
    folder = tmp_path / cells[2].path
    folder.mkdir(parents=True)
    write_attempts(folder, [Attempt("python", "2020-01-01", 1.0, -9, "killed by SIGKILL")])
    with pytest.raises(NotYet, match="x3 is not done"):
        choose(study, tmp_path, cells[0].group)
    write_attempts(folder, [Attempt("python", "2020-01-01", 1.0, 3, "The loss is nan")])
    assert choose(study, tmp_path, cells[0].group).multiple == 1.0
    record = json.loads((tmp_path / "search/zebra/digits/5/chosen.json").read_text())
    assert record["diverged"] == [3.0] and not record["at_the_edge"]


def test_a_score_that_could_not_be_taken_is_named(study, tmp_path):
    for cell in tried(study):
        write_record(tmp_path / cell.path, {"class_agreement": 0.3})
    with pytest.raises(NotYet, match="has no frechet to choose by"):
        choose(study, tmp_path, cell.group)


@pytest.mark.parametrize("collapsed", [{}, {"frechet": float("nan")}])
def test_a_learning_rate_whose_images_cannot_be_measured_is_not_chosen(study, tmp_path, collapsed):
    cells = tried(study)
    scores = ({"frechet": 0.3}, {"frechet": 0.2}, {"class_agreement": 0.1, **collapsed})
    for cell, figures in zip(cells, scores, strict=True):
        write_record(tmp_path / cell.path, figures)
    assert choose(study, tmp_path, cells[0].group).multiple == 1.0
    record = json.loads((tmp_path / "search/zebra/digits/5/chosen.json").read_text())
    assert record["diverged"] == [3.0]


def test_seconds_become_updates_by_the_measured_rate(study, tmp_path, monkeypatch):
    study.budget.steps, study.budget.seconds = 0, 30.0
    study.search.multiples = (2.0,)
    (cell,) = [c for c in all_cells(study) if c.kind == "calibration"][:1]
    with pytest.raises(NotYet, match="calibration/zebra/digits/5 is not done"):
        choose(study, tmp_path, cell.group)
    # The first interval holds the compilation, one of the others another program's work.
    times = [(10, 0.0), (20, 50.0), (30, 51.0), (40, 52.0), (50, 59.0)]
    (tmp_path / cell.path).mkdir(parents=True)
    monkeypatch.setattr(choices, "_event_times", lambda folder: times)
    write_rate(tmp_path / cell.path)
    choice = choose(study, tmp_path, cell.group)
    assert (choice.num_steps, choice.multiple) == (300, 2.0)


def test_times_are_read_off_events(tmp_path):
    writer = metric_writers.SummaryWriter(str(tmp_path))
    for step in (2, 4, 6):
        writer.write_scalars(step, {"train/loss": 1.0})
    writer.close()
    times = choices._event_times(tmp_path)
    assert [step for step, _ in times] == [2, 4, 6]
    assert times[0][1] <= times[1][1] <= times[2][1]
