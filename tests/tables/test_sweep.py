"""Hours and dollars of the sweep over VTAB's tasks."""

import pathlib

import pytest

from vpt_gen.config import flag
from vpt_gen.tables import sweep

ROOT = pathlib.Path(__file__).parents[2]


def test_it_is_the_study_that_configs_has():
    study = flag.load(ROOT / "configs/study_vtab.py")
    assert study.budget.steps == sweep.NUM_UPDATES
    assert len(study.datasets) == sweep.NUM_TASKS
    assert study.samples.num == sweep.NUM_SAMPLES


def test_the_page_has_the_table():
    assert sweep.sweep_table() in (ROOT / "docs/vtab.md").read_text()


def test_hours_of_a_host_by_hand():
    # 8 * 3600 * 1e12 FLOPs at half of two times 4e12 per second.
    place = sweep.Place(hosts=3, devices=2, flops=4e12, price=1.0)
    assert sweep.hours(place, int(8 * 3600 * 1e12)) == pytest.approx(2.0)
