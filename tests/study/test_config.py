"""A study that cannot be is refused in one sentence."""

import json
import pathlib
import re

import pytest

from tests.study.studies import small_study
from vpt_gen.checkpoints.feature_spaces import FEATURE_SPACES
from vpt_gen.config import flag
from vpt_gen.errors import UserError
from vpt_gen.evaluation.metrics import names_in
from vpt_gen.study.cells import all_cells
from vpt_gen.study.config import (
    check_study,
    dataset,
    in_order,
    variant,
)
from vpt_gen.study.record import claim_folder
from vpt_gen.study.runs import Choice, Runs, distance_of

CONFIGS = sorted((pathlib.Path(__file__).parents[2] / "configs").glob("study_*.py"))


@pytest.fixture
def study():
    return small_study()


def runs_of(study):
    return Runs(study, pathlib.Path("runs/none"), pathlib.Path("runs/none/tokens"))


def test_variants_stay_in_their_order(study):
    check_study(study)
    assert list(study.variants) == ["zebra", "apple"]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("variants", in_order(), "config.variants is empty"),
        ("seeds", (1, 1), "config.seeds is .* different whole numbers"),
        ("shots", (-1,), "config.shots is"),
        ("variants", in_order(**{"a/b": variant("prompts")}), "'a/b' names a folder"),
        ("validation", 0.0, "config.validation is 0.0; it must be positive, as learning rates"),
        ("budget.steps", 0, "give one of the two"),
        ("budget.seconds", 5.0, "give one of the two"),
        ("search.multiples", (), "config.search.multiples"),
        ("search.share", 1.5, "config.search.share is 1.5"),
        ("samples.features", "dino", "inception or .*tokenizer"),
        (
            "variants",
            in_order(a=variant("prompts", trained_as="b")),
            "trained_as 'b', which is not a trained variant",
        ),
        (
            "variants",
            in_order(a=variant("prompts", sampling=["--marquee=scroll"])),
            "name the variant whose runs",
        ),
        (
            "variants",
            in_order(a=variant("prompts"), b=variant("lora", trained_as="a")),
            "uses that one's method",
        ),
    ],
)
def test_impossible_grids_are_named(study, field, value, message):
    *groups, name = field.split(".")
    part = study
    for group in groups:
        part = part[group]
    part[name] = value
    with pytest.raises(UserError, match=message):
        check_study(study)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (variant("lorra"), "Variant v on data set digits: .*lorra"),
        (variant("prompts", set={"prompt": {"lenght": 1}}), "set has prompt.lenght=1"),
        (
            variant("prompts", set={"prompt": {"design": "cubic"}}),
            "config.prompt.design is 'cubic'",
        ),
        (variant("prompts", set={"data": {"holdout": 0.0}}), "there are no held-out images"),
    ],
)
def test_runs_that_cannot_be_are_named_before_any_starts(study, changed, message):
    study.variants = in_order(v=changed)
    with pytest.raises(UserError, match=message):
        runs_of(study).base("v", "digits")


def test_a_config_is_loaded_once_and_copied_for_each_caller(study, monkeypatch):
    runs = runs_of(study)
    first = runs.base("zebra", "digits")
    monkeypatch.setattr(flag, "load", None)
    untouched = first.to_json()
    first.data.shots = 12345
    assert runs.base("zebra", "digits").to_json() == untouched


def test_a_missing_config_file_is_named(study):
    study.datasets = in_order(digits=dataset("configs/none.py"))
    with pytest.raises(UserError, match="configs/none.py does not exist"):
        runs_of(study).base("zebra", "digits")


def test_a_folder_belongs_to_one_study_which_may_grow(study, tmp_path):
    claim_folder(study, runs_of(study), tmp_path)
    more = small_study()
    more.variants = in_order(**small_study().variants, new=variant("prompts"))
    more.seeds = (0, 1, 2, 3)
    claim_folder(more, runs_of(more), tmp_path)
    claim_folder(study, runs_of(study), tmp_path)
    other = small_study()
    other.variants = in_order(new=variant("prompts", set={"prompt": {"num_prompt_tokens": 2}}))
    with pytest.raises(UserError, match="another study .*num_prompt_tokens"):
        claim_folder(other, runs_of(other), tmp_path)
    study.budget.steps = 20
    with pytest.raises(UserError, match="budget.steps was 10, is 20"):
        claim_folder(study, runs_of(study), tmp_path)


@pytest.mark.parametrize("content", [None, "", '{"title": "a", "var', "[]", "{}"])
def test_cells_without_a_record_of_their_study_are_refused(study, tmp_path, content):
    (tmp_path / "cells").mkdir()
    if content is not None:
        (tmp_path / "study.json").write_text(content)
    with pytest.raises(UserError, match="study.json .*restore it, or choose another --workdir"):
        claim_folder(study, runs_of(study), tmp_path)


def test_a_study_older_than_fields_goes_on(study, tmp_path):
    claim_folder(study, runs_of(study), tmp_path)
    path = tmp_path / "study.json"
    old = json.loads(path.read_text())
    del old["search"]["share"], old["validation"]
    for entry in old["variants"].values():
        del entry["sampling"]
    for config in old["configs"].values():
        del config["data"]["negative"]
    path.write_text(json.dumps(old))
    claim_folder(study, runs_of(study), tmp_path)
    study.validation = 0.3
    with pytest.raises(UserError, match="validation was 0.1, is 0.3"):
        claim_folder(study, runs_of(study), tmp_path)


@pytest.mark.parametrize("features", FEATURE_SPACES)
def test_every_feature_space_has_the_distance_that_chooses(study, features):
    study.samples.features = features
    assert distance_of(study) in names_in(features)


def test_a_config_that_is_no_python_file_is_an_error(tmp_path):
    (tmp_path / "mine.txt").write_text("")
    with pytest.raises(
        UserError, match="mine.txt is not a Python file; give one that ends with .py"
    ):
        flag.load(tmp_path / "mine.txt")


def test_a_study_with_older_values_goes_on(study, tmp_path):
    study.variants.apple.set.prompt.design = "factorized"
    claim_folder(study, runs_of(study), tmp_path)
    path = tmp_path / "study.json"
    new = path.read_text()
    path.write_text(new.replace("factorized", "factorised"))
    claim_folder(study, runs_of(study), tmp_path)
    assert path.read_text() == new


def documented(path):
    """The arguments with which a study's docstring gives it, '' for none."""
    return re.findall(rf"vpt_gen.study --config=configs/{path.name}(?::(\w+))?", path.read_text())


@pytest.mark.parametrize(
    ("path", "argument"),
    [(path, argument) for path in CONFIGS for argument in documented(path)],
    ids=lambda part: getattr(part, "stem", part),
)
def test_every_study_of_configs_is_sound(path, argument):
    study = flag.load(path, argument)
    check_study(study)
    runs = runs_of(study)
    for dataset_name in study.datasets:
        for name, of in study.variants.items():
            base = runs.base(name, dataset_name)
            settings = [x.split("=")[1] for x in of.sampling if x.startswith("--set=")]
            assert set(settings) <= set(base.get("decode", ()))
    for cell in all_cells(study):
        if not study.variants[cell.variant].keep_best:
            assert list(runs.steps(cell, Choice(9, 1.0)))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (variant("prompts", shares={"optimizer": {"warmup_steps": 1.5}}), "warmup_steps is 1.5"),
        (variant("prompts", shares={"optimizer": {"warmup_steps": -1}}), "warmup_steps is -1"),
    ],
)
def test_shares_are_parts_of_a_run(study, changed, message):
    study.variants = in_order(v=changed)
    with pytest.raises(UserError, match=rf"config.variants.v.shares.*{message}; it must be"):
        check_study(study)


@pytest.mark.parametrize(
    ("set", "message"),
    [
        ({"optimizer": {"warmup_steps": 50}}, "warmup_steps is 50; it must be at most num_steps"),
        ({"optimizer": {"learning_rate": 50.0}}, "learning_rate is 150.0; it must be"),
    ],
)
def test_the_budget_and_the_search_are_checked_before_any_run_starts(study, set, message):
    study.variants = in_order(v=variant("prompts", set=set))
    with pytest.raises(UserError, match=message):
        runs_of(study).base("v", "digits")


def test_short_runs_of_a_study_shorten_its_warmup(study):
    study.variants = in_order(v=variant("prompts", set={"optimizer": {"warmup_steps": 50}}))
    study.budget.steps, study.budget.seconds = 0, 60.0
    calibration = next(cell for cell in all_cells(study) if cell.kind == "calibration")
    study.budget.calibration_steps = 20
    (step,) = runs_of(study).steps(calibration, Choice(0, 1.0))
    assert "--config.optimizer.warmup_steps=20" in step.arguments


def test_a_short_run_has_both_stages(study):
    study.budget.steps, study.budget.seconds = 0, 60.0
    study.variants = in_order(v=variant("prompts_lora"))
    cell = next(cell for cell in all_cells(study) if cell.kind == "calibration")
    (step,) = runs_of(study).steps(cell, Choice(1000, 1.0))
    assert {"--config.num_steps=60", "--config.prompts_lora.prompt_steps=30"} <= set(step.arguments)
