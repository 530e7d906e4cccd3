"""The command line of `vpt_gen.convert`, on a small file in a published format."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import serialization

from vpt_gen import convert
from vpt_gen.checkpoints.backbone import load_net
from vpt_gen.checkpoints.released import layout
from vpt_gen.errors import UserError
from vpt_gen.nets.maskgit import MaskGIT

NET = MaskGIT(8, 3, 4, num_layers=1, hidden_size=8, num_heads=2, intermediate_size=16)


def write_net(folder):
    tokens = jnp.zeros((1, 4), jnp.int32)
    shapes = layout.param_shapes(NET, tokens, class_ids=tokens[:, 0])
    params = layout.nest({name: np.ones(shape, np.float32) for name, shape in shapes.items()})
    path = folder / "released"
    path.write_bytes(serialization.msgpack_serialize({"params": params}))
    return path


def test_a_published_file_becomes_a_net_that_says_where_it_came_from(tmp_path, capsys):
    source = write_net(tmp_path)
    overrides = convert.parse_overrides(["codebook_size=8"])
    output = str(tmp_path / "net")
    convert.convert("maskgit_transformer", source, output, overrides, "https://address")
    loaded = load_net(output, "maskgit")
    assert loaded.net == NET
    assert loaded.about == {
        "kind": "maskgit_transformer",
        "file": "released",
        "address": "https://address",
    }
    assert loaded.digest[:12] in capsys.readouterr().out


def test_nothing_is_written_where_reading_fails(tmp_path):
    source = write_net(tmp_path)
    source.write_bytes(source.read_bytes()[:-9])
    with pytest.raises(UserError, match="incomplete"):
        convert.convert("maskgit_transformer", source, str(tmp_path / "net"), {}, "")
    assert [path.name for path in tmp_path.iterdir()] == ["released"]


def test_settings_are_fields_and_numbers():
    assert convert.parse_overrides(["num_heads=4", "x=(1, 2)"]) == {"num_heads": 4, "x": (1, 2)}
    with pytest.raises(UserError, match="--set=num_heads must be"):
        convert.parse_overrides(["num_heads"])


def test_what_is_no_net_is_never_replaced(tmp_path):
    source = write_net(tmp_path)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("mine")
    for output in (mine, source, tmp_path):
        with pytest.raises(UserError, match="holds no net, so it is not replaced"):
            convert.convert("maskgit_transformer", source, str(output), {"codebook_size": 8}, "")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["mine", "notes.txt", "released"]
    (mine / "notes.txt").unlink()
    for _ in range(2):
        convert.convert("maskgit_transformer", source, str(mine), {"codebook_size": 8}, "")
    assert load_net(str(mine), "maskgit").net == NET
