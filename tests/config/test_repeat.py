"""The command that is said to repeat a run gives the run's config."""

import json
import shlex

import pytest
from absl import flags
from ml_collections import config_flags

from configs import demo, vtab_caltech
from vpt_gen.config.repeat import training_command


def parse(command, monkeypatch):
    """The config and the workdir that a command gives."""
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "vpt_gen.main"]
    values = flags.FlagValues()
    config = config_flags.DEFINE_config_file("config", flag_values=values)
    flags.DEFINE_string("workdir", None, "", flag_values=values)
    monkeypatch.setattr("sys.argv", words[2:])  # Where ml_collections looks for fields.
    values(words[2:])
    return config.value, values.workdir


def changed(config, **fields):
    config.update_from_flattened_dict(fields)
    return config


@pytest.mark.parametrize(
    ("config", "start"),
    [
        (demo.get_config(), "--config=configs/demo.py --workdir='a b'"),
        (
            changed(
                demo.get_config(),
                **{"num_steps": 3, "optimizer.learning_rate": 1e-4, "data.flip": True},
            ),
            "--config=configs/demo.py --config.data.flip=True --config.num_steps=3",
        ),
        (
            changed(
                demo.get_config(),
                **{"data.kind": "folder", "data.path": "my 'own'", "data.classes": ("7", "a,b")},
            ),
            "--config=configs/demo.py",
        ),
        (vtab_caltech.get_config("ar"), "--config=configs/vtab_caltech.py:ar"),
        (vtab_caltech.get_config("ar,lora"), "--config=configs/vtab_caltech.py:ar,lora"),
        (demo.get_config("norm_bias"), "--config=configs/demo.py:norm_bias"),
    ],
)
def test_the_command_gives_the_config(config, start, monkeypatch):
    record = json.loads(json.dumps(config.to_dict()))
    command = training_command(record, "a b")
    assert command.removeprefix("python -m vpt_gen.main ").startswith(start)
    given, workdir = parse(command, monkeypatch)
    assert json.loads(json.dumps(given.to_dict())) == record
    assert workdir == "a b"


def test_a_config_with_other_fields_has_no_command():
    record = demo.get_config().to_dict()
    del record["num_steps"]
    assert training_command(record, "run") == ""
