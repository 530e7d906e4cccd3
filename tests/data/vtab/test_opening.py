"""VTAB: the table against published facts, every task on small records of its builder's format."""

import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from tests import made_vtab
from vpt_gen.config.fields import default_config
from vpt_gen.data import batches
from vpt_gen.data.vtab import opening as vtab
from vpt_gen.data.vtab.opening import (
    TASKS,
    class_names,
    find_task,
    folder_key,
    open_task,
)
from vpt_gen.data.vtab.splits import SPLITS
from vpt_gen.errors import UserError

FACTS = pathlib.Path(__file__).parents[3] / "shared" / "vtab.json"


@pytest.fixture(scope="module")
def facts():
    if not FACTS.is_file():
        pytest.skip(f"{FACTS} is not at hand")
    return {fact["id"]: fact for fact in json.loads(FACTS.read_text())["tasks"]}


def test_the_table_agrees_with_the_published_facts(facts):
    assert facts.keys() == TASKS.keys()
    for name, task in TASKS.items():
        fact = facts[name]
        assert f"{task.builder}:{task.version}" == fact["tfds"]["use"]
        assert (task.group, task.num_classes) == (fact["group"], fact["label"]["num_classes"])
        assert task.sizes == fact["source_splits"]
        flip = fact["horizontal_flip"]
        assert task.flip == {"safe": "safe", "changes the label": "label"}.get(flip, "odd")


def places(task, expression):
    instructions = task.published_splits[expression].file_instructions
    return [(str(i.filename), i.skip, i.take) for i in instructions]


@pytest.mark.parametrize("split", SPLITS)
def test_splits_hold_the_published_examples(facts, split):
    for name, task in TASKS.items():
        expected = facts[name]["splits"][split]
        assert task.count(split) == expected["n"]
        assert places(task, task.splits[split]) == places(task, expected["spec"])


def test_known_counts():
    counts = {name: [TASKS[name].count(s) for s in ("train", "val", "test")] for name in TASKS}
    assert counts["caltech101"] == [2754, 306, 6084]
    assert counts["oxford_iiit_pet"] == [2944, 736, 3669]
    assert counts["smallnorb_azimuth"] == [24300, 12150, 12150]
    assert counts["dsprites_orientation"] == [589824, 73728, 73728]
    for task in TASKS.values():
        assert (task.count("train800"), task.count("val200")) == (800, 200)
        assert task.count("train800val200") == 1000
        assert task.count("trainval") == task.count("train") + task.count("val")
        assert task.count("all") == task.count("trainval") + task.count("test")


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
def test_class_names_are_told_apart_also_as_folders(task):
    names = class_names(task)
    assert len(names) == task.num_classes
    assert len({folder_key(name) for name in names}) == task.num_classes


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
def test_examples_have_the_task_s_labels(task, vtab_data):
    seen = {}
    for split in ("train", "val", "trainval", "test", "all"):
        source = open_task(task.id, split, data_dir=str(vtab_data))
        assert source.num_classes == task.num_classes
        assert source.name.endswith(f"[{task.splits[split]}]")
        shown = [made_vtab.shown_index(task, source.load(k)) for k in range(len(source))]
        assert source.labels.tolist() == [made_vtab.expected_label(task, i) for i in shown]
        seen[split] = sorted(shown)
    everything = [i for i in range(made_vtab.SIZE) for _ in range(len(seen["all"]) // 20)]
    assert sorted(seen["train"] + seen["val"]) == seen["trainval"]
    assert sorted(seen["trainval"] + seen["test"]) == seen["all"] == everything
    image = source.load(0)
    assert (image.dtype, image.shape[2]) == (np.uint8, 3)


def test_two_tasks_of_one_data_set_keep_their_labels_apart(vtab_data):
    x, angle, again = (
        open_task(name, "train", data_dir=str(vtab_data))
        for name in ("dsprites_location", "dsprites_orientation", "dsprites_location")
    )
    assert x.labels.tolist() == again.labels.tolist() != angle.labels.tolist()
    assert x.digest == again.digest != angle.digest


def test_scenes_without_a_description_are_refused(vtab_data, monkeypatch):
    for name in ("clevr_count_all", "clevr_closest_object_distance"):
        monkeypatch.setitem(TASKS[name].splits, "test", "test")
        with pytest.raises(UserError, match="examples without a label"):
            open_task(name, "test", data_dir=str(vtab_data))


def test_unknown_names_are_one_sentence(vtab_data):
    with pytest.raises(UserError, match="no task 'caltec'; did you mean caltech"):
        find_task("caltec")
    with pytest.raises(UserError, match="no split 'dev'; it has train, val"):
        open_task("dtd", "dev", data_dir=str(vtab_data))
    with pytest.raises(UserError, match="cannot be opened"):
        open_task("dtd", "train", version="9.9.9", data_dir=str(vtab_data))


def test_data_that_is_not_prepared_is_refused_at_once(tmp_path):
    with pytest.raises(UserError, match=r"not prepared in .*vpt_gen.data.check --prepare") as info:
        open_task("caltech", "train", data_dir=str(tmp_path))
    assert "class folders" in str(info.value)
    assert list(tmp_path.iterdir()) == []


# Class folders.


def write_folders(root, names, count=2):
    for i, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for j in range(count):
            Image.new("RGB", (4, 4), (10 * i, 10 * j, 0)).save(root / name / f"{j}.png")
    return str(root)


KITTI_FOLDERS = ["8_to_20_m", "Beyond 20 m", "no-vehicle", "up to 8 m"]


def test_class_folders_get_the_task_s_labels(tmp_path):
    path = write_folders(tmp_path / "kitti", KITTI_FOLDERS)
    source = open_task("kitti", "train", path=path)
    assert source.class_names == TASKS["kitti_closest_vehicle_distance"].class_names
    assert source.labels.tolist() == [1, 1, 2, 2, 3, 3, 0, 0]
    assert source.load(2)[0, 0].tolist() == [10, 0, 0]


def test_folders_that_are_not_the_classes_are_named(tmp_path):
    path = write_folders(tmp_path / "kitti", ["8 to 20 m", "near", "no vehicle", "up to 8 m"])
    with pytest.raises(UserError, match="unknown: near; missing: beyond 20 m"):
        open_task("kitti", "train", path=path)
    path = write_folders(tmp_path / "dtd", ["banded", "stones"])
    with pytest.raises(UserError, match="unknown: stones; missing: blotchy, .* and 41 more"):
        open_task("dtd", "train", path=path)
    path = write_folders(tmp_path / "twice", [*KITTI_FOLDERS, "8 to 20 m"])
    with pytest.raises(UserError, match="two folders name one class"):
        open_task("kitti", "train", path=path)


def config_of(path):
    config = default_config("prompts")
    config.data.kind = "vtab"
    config.data.name = "kitti"
    config.data.path = path
    config.data.eval_split = "val"
    config.data.holdout = 0.5
    return config


def test_folders_of_splits_are_the_splits(tmp_path):
    write_folders(tmp_path / "train", KITTI_FOLDERS, count=4)
    write_folders(tmp_path / "val", KITTI_FOLDERS, count=1)
    train_source, eval_source = batches.open_sources(config_of(str(tmp_path)))
    assert (len(train_source), len(eval_source)) == (16, 4)
    with pytest.raises(UserError, match="splits train, val, but none for 'test'"):
        open_task("kitti", "test", path=str(tmp_path))


def test_a_class_called_train_is_no_split(tmp_path):
    names = TASKS["cifar100"].class_names
    assert "train" in names
    path = write_folders(tmp_path, names, count=1)
    assert open_task("cifar100", "train", path=path).labels.tolist() == list(range(100))


def test_folders_without_splits_hold_examples_out(tmp_path):
    path = write_folders(tmp_path / "kitti", KITTI_FOLDERS, count=4)
    train_source, eval_source = batches.open_sources(config_of(path))
    assert (len(train_source), len(eval_source)) == (8, 8)
    assert eval_source.class_names == train_source.class_names


def test_splits_of_tfds_are_opened_by_name(vtab_data, capsys):
    config = config_of("")
    config.data.data_dir = str(vtab_data)
    train_source, eval_source = batches.open_sources(config)
    assert (train_source.name, eval_source.name) == (
        "kitti/3.3.0[train]",
        "kitti/3.3.0[validation]",
    )
    config.data.flip = True
    batches.open_sources(config)
    assert "Mirroring" not in capsys.readouterr().out
    config.data.name = "smallnorb_azimuth"
    batches.open_sources(config)
    assert "Mirroring changes the label of images of smallnorb_azimuth" in capsys.readouterr().out


def test_azimuth_and_x_position_are_what_mirroring_changes():
    assert {name for name, task in vtab.TASKS.items() if task.flip == "label"} == {
        "smallnorb_azimuth",
        "dsprites_x_position",
        "dsprites_orientation",
    }
