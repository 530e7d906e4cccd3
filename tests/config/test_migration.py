"""Runs that other versions recorded resume and open."""

import pytest

from vpt_gen.checkpoints.store import claim_workdir
from vpt_gen.config import default_config, migration
from vpt_gen.config.migration import as_of_today, record_of_today
from vpt_gen.errors import UserError


def recorded(task="transformer", without=(), **more):
    config = default_config(task).to_dict()
    for name in without:
        group, _, field = name.rpartition(".")
        (config[group] if group else config).pop(field)
    return {**config, **more}


def claimed(workdir, config):
    claim_workdir(str(workdir), config, {})
    (workdir / "checkpoints" / "5").mkdir(parents=True)


def test_fields_that_are_newer_than_a_run_do_not_stop_it(tmp_path):
    old = recorded(without=("average_decay", "data.negative", "optimizer.clip_norm"), seed=3)
    claimed(tmp_path, old)
    today = default_config("transformer")
    today.seed = 3
    claim_workdir(str(tmp_path), today.to_dict(), {}, record_of_today)
    assert as_of_today(old, "run") == today


def test_a_newer_field_with_another_value_is_another_run(tmp_path):
    claimed(tmp_path, recorded(without=("average_decay",)))
    today = default_config("transformer")
    today.average_decay = 0.5
    with pytest.raises(UserError, match="average_decay was 0.0, is 0.5"):
        claim_workdir(str(tmp_path), today.to_dict(), {}, record_of_today)


def test_what_was_done_before_a_field_counts_where_the_table_says_so(monkeypatch):
    monkeypatch.setitem(migration.BEFORE, "data.fit", "stretch")
    assert as_of_today(recorded(), "run").data.fit == "crop"
    old = recorded()
    del old["data"]["fit"]
    assert as_of_today(old, "run").data.fit == "stretch"


def test_fields_that_are_gone_are_dropped_or_renamed(tmp_path, monkeypatch):
    monkeypatch.setitem(migration.GONE, "steps", "num_steps")
    monkeypatch.setitem(migration.GONE, "fancy", "")
    old = recorded(without=("num_steps",), steps=77, fancy=True)
    assert as_of_today(old, "run").num_steps == 77
    claimed(tmp_path, old)
    today = default_config("transformer")
    today.num_steps = 77
    claim_workdir(str(tmp_path), today.to_dict(), {}, record_of_today)


def test_a_field_of_the_future_is_named():
    with pytest.raises(UserError, match="records config.warp, which this version does not know"):
        as_of_today(recorded(warp=9), "runs/x")
