"""Pretrained nets on disk: round trip, digest, refusals."""

import json
import threading
import time

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import made
from vpt_gen.checkpoints import backbone
from vpt_gen.checkpoints.backbone import check_replaceable, load_net, save_net
from vpt_gen.errors import UserError
from vpt_gen.machine import lock
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.nets.vqgan import VQGAN

NET = MaskGIT(8, 3, 4, num_layers=1, hidden_size=8, num_heads=2, intermediate_size=16)


@pytest.fixture(scope="module")
def params():
    return made.new_params(NET, jnp.zeros((1, 4), jnp.int32))


@pytest.mark.slow
def test_round_trip(tmp_path, params):
    digest = save_net(tmp_path / "net", NET, params, {"class_names": ["a", "b", "c"]})
    loaded = load_net(tmp_path / "net", "maskgit")
    assert loaded.net == NET
    assert loaded.digest == digest
    assert loaded.about == {"class_names": ["a", "b", "c"]}
    chex.assert_trees_all_equal(loaded.params, params)


@pytest.mark.slow
def test_a_large_net_is_written_array_by_array(tmp_path, params, monkeypatch):
    digest = save_net(tmp_path / "net", NET, params, {})
    monkeypatch.setattr(backbone, "_LARGE", 1)
    assert save_net(tmp_path / "large", NET, params, {}) == digest
    assert (tmp_path / "net" / "params" / "manifest.ocdbt").exists()
    assert not (tmp_path / "large" / "params" / "manifest.ocdbt").exists()
    loaded = load_net(tmp_path / "large", "maskgit")
    assert loaded.digest == digest
    chex.assert_trees_all_equal(loaded.params, params)


def test_half_precision_on_disk_comes_back_as_float32(tmp_path, params):
    save_net(tmp_path / "net", NET, params, {}, jnp.float16)
    loaded = load_net(tmp_path / "net", "maskgit")
    chex.assert_trees_all_close(loaded.params, params, atol=1e-3)
    assert {x.dtype.name for x in jax.tree.leaves(loaded.params)} == {"float32"}


@pytest.mark.slow
def test_the_digest_sees_parameters_and_fields(tmp_path, params):
    first = save_net(tmp_path / "net", NET, params, {})
    changed = jax.tree.map(lambda x: x + 1e-3, params)
    assert save_net(tmp_path / "net", NET, changed, {}) != first
    assert save_net(tmp_path / "net", NET.clone(num_heads=4), params, {}) != first
    assert save_net(tmp_path / "net", NET, params, {"about": "does not count"}) == first


@pytest.mark.slow
def test_a_sequence_field_survives(tmp_path):
    net = VQGAN(32, (1, 1), 1, 8, 4)
    params = made.new_params(net, jnp.zeros((1, 4, 4, 3)))
    save_net(tmp_path / "net", net, params, {})
    loaded = load_net(tmp_path / "net", "vqgan")
    out, _, _ = loaded.net.apply({"params": loaded.params}, jnp.zeros((1, 4, 4, 3)))
    chex.assert_shape(out, (1, 4, 4, 3))


def test_damage_is_found(tmp_path, params):
    save_net(tmp_path / "net", NET, params, {})
    record = json.loads((tmp_path / "net" / "net.json").read_text())
    record["digest"] = "0" * 64
    (tmp_path / "net" / "net.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match="does not match its digest"):
        load_net(tmp_path / "net", "maskgit")


def test_wrong_places_are_named(tmp_path, params):
    save_net(tmp_path / "net", NET, params, {})
    with pytest.raises(UserError, match="holds a maskgit, but a vqgan"):
        load_net(tmp_path / "net", "vqgan")
    with pytest.raises(UserError, match="holds no pretrained vqgan"):
        load_net(tmp_path / "nowhere", "vqgan")


def test_who_writes_a_net_waits_for_another_that_writes_it(tmp_path, capsys):
    path = tmp_path / "net"
    thread = threading.Thread(target=save_net, args=(str(path), NET, {"w": np.zeros(3)}, {}))
    with lock.held(path, "path", beside=True):
        thread.start()
        while "Waiting for" not in capsys.readouterr().out:
            time.sleep(0.01)
        assert [file.name for file in tmp_path.iterdir()] == [".net.lock"]
    thread.join()
    assert [file.name for file in tmp_path.iterdir()] == ["net"]
    assert json.loads((path / "net.json").read_text())["kind"] == "maskgit"


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"kind": "maskgit"}', '{"kind": "m", "di', "[" * 100_000]
)
def test_a_folder_with_a_file_called_net_json_is_no_net_yet(tmp_path, content):
    (tmp_path / "net.json").write_text(content)
    with pytest.raises(UserError, match="net.json is damaged, or not the record of a net, so"):
        check_replaceable(tmp_path)


def test_what_lies_in_a_net_s_folder_is_not_lost_with_it(tmp_path):
    save_net(tmp_path / "net", NET, {"w": np.zeros(3)}, {})
    check_replaceable(tmp_path / "net")
    (tmp_path / "net" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="holds notes.txt in addition to a net, so it is not repl"):
        save_net(tmp_path / "net", NET, {"w": np.ones(3)}, {})
    assert (tmp_path / "net" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("most", [1, 100, 10**9])
def test_parameters_are_checked_in_parts_of_any_size(most, monkeypatch):
    monkeypatch.setattr(backbone, "_PART", most)
    sizes = {("a",): 60, ("b", "c"): 40, ("b", "d"): 500, ("e",): 1}
    parts = list(backbone._parts(sizes))
    assert [path for part in parts for path in part] == list(sizes)
    assert all(len(part) == 1 or sum(map(sizes.get, part)) <= most for part in parts)
    assert len(parts) == {1: 4, 100: 3, 10**9: 1}[most]
