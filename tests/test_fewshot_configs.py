"""Every few-shot config trains a real step on small records of the data set that it names."""

import pathlib
import runpy

import jax
import numpy as np
import pytest

from tests import made_fewshot
from tests.programs import train
from vpt_gen.checkpoints.store import Store, read_record
from vpt_gen.config.check import check_config
from vpt_gen.data.batches import open_sources
from vpt_gen.data.tfds import load_builder

CONFIGS = sorted((pathlib.Path(__file__).parents[1] / "configs").glob("fewshot_*.py"))
# Config -> training examples of each class, and classes.
SETTINGS = {
    "fewshot_animal_face": (0, 0),
    "fewshot_domainnet_clipart": (5, 345),
    "fewshot_domainnet_infograph": (5, 345),
    "fewshot_fashion": (5, 10),
    "fewshot_imagenet": (100, 5),
    "fewshot_imagenet_sketch": (5, 1000),
    "fewshot_places365": (500, 5),
    "fewshot_stamps": (5, 5),
}
ON_FOLDERS = ("fewshot_animal_face", "fewshot_fashion", "fewshot_stamps")
ON_TFDS = [name for name in SETTINGS if name not in ON_FOLDERS]


def load(name, *family):
    path = next(path for path in CONFIGS if path.stem == name)
    return runpy.run_path(str(path))["get_config"](*family)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Config name -> a TFDS folder that holds its data set, and nothing else."""
    folder = tmp_path_factory.mktemp("fewshot")
    written = {}

    def data(name):
        builder = load(name).data.name
        if builder not in written:
            made_fewshot.write(folder, builder)
            written[builder] = str(folder)
        return written[builder]

    return data


def small(name, data):
    config = load(name)
    config.data.data_dir = data(name)
    config.data.shots = 1
    config.data.holdout = max(config.data.holdout, 0.4)
    return config


def test_every_few_shot_config_is_here():
    assert [path.stem for path in CONFIGS] == sorted(SETTINGS)


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("family", ["nar", "ar"])
def test_a_config_has_the_setting_that_the_guide_tells(name, family):
    config = load(name, family)
    check_config(config)
    shots, num_classes = SETTINGS[name]
    assert (config.family, config.data.shots) == (family, shots)
    if config.data.classes:
        assert len(config.data.classes) == num_classes


@pytest.mark.slow
@pytest.mark.parametrize("name", ON_TFDS)
def test_classes_and_labels_are_those_of_the_data_set(name, data):
    config = small(name, data)
    train_source, eval_source = open_sources(config)
    names = load_builder(config.data.name, config.data.data_dir).info.features["label"].names
    assert train_source.class_names == tuple(config.data.classes or names)
    assert len(train_source.class_names) == SETTINGS[name][1]
    assert train_source.class_names == eval_source.class_names
    for source in (train_source, eval_source):
        counts = np.bincount(source.labels, minlength=source.num_classes)
        assert counts.min() == counts.max() > 0
        for i in range(0, len(source), max(1, len(source) // 7)):
            label = names.index(source.class_names[source.labels[i]])
            assert abs(int(source.load(i)[0, 0, 0]) - made_fewshot.grey_of(label)) <= 1


@pytest.mark.slow
def test_the_places_are_those_of_the_literature(data):
    config = small("fewshot_places365", data)
    names = load_builder(config.data.name, config.data.data_dir).info.features["label"].names
    assert [names.index(name) for name in config.data.classes] == [4, 12, 19, 27, 35]


@pytest.mark.slow
@pytest.mark.parametrize("name", ON_TFDS)
def test_a_config_takes_a_real_step(name, data, tiny_nets, tmp_path):
    config = small(name, data)
    config.num_steps = 1
    config.batch_size = 4
    config.eval_every = 0
    config.data.image_size = 32
    config.data.cache_views = 1
    config.backbone.tokenizer = str(tiny_nets / "vqgan")
    config.backbone.transformer = str(tiny_nets / config.family)
    train(config, tmp_path)
    assert len(read_record(str(tmp_path))["facts"]["class_names"]) == SETTINGS[name][1]
    params = Store(tmp_path).restore_params()
    assert params["prompt_embeddings"]["embedding"].shape[0] == SETTINGS[name][1]
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(params))


def test_the_guide_tells_the_settings():
    guide = (CONFIGS[0].parents[1] / "docs" / "fewshot.md").read_text()
    for name, (shots, num_classes) in SETTINGS.items():
        (row,) = (line for line in guide.splitlines() if line.startswith(f"| `{name}.py` |"))
        _, _, data_set, classes, shown_shots, evaluated, _ = map(str.strip, row.split("|"))
        data = load(name).data
        assert data_set == (f"`{data.name}`" if data.name else "none: class folders")
        assert classes.startswith(str(num_classes) if num_classes else "all")
        assert shown_shots == (str(shots) if shots else "all")
        assert not data.eval_split or evaluated == f"`{data.eval_split}`"
