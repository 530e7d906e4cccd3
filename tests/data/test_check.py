"""The list of data sets: what is found ready, what is named as missing, what --prepare does."""

import pathlib

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from tests import made
from vpt_gen.config.fields import default_config
from vpt_gen.config.flag import files_of_runs
from vpt_gen.data import access, check
from vpt_gen.data.kinds.kind import Entry, Places

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"


def config_of(kind, **fields):
    config = default_config("prompts")
    config.data.kind = kind
    for name, value in fields.items():
        config.data[name] = value
    return config


def write_tfds(folder, name):
    """A prepared data set of four images."""
    images = np.zeros((4, 8, 8, 3), np.uint8)
    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        version="1.0.0",
        features=tfds.features.FeaturesDict(
            {"image": tfds.features.Image(), "label": tfds.features.ClassLabel(num_classes=2)}
        ),
        split_datasets={"train": [(i, {"image": x, "label": i % 2}) for i, x in enumerate(images)]},
        data_dir=folder,
    )


def states(entries):
    return {entry.name: entry.status.state for entry in entries}


def test_data_sets_are_listed_once_with_their_configs(tmp_path):
    write_tfds(tmp_path / "tfds", "made_set")
    folder = made.write_folder(tmp_path / "shapes", count=2)
    configs = {
        "a": config_of("tfds", name="made_set"),
        "b": config_of("tfds", name="made_set", train_split="train[:2]"),
        "c": config_of("folder", path=str(folder)),
        "d": config_of("folder", path=str(tmp_path / "nowhere")),
        "e": config_of("vtab", name="resisc45"),
        "f": config_of("vtab", name="resisc45", path=str(folder)),
        "g": config_of("digits"),
    }
    entries = check.list_entries(configs, Places(str(tmp_path / "tfds")))
    assert states(entries) == {
        "made_set/1.0.0": "ready",
        str(folder): "ready",
        str(tmp_path / "nowhere"): "needs files",
        "resisc45/3.0.0": "needs files",
        "digits": "ready",
    }
    assert entries[0].configs == ["a", "b"]
    lines = check.table(entries).splitlines()
    assert any(line.startswith("made_set/1.0.0") and line.endswith("a, b") for line in lines)
    manual = tmp_path / "tfds" / "downloads" / "manual" / "NWPU-RESISC45"
    assert any(f"put NWPU-RESISC45 at {manual} (https://" in line for line in lines)


def test_every_config_of_the_project_names_a_known_data_set(tmp_path):
    entries = check.list_entries(check.load_configs(CONFIGS), Places(str(tmp_path)))
    builders = {entry.builder.name for entry in entries if entry.builder}
    assert builders == set(access.ACCESS)
    assert sum(len(entry.configs) for entry in entries) == len(files_of_runs(CONFIGS))


def test_the_summary_counts_states_and_disk():
    def entry(*status):
        return Entry("set", access.Status(*status))

    entries = [
        entry("blocked", 100.0),
        entry("ready"),
        entry("downloadable", 3.0),
        entry("preparable", 2.0),
        entry("ready"),
    ]
    assert check.summary(entries) == (
        "2 ready, 1 downloadable, 1 preparable, 1 blocked. --prepare needs 5.0 GB of disk."
    )
    assert check.summary(entries[:2]) == "1 ready, 1 blocked."


class Builder:
    """A TFDS builder whose preparation succeeds or fails."""

    def __init__(self, error=None):
        self.error, self.options = error, None

    def download_and_prepare(self, download_config):
        self.options = download_config
        if self.error:
            raise self.error


def test_preparing_goes_on_after_a_failure(capsys):
    broken, whole = Builder(ConnectionError("no route to host\nand more")), Builder()
    status = access.Status("downloadable", 1.0)
    manual = pathlib.Path("/data/manual")
    entries = [
        Entry(name, status, of, manual) for name, of in (("broken", broken), ("whole", whole))
    ]
    assert check.prepare(entries) == ["broken"]
    assert whole.options.manual_dir == "/data/manual"
    printed = capsys.readouterr().out
    assert "[2/2] preparing whole" in printed
    assert "broken could not be prepared: no route to host\n" in printed


def test_files_of_a_user_are_prepared(tmp_path):
    configs = {"a": config_of("vtab", name="resisc45")}
    data_dir, manual_dir = str(tmp_path / "tfds"), str(tmp_path / "mine")
    for name in tfds.builder("resisc45").info.features["label"].names:
        folder = pathlib.Path(manual_dir, "NWPU-RESISC45", name)
        folder.mkdir(parents=True)
        Image.new("RGB", (256, 256)).save(folder / f"{name}_001.jpg")
    places = Places(data_dir, manual_dir)
    entries = check.list_entries(configs, places)
    assert states(entries) == {"resisc45/3.0.0": "preparable"}
    assert check.prepare(entries) == []
    assert states(check.list_entries(configs, places)) == {"resisc45/3.0.0": "ready"}
