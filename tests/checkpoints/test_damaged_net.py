"""Net directories, damaged in every simple way: one sentence with the cure, and no other output."""

import json
import shutil

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import damage
from vpt_gen.checkpoints.backbone import load_net, save_net
from vpt_gen.errors import UserError
from vpt_gen.machine import sharding
from vpt_gen.nets.maskgit import MaskGIT

NET = MaskGIT(8, 3, 4, num_layers=1, hidden_size=64, num_heads=2, intermediate_size=64)
CURE = "; delete the directory and make the net again, or use an intact copy."


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nets") / "net"
    shapes = jax.eval_shape(NET.init, jax.random.key(0), jnp.zeros((1, 4), jnp.int32))["params"]
    draw = np.random.default_rng(0).standard_normal
    params = jax.tree.map(lambda x: draw(x.shape).astype(np.float32), shapes)
    save_net(folder, NET, params, {"class_names": ["a"]})
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "net")


def edit(folder, change):
    """Changes the record, as a version that writes no checksum would have written it."""
    path = folder / "net.json"
    record = json.loads(path.read_text())
    del record["checksum"]
    change(record)
    path.write_text(json.dumps(record))


def refused(folder, capfd, *parts, mesh=None):
    capfd.readouterr()
    with pytest.raises(UserError) as error:
        load_net(str(folder), "maskgit", "gpt", mesh=mesh)
    damage.assert_sentence(error, str(folder), *parts)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", damage.JSON)
def test_a_damaged_record_is_named(folder, kind, capfd):
    damage.apply(folder / "net.json", damage.JSON[kind])
    refused(folder, capfd, "net.json is damaged (", CURE)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda record: record.pop("kind"), "without kind"),
        (lambda record: record.pop("digest"), "without digest"),
        (lambda record: record.update(fields=[]), "fields is a list"),
        (lambda record: record["fields"].update(color=1), "it describes no maskgit: "),
        (lambda record: record["fields"].pop("num_classes"), "it does not match its digest"),
        (lambda record: record.update(kind="gpt"), "it describes no gpt: "),
        (lambda record: record["fields"].update(num_heads=4), "it does not match its digest"),
        (lambda record: record.update(digest="0" * 64), "it does not match its digest"),
    ],
)
def test_a_record_of_no_net_is_named(folder, change, fault, capfd):
    edit(folder, change)
    refused(folder, capfd, f"is damaged ({fault}", CURE)


def test_kind_and_origin_belong_to_the_checksum(folder, capfd):
    path = folder / "net.json"
    whole = path.read_text()
    for old, new in (('"maskgit"', '"gpt"'), ('"class_names"', '"class_namer"')):
        assert old in whole
        path.write_text(whole.replace(old, new))
        refused(folder, capfd, "it does not match its digest", CURE)


def test_no_flipped_bit_of_a_record_is_read(folder):
    path = folder / "net.json"
    whole = path.read_bytes()
    for bit in range(0, 8 * len(whole), 61):
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        # A key that is no longer "checksum" makes a record of an older version.
        if b'"checksum"' in content:
            with pytest.raises(UserError):
                load_net(str(folder), "maskgit")


def test_a_record_of_an_older_version_is_read(whole, folder):
    edit(folder, lambda record: None)
    old, new = (load_net(str(path), "maskgit") for path in (folder, whole))
    assert (old.digest, old.about) == (new.digest, new.about)
    chex.assert_trees_all_equal(old.params, new.params)


def test_lost_parameters_are_named(folder, capfd):
    shutil.rmtree(folder / "params")
    for mesh in (None, sharding.make_mesh(jax.devices()[:1])):
        refused(folder, capfd, "is damaged (params/ is missing or damaged)", CURE, mesh=mesh)


@pytest.mark.parametrize("mesh", [False, True], ids=["host", "mesh"])
@pytest.mark.parametrize("kind", ["empty", "cut", "a bit"])
def test_a_damaged_largest_file_is_named(folder, kind, mesh, capfd):
    files = [folder / name for name in damage.files_of(folder)]
    largest = max(files, key=lambda path: path.stat().st_size)
    damage.apply(largest, {**damage.ANY, "a bit": damage.flip}[kind])
    mesh = sharding.make_mesh(jax.devices()[:1]) if mesh else None
    refused(folder, capfd, "is damaged (", CURE, mesh=mesh)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["missing", "empty", "cut", "a bit"])
def test_whatever_file_is_damaged_no_other_parameters_are_read(whole, tmp_path, kind, capfd):
    expected = load_net(str(whole), "maskgit").params
    for number, name in enumerate(damage.files_of(whole / "params")):
        folder = shutil.copytree(whole, tmp_path / str(number))
        if kind == "missing":
            (folder / "params" / name).unlink()
        else:
            change = {**damage.ANY, "a bit": damage.flip}[kind]
            damage.apply(folder / "params" / name, change)
        capfd.readouterr()
        try:
            chex.assert_trees_all_equal(load_net(str(folder), "maskgit").params, expected)
        except UserError as error:
            assert CURE in str(error)
        assert capfd.readouterr() == ("", "")
