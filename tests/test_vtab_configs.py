"""Every config of VTAB's tasks trains a real step on small records of its task."""

import pathlib
import runpy

import jax
import numpy as np
import pytest

from tests.programs import train
from vpt_gen.checkpoints.store import Store, read_record
from vpt_gen.config.check import check_config
from vpt_gen.config.fields import default_config
from vpt_gen.data.batches import open_sources
from vpt_gen.data.vtab.opening import TASKS
from vpt_gen.errors import UserError

FOLDER = pathlib.Path(__file__).parents[1] / "configs"


def load(task, *family):
    return runpy.run_path(str(FOLDER / f"vtab_{task.short}.py"))["get_config"](*family)


# One task of each label rule and scale of pixels: tests/data/vtab/test_opening.py reads the images
# and labels of all. A family is one argument of one recipe: one task stands for all.
KINDS = {(task.rule.__qualname__, task.pixel_scale): task for task in TASKS.values()}
STEPS = [(task, "nar") for task in KINDS.values()] + [(TASKS["dtd"], "ar")]


@pytest.mark.slow
@pytest.mark.parametrize(("task", "family"), STEPS, ids=lambda x: getattr(x, "short", x))
def test_a_task_takes_a_real_step(task, family, tiny_nets, vtab_data, tmp_path):
    config = load(task, family)
    config.num_steps = 1
    config.batch_size = 4
    config.eval_every = 0
    config.data.data_dir = str(vtab_data)
    config.data.image_size = 32
    config.backbone.tokenizer = str(tiny_nets / "vqgan")
    config.backbone.transformer = str(tiny_nets / config.family)
    train(config, tmp_path)
    assert len(read_record(str(tmp_path))["facts"]["class_names"]) == task.num_classes
    params = Store(tmp_path).restore_params()
    assert params["prompt_embeddings"]["embedding"].shape[0] == task.num_classes
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(params))


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.short)
def test_a_config_is_as_released(task):
    for family in ("nar", "ar"):
        config = load(task, family)
        check_config(config)
        assert (config.family, config.data.name) == (family, task.id)
        assert config.num_steps == 100 * (task.count("train") // 32)
        assert (config.batch_size, config.data.image_size) == (32, 256)
        assert (config.data.train_split, config.data.eval_split) == ("train", "val")
        # In every task, also where docs/vtab.md says that it makes labels wrong.
        assert config.data.flip and config.data.random_crop
        assert (config.prompt.num_prompt_tokens, config.optimizer.learning_rate) == (32, 1e-3)


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.short)
def test_a_task_has_a_prompt_for_each_of_its_classes(task, vtab_data):
    config = load(task)
    config.data.data_dir = str(vtab_data)
    train, evaluated = open_sources(config)
    assert train.num_classes == evaluated.num_classes == task.num_classes
    assert set(train.labels) <= set(range(task.num_classes))


def test_every_task_has_a_config():
    assert {p.stem for p in FOLDER.glob("vtab_*.py")} == {f"vtab_{t.short}" for t in TASKS.values()}


@pytest.mark.parametrize("variant", ["vae", "ar,vae", "ar,nar", "lora,adapters"])
def test_an_unknown_variant_is_named(variant):
    last = variant.split(",")[-1]
    with pytest.raises(UserError, match=f"'{last}' is not known; it must be a family"):
        load(TASKS["dtd"], variant)


def test_a_random_crop_needs_something_to_crop():
    config = default_config("prompts")
    config.data.random_crop = True
    check_config(config)
    config.data.fit = "pad"
    with pytest.raises(UserError, match="random_crop is True; it must be False if"):
        check_config(config)
