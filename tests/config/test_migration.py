"""Runs of older versions, with the fields of today."""

import json
import pathlib

import pytest

from vpt_gen.config import migration
from vpt_gen.config.check import check_config
from vpt_gen.config.fields import FAMILIES, METHODS, TASKS, default_config
from vpt_gen.config.migration import migrate, with_defaults, with_new_values
from vpt_gen.config.repeat import flatten
from vpt_gen.errors import UserError

ASSETS = pathlib.Path(migration.__file__).parents[1] / "assets"
SHIPPED = sorted(ASSETS.glob("**/net.json"))


def recorded(task="transformer", family="nar", **fields):
    """A config as config.json has it."""
    config = default_config(task, family)
    with config.unlocked():
        config.update(fields)
    return json.loads(json.dumps(config.to_dict()))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("task", TASKS)
def test_a_config_of_today_stays_as_it_is(task, family):
    assert migrate(recorded(task, family)) == recorded(task, family)


def test_fields_that_came_since_have_the_value_that_meant_the_same():
    old = recorded(seed=5, num_steps=7)
    del old["ema"], old["data"]["negative"], old["compute"]
    assert migrate(old) == recorded(seed=5, num_steps=7)


def test_what_was_held_out_was_once_drawn_by_the_seed_of_the_run():
    old = recorded(seed=5)
    del old["data"]["holdout_seed"]
    assert migrate(old)["data"]["holdout_seed"] == 5
    assert migrate(recorded(seed=5))["data"]["holdout_seed"] == 0


def test_a_run_older_than_families_is_of_masked_tokens():
    old = recorded("prompts")
    del old["family"]
    assert migrate(old) == recorded("prompts")


def test_a_value_that_is_written_otherwise_today():
    old = recorded()
    old["data"]["data_dir"] = None
    assert migrate(old) == recorded()
    old = recorded("prompts")
    old["prompt"]["design"], old["best_metric"] = "factorised", "memorisation_rate"
    new = migrate(old)
    assert (new["prompt"]["design"], new["best_metric"]) == ("factorized", "memorization_rate")


def test_a_name_that_another_figure_has_since_is_translated_in_older_runs_alone():
    new = recorded("prompts", best_metric="intra_lpips")
    assert migrate(new) == new
    old = recorded("prompts", best_metric="intra_lpips")
    del old["evaluation"]["also"]
    assert migrate(old) == recorded("prompts", best_metric="intra_class_lpips")
    for config, name in ((new, "intra_lpips"), (old, "intra_class_lpips")):
        changed = with_new_values({"best_metric": "intra_lpips"}, flatten(config))
        assert changed == {"best_metric": name}


def test_the_average_of_pretraining_has_todays_name():
    for task in ("transformer", "classifier"):
        old = recorded(task)
        old["average_decay"] = 0.99
        del old["ema"]
        assert migrate(old) == recorded(task, ema=0.99)


def test_removed_fields_and_groups_are_dropped(monkeypatch):
    monkeypatch.setitem(migration.REMOVED, "data.sepia", (False,))
    monkeypatch.setitem(migration.REMOVED, "tpu", None)
    old = {**recorded(), "tpu": {"zone": "a", "slices": 2}}
    old["data"]["sepia"] = False
    assert migrate(old) == recorded()
    old["data"]["sepia"] = True
    with pytest.raises(UserError, match=r"config.data.sepia to True, which .* can no longer do"):
        migrate(old)


def test_renamed_fields_and_groups_keep_their_values(monkeypatch):
    monkeypatch.setitem(migration.RENAMED, "updates", "num_steps")
    monkeypatch.setitem(migration.RENAMED, "net", "model")
    old = recorded(num_steps=7)
    old["model"]["num_layers"] = 3
    old["updates"], old["net"] = old.pop("num_steps"), old.pop("model")
    migrated = migrate(old)
    assert migrated["num_steps"] == 7
    assert migrated["model"]["num_layers"] == 3
    assert migrated.keys() == recorded().keys()


@pytest.mark.parametrize(
    ("name", "value"), [("task", "painting"), ("sepia", 1), ("data", {"sepia": 1})]
)
def test_what_no_table_knows_is_of_a_newer_version(name, value):
    with pytest.raises(UserError, match=f"config.*{'task' if name == 'task' else 'sepia'}.*newer"):
        migrate({**recorded(), name: value})


@pytest.mark.parametrize("task", METHODS)
def test_a_migrated_config_passes_the_check(task):
    config = default_config(task)
    old = recorded(task)
    del old["data"]["negative"]
    with config.unlocked():
        config.update(migrate(old))
    check_config(config)
    assert config == default_config(task)


def test_the_tables_name_fields_of_today():
    known = set().union(*(migration.flatten(recorded(t, f)) for t in TASKS for f in FAMILIES))
    tables = migration.BEFORE.keys() | migration.REWRITTEN.keys() | migration.REUSED.keys()
    assert tables | {since for _, since, _ in migration.REUSED.values()} <= known
    assert not (migration.REMOVED.keys() | migration.RENAMED.keys()) & known


def test_defaults_fill_groups_and_leave_what_is_there():
    defaults = {"a": 1, "b": {"c": (2,), "d": 3}}
    assert with_defaults({"b": {"d": 4}, "e": 5}, defaults) == {
        "a": 1,
        "b": {"c": [2], "d": 4},
        "e": 5,
    }


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.name)
def test_the_configs_of_shipped_nets_are_known(path):
    migrate(json.loads(path.read_text())["about"]["config"])


def test_a_tokenizer_older_than_the_choice_of_its_net_is_a_vqgan():
    old = recorded("tokenizer")
    del old["model"]["net"]
    assert migrate(old) == recorded("tokenizer")
    assert recorded("tokenizer")["model"]["net"] == "vqgan"


def test_a_net_that_a_task_cannot_pretrain_is_named():
    assert default_config("tokenizer", net="vqvae").model.widths == (64, 160)
    with pytest.raises(UserError, match="'maskgit'; for the task 'tokenizer' it must be .*vqvae"):
        default_config("tokenizer", net="maskgit")
    with pytest.raises(UserError, match="'gpt'; for .* the family 'nar' it must be .*maskgit"):
        default_config("transformer", net="gpt")
