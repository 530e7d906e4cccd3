"""The command that is said to repeat a run gives the run's config."""

import json
import shlex

import pytest
from absl import flags

from configs import demo, folder, vtab_caltech
from tests.programs import flags_of
from vpt_gen import main
from vpt_gen.config.repeat import training_command


def parse(command):
    """The config and the workdir that a command gives."""
    python, option, program, *given = shlex.split(command)
    assert (python, option, program) == ("python", "-m", "vpt_gen.main")
    with flags_of(main, *given):
        return flags.FLAGS.config, flags.FLAGS.workdir


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
        (vtab_caltech.get_config("maskgit512"), "--config=configs/vtab_caltech.py:maskgit512"),
        (folder.get_config("maskgit512,lora"), "--config=configs/folder.py:maskgit512,lora"),
    ],
)
def test_the_command_gives_the_config(config, start):
    record = json.loads(json.dumps(config.to_dict()))
    command = training_command(record, "a b")
    assert command.removeprefix("python -m vpt_gen.main ").startswith(start)
    given, workdir = parse(command)
    assert json.loads(json.dumps(given.to_dict())) == record
    assert workdir == "a b"


def test_a_config_with_other_fields_has_no_command():
    record = demo.get_config().to_dict()
    del record["num_steps"]
    assert training_command(record, "run") == ""
