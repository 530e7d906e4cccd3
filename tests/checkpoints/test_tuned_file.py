"""A file of what runs trained: whole, or refused with one sentence."""

import json
import struct

import numpy as np
import pytest
import safetensors.numpy

from tests import damage
from vpt_gen.checkpoints import tuned_file
from vpt_gen.checkpoints.tuned_file import StoredRun
from vpt_gen.errors import UserError

NETS = {"transformer": {"path": "weights/a", "digest": "d" * 64, "license": "MIT"}}


def make_run(**changed):
    config = {
        "task": "prompts",
        "data": {"path": "/home/me/cats", "cache_dir": "", "image_size": 32},
        "backbone": {"transformer": "/data/nets/halton", "tokenizer": "weights/vqgan"},
        "evaluation": {"tokenizer": "/home/me/yardstick", "weights_dir": "/home/me/weights"},
    }
    params = {"table": {"embedding": np.arange(6, dtype=np.float32).reshape(2, 3)}}
    run = StoredRun("run", config, {"class_names": ["a", "b"]}, 7, params, NETS)
    return StoredRun(**{**run.__dict__, **changed})


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "tuned.safetensors"
    path.write_bytes(tuned_file.serialized([make_run()]))
    return path


def edit(path, change):
    """Rewrites the record, and nothing else."""
    with safetensors.safe_open(path, framework="numpy") as file:
        record = json.loads(file.metadata()["vpt_gen"])
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(record, arrays)
    path.write_bytes(safetensors.numpy.save(arrays, {"vpt_gen": json.dumps(record)}))


def test_runs_come_back(tmp_path):
    path = tmp_path / "two.safetensors"
    other = make_run(step=9, params={"x": np.ones((2, 2), np.float32), "y": np.float32(3.0)})
    path.write_bytes(tuned_file.serialized([make_run(), other]))
    first, second = tuned_file.read(path)
    assert (first.step, second.step) == (7, 9)
    assert first.facts == {"class_names": ["a", "b"]}
    assert first.nets == NETS
    np.testing.assert_array_equal(
        first.params["table"]["embedding"], make_run().params["table"]["embedding"]
    )
    np.testing.assert_array_equal(second.params["x"], np.ones((2, 2)))
    assert second.params["y"].shape == () and second.params["y"] == 3.0


def test_folders_of_the_author_do_not_travel(path):
    config = tuned_file.read(path)[0].config
    assert config["data"]["path"] == "cats"
    assert config["backbone"] == {"transformer": "halton", "tokenizer": "weights/vqgan"}
    assert config["evaluation"] == {"tokenizer": "yardstick", "weights_dir": "weights"}
    assert b"/home/me" not in path.read_bytes()
    assert [tuned_file.shareable(x) for x in ("~/a/b", "../a", "a/b", "")] == ["b", "a", "a/b", ""]


def test_the_same_runs_are_the_same_bytes():
    assert tuned_file.serialized([make_run()]) == tuned_file.serialized([make_run()])


def grown(content):
    """The header says that the array is a terabyte."""
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + size])
    header["0/table/embedding"] |= {"shape": [2**38], "data_offsets": [0, 2**40]}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content[8 + size :]


KINDS = {
    **damage.ANY,
    "a bit": lambda content: content[:-3] + bytes([content[-3] ^ 1]) + content[-2:],
    "a longer header": lambda content: struct.pack("<Q", 2**62) + content[8:],
    "larger arrays": grown,
    "text": lambda content: b"[" * 100_000,
    "a pickle": lambda content: b"\x80\x04K\x01.",
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_named(path, kind):
    damage.apply(path, KINDS[kind])
    with pytest.raises(UserError) as error:
        tuned_file.read(path)
    damage.assert_sentence(error, f"{path} is damaged (", "get an intact copy")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda record, arrays: record.clear(), "without version"),
        (lambda record, arrays: record.update(runs=[]), "without runs"),
        (lambda record, arrays: record.update(runs=[3]), "a number instead of an object"),
        (lambda record, arrays: record.update(version=2), "of format 2"),
        (lambda record, arrays: record["runs"][0].pop("config"), "without config"),
        (lambda record, arrays: record["runs"][0].update(step="7"), "step is text"),
        (lambda record, arrays: record["runs"][0].update(facts={}), "without facts.class_names"),
        (
            lambda record, arrays: record["runs"][0].update(facts={"class_names": [1]}),
            "class_names are not texts",
        ),
        (lambda record, arrays: record["runs"][0].update(nets={"a": 1}), "instead of an object"),
        (lambda record, arrays: arrays.clear(), "does not match its digest"),
        (
            lambda record, arrays: arrays.update({"0/table": np.ones(1, np.float32)}),
            "an array has the name of a group",
        ),
        (
            lambda record, arrays: arrays.update({"0/more": np.ones(1, np.float32)}),
            "does not match its digest",
        ),
        (
            lambda record, arrays: arrays.update({"0/more": np.ones(1, np.int64)}),
            "0/more is of the type I64 instead of F32",
        ),
    ],
)
def test_a_record_that_cannot_be_is_named(path, change, fault):
    edit(path, change)
    with pytest.raises(UserError) as error:
        tuned_file.read(path)
    damage.assert_sentence(error, f"{path} is damaged (", fault)


@pytest.mark.parametrize("kind", damage.JSON)
def test_a_damaged_record_is_named(path, kind):
    content = damage.JSON[kind](b'{"version": 1}').decode(errors="ignore")
    path.write_bytes(safetensors.numpy.save({}, {"vpt_gen": content}))
    with pytest.raises(UserError) as error:
        tuned_file.read(path)
    damage.assert_sentence(error, f"{path} is damaged (")


def test_numbers_that_are_not_finite_are_refused(path):
    nan = {"x": np.full(2, np.nan, np.float32)}
    path.write_bytes(tuned_file.serialized([make_run(params=nan)]))
    with pytest.raises(UserError, match="x is not finite"):
        tuned_file.read(path)


def test_files_of_others_are_refused(tmp_path):
    path = tmp_path / "lora.safetensors"
    path.write_bytes(safetensors.numpy.save({"a": np.ones(2, np.float32)}))
    with pytest.raises(UserError, match="it has no record of vpt_gen"):
        tuned_file.read(path)
    with pytest.raises(UserError, match="none.safetensors is missing; check the path"):
        tuned_file.read(tmp_path / "none.safetensors")
