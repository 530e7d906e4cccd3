"""A run's record and checkpoint that do not fit each other, or this version, are one sentence."""

import contextlib
import json
import shutil

import jax
import pytest

from tests import damage, made
from tests.programs import opened
from vpt_gen.checkpoints.claim import claim_workdir
from vpt_gen.checkpoints.store import Store
from vpt_gen.errors import UserError
from vpt_gen.machine import sharding
from vpt_gen.runs.build import make_experiment
from vpt_gen.training.state import initial_state

pytestmark = pytest.mark.slow  # They open a run.


@pytest.fixture(scope="module")
def whole(tiny_nets, tmp_path_factory):
    """A run that has learned nothing."""
    folder = tmp_path_factory.mktemp("runs")
    data = made.write_folder(folder / "data")
    config = made.prompts_config(data, tiny_nets / "vqgan", tiny_nets / "nar")
    config.data.image_size = 32
    mesh = sharding.make_mesh(jax.devices()[:1])
    experiment = make_experiment(config, str(folder / "run"), mesh)
    claim_workdir(str(folder / "run"), config.to_dict(), experiment.facts)
    with contextlib.closing(Store(str(folder / "run"))) as store:
        store.save(2, initial_state(experiment.task, 0, mesh))
    return folder / "run"


@pytest.fixture
def run(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "run")


def edit(run, name, value):
    """Sets an entry of the record; None deletes it."""
    path = run / "config.json"
    record = json.loads(path.read_text())
    *groups, last = name.split(".")
    group = record
    for key in groups:
        group = group[key]
    if value is None:
        del group[last]
    else:
        group[last] = value
    path.write_text(json.dumps(record))


def test_a_whole_run_opens(run):
    assert opened(run).step == 2


@pytest.mark.parametrize("kind", damage.JSON)
def test_a_damaged_record_is_named(run, kind):
    damage.apply(run / "config.json", damage.JSON[kind])
    with pytest.raises(UserError) as error:
        opened(run)
    damage.assert_sentence(error, f"{run}/config.json is damaged (", "restore it")


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("facts", None, "without facts"),
        ("config", [], "config is a list"),
        ("facts.class_names", None, "without facts.class_names"),
        ("facts.class_names", {}, "facts.class_names is an object"),
        ("facts.class_names", [1, 2], "class_names are not texts"),
        ("config.task", [1], "config.task as [1]"),
        ("config.family", [], "config.family as []"),
        ("config.seed", "x", "config.seed as 'x'"),
        ("config.seed", True, "config.seed as True"),
        ("config.data.image_size", 1.5, "config.data.image_size as 1.5"),
        ("config.data", 3, "config.data"),
        ("facts.tokenizer", None, "a tokenizer with digest unknown"),
        ("facts.tokenizer", 3, "a tokenizer with digest 3"),
        ("facts.class_names", ["a"], "does not fit its config.json: prompt_embeddings"),
        ("config.prompt.num_prompt_tokens", 2, "does not fit its config.json: prompt_"),
    ],
)
def test_an_entry_that_cannot_be_is_named(run, name, value, fault):
    edit(run, name, value)
    with pytest.raises(UserError) as error:
        opened(run)
    damage.assert_sentence(error, fault)


def test_lost_checkpoints_are_named(run):
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(UserError, match="holds no finished checkpoint"):
        opened(run)
