"""Shipping: what is read and written besides the nets."""

import dataclasses
import json
import pathlib

import jax
import numpy as np
import pytest

from tests.programs import call
from vpt_gen.checkpoints import origins
from vpt_gen.checkpoints.backbone import load_net
from vpt_gen.errors import UserError
from vpt_gen.packing import ship


def test_the_record_of_packed_data_is_read(tmp_path):
    path = tmp_path / "data.npz"
    np.savez_compressed(path, record=json.dumps({"archives": {}}))
    assert ship.read_record(path) == {"archives": {}}


@pytest.mark.parametrize(
    "arrays", [{"images": np.zeros(3)}, {"record": "{"}, {"record": "3"}, None]
)
def test_other_data_are_one_sentence(tmp_path, arrays):
    path = tmp_path / "data.npz"
    path.write_bytes(b"PK")
    if arrays is not None:
        np.savez(path, **arrays)
    with pytest.raises(
        UserError, match=r"data\.npz is not packed data, or is damaged \(.*again\.$"
    ):
        ship.read_record(path)


@pytest.mark.parametrize("family", ship.FAMILIES)
def test_a_net_ships_from_the_run_of_its_config(family):
    runs = ship.FAMILIES[family].runs
    assert {*runs.values()} <= origins.PRETRAINED.keys()
    assets = pathlib.Path(ship.__file__).parents[1] / "assets" / family
    assert {path.parent.name for path in assets.glob("*/net.json")} <= runs.keys()


def test_a_net_of_another_family_is_named(tmp_path):
    words = ["--family=demo", "--net=features", f"--output={tmp_path}"]
    with pytest.raises(UserError, match="The family 'demo' has no features; --net must be one of"):
        call(ship, *words, needs_config=False)


def test_a_tokenizer_keeps_its_tokens_if_half_precision_changes_its_decoder_alone(tiny_nets):
    tokenizer = load_net(str(tiny_nets / "vqgan"), "vqgan")
    halves = jax.tree.map(lambda x: np.float32(np.float16(x)), tokenizer.params)
    for params, kept in (
        (tokenizer.params, False),
        (halves, True),
        ({**halves, "decoder": tokenizer.params["decoder"]}, True),
        ({**halves, "quantizer": tokenizer.params["quantizer"]}, False),
    ):
        assert ship.keeps_tokens(dataclasses.replace(tokenizer, params=params)) == kept


def test_curves_that_cannot_be_written_whole_leave_the_older_ones(tmp_path, monkeypatch):
    figure = pytest.importorskip("matplotlib.figure")
    path = tmp_path / "curves.png"
    ship.draw_curves({"loss": ([1, 2], [0.5, 0.4])}, path)
    whole = path.read_bytes()

    def fail(self, file, **unused_options):
        with open(file, "wb") if isinstance(file, type(path)) else file as out:
            out.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(figure.Figure, "savefig", fail)
    with pytest.raises(KeyboardInterrupt):
        ship.draw_curves({"loss": ([1, 2], [0.5, 0.4])}, path)
    assert path.read_bytes() == whole
    assert [file.name for file in tmp_path.iterdir()] == ["curves.png"]
