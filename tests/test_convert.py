"""The command line of `vpt_gen.convert`, on small files in the published formats."""

import os
import shutil

import chex
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax import serialization

from tests import golden, golden_ar, torch_files
from tests.programs import call
from vpt_gen import cli, convert, nets
from vpt_gen.checkpoints import released
from vpt_gen.checkpoints.backbone import load_net
from vpt_gen.checkpoints.released import layout, published, torch_file
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


ORIGIN = {"address": "https://address", "license": "MIT"}


@pytest.mark.slow
def test_a_published_file_becomes_a_net_that_says_where_it_came_from(tmp_path, capsys):
    source = write_net(tmp_path)
    overrides = convert.parse_overrides(["codebook_size=8"])
    output = str(tmp_path / "net")
    convert.convert("maskgit_transformer", source, output, overrides, ORIGIN)
    loaded = load_net(output, "maskgit")
    assert loaded.net == NET
    assert loaded.about == {
        "kind": "maskgit_transformer",
        "file": "released",
        **ORIGIN,
    }
    assert loaded.digest[:12] in capsys.readouterr().out


def test_nothing_is_written_where_reading_fails(tmp_path):
    source = write_net(tmp_path)
    source.write_bytes(source.read_bytes()[:-9])
    with pytest.raises(UserError, match="incomplete"):
        convert.convert("maskgit_transformer", source, str(tmp_path / "net"), {}, {})
    assert [path.name for path in tmp_path.iterdir()] == ["released"]


def test_settings_are_fields_and_numbers():
    assert convert.parse_overrides(["num_heads=4", "x=(1, 2)"]) == {"num_heads": 4, "x": (1, 2)}
    with pytest.raises(UserError, match="--set=num_heads must be"):
        convert.parse_overrides(["num_heads"])


def test_a_pair_is_converted_by_one_command(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(convert.published, "obtain", lambda name, folder: f"{folder}/{name}.file")
    monkeypatch.setattr(convert, "convert", lambda *given: made.append(given))
    call(convert, "--name=taming256", f"--weights_dir={tmp_path}")
    assert made == [
        (kind, f"{tmp_path}/{name}.file", f"{tmp_path}/{name}", {}, published.FILES[name].origin)
        for kind, name in (
            ("taming_vqgan", "taming_cin_tokenizer"),
            ("taming_gpt", "taming_cin_transformer"),
        )
    ]
    with pytest.raises(UserError, match="is two files, taming_cin_tokenizer and taming_cin_trans"):
        call(convert, "--name=taming256", "--output=x")


@pytest.mark.slow
def test_what_is_no_net_is_never_replaced(tmp_path):
    source = write_net(tmp_path)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("mine")
    for output in (mine, source, tmp_path):
        with pytest.raises(UserError, match="holds no net, so it is not replaced"):
            convert.convert("maskgit_transformer", source, str(output), {"codebook_size": 8}, {})
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["mine", "notes.txt", "released"]
    (mine / "notes.txt").unlink()
    for _ in range(2):
        convert.convert("maskgit_transformer", source, str(mine), {"codebook_size": 8}, {})
    assert load_net(str(mine), "maskgit").net == NET


# Every kind, with every fault that a file can have.

FILES = {
    "maskgit_tokenizer": golden.FOLDER / "tokenizer.msgpack",
    "maskgit_transformer": golden.FOLDER / "transformer.msgpack",
    "taming_vqgan": golden_ar.FOLDER / "vqgan.ckpt",
    "taming_gpt": golden_ar.FOLDER / "cin_transformer.ckpt",
    "diffusers_vqgan": golden_ar.FOLDER
    / "diffusers_vqmodel"
    / "diffusion_pytorch_model.safetensors",
}
# A tensor of each kind that is not one of those which tell the architecture.
TENSORS = {
    "maskgit_tokenizer": "encoder/GroupNorm_0/scale",
    "maskgit_transformer": "MlmLayer_0/mlm_ln/scale",
    "taming_vqgan": "encoder.norm_out.weight",
    "taming_gpt": "transformer.ln_f.weight",
    "diffusers_vqgan": "encoder.conv_norm_out.weight",
}
TORCH_KINDS = ("taming_vqgan", "taming_gpt", "diffusers_vqgan")


class Hostile:
    """Pickled as a call; `os.system` itself, which the reader would have to be tricked into."""

    def __reduce__(self):
        return os.system, ("touch ran",)


def overrides(kind):
    if kind == "maskgit_transformer":
        return {"codebook_size": golden.checkpoint_config("transformer.msgpack")["codebook_size"]}
    return {"num_heads": golden_ar.num_heads()} if kind == "taming_gpt" else {}


def tensors_of(kind):
    """Names and arrays of a kind's golden file, as they stand in it."""
    if kind.startswith("maskgit"):
        content = serialization.msgpack_restore(FILES[kind].read_bytes())
        return golden.flat(content["params"])
    if kind == "diffusers_vqgan":
        return safetensors.numpy.load_file(FILES[kind])
    return {name: x.read() for name, x in torch_file.tensors(FILES[kind]).items()}


def write_tensors(kind, path, tensors):
    if kind.startswith("maskgit"):
        content = {"params": layout.nest({n: np.asarray(x) for n, x in tensors.items()})}
        path.write_bytes(serialization.msgpack_serialize(content))
    elif kind == "diffusers_vqgan":
        safetensors.numpy.save_file({n: np.ascontiguousarray(x) for n, x in tensors.items()}, path)
    else:
        torch_files.write_arrays(path, tensors)


def refused(kind, source, folder, message, **more):
    """Converts; asserts that there is one sentence that matches, and nothing beside the source."""
    before = sorted(path.name for path in folder.rglob("*"))
    with pytest.raises(UserError, match=message) as error:
        convert.convert(kind, source, str(folder / "net"), {**overrides(kind), **more}, {})
    text = str(error.value)
    assert "\n" not in text and text.endswith(".") and str(source) in text
    assert sorted(path.name for path in folder.rglob("*")) == before


@pytest.fixture(params=FILES)
def kind(request):
    if not FILES[request.param].exists():
        pytest.skip("no golden folder")
    return request.param


@pytest.mark.slow
def test_every_kind_is_converted(kind, tmp_path):
    convert.convert(kind, FILES[kind], str(tmp_path / "net"), overrides(kind), {})
    config, params = released.read(kind, FILES[kind], **overrides(kind))
    loaded = load_net(str(tmp_path / "net"), config.net)
    assert loaded.net == nets.build(config)
    chex.assert_trees_all_equal(loaded.params, params)


def test_a_file_cut_anywhere_is_refused(kind, tmp_path):
    whole = FILES[kind].read_bytes()
    source = tmp_path / f"cut{FILES[kind].suffix}"
    for share in (0.0, 0.001, 0.5, 0.999):
        source.write_bytes(whole[: int(len(whole) * share)])
        refused(kind, source, tmp_path, "is incomplete|cut short|is damaged")


def test_a_file_of_any_other_kind_is_refused(kind, tmp_path):
    for other, file in FILES.items():
        # A transformer's file of Taming Transformers holds its tokenizer too.
        if other != kind and (kind, other) != ("taming_vqgan", "taming_gpt"):
            source = tmp_path / f"other{file.suffix}"
            shutil.copy(file, source)
            refused(kind, source, tmp_path, "is not a |cannot be read: it is a safetensors file")


@pytest.mark.slow
def test_missing_unknown_and_misshapen_tensors_are_named(kind, tmp_path):
    tensors, name = tensors_of(kind), TENSORS[kind]
    source = tmp_path / f"changed{FILES[kind].suffix}"
    unknown = name.replace("norm", "mystery").replace("Norm", "Mystery").replace("ln", "mystery")
    for changed, message in (
        ({n: x for n, x in tensors.items() if n != name}, f"missing {name}"),
        ({**tensors, name: tensors[name][:-1]}, f"{name} has shape"),
        ({**tensors, unknown: tensors[name]}, f"unknown {unknown}"),
    ):
        write_tensors(kind, source, changed)
        refused(kind, source, tmp_path, message)


@pytest.mark.slow
def test_wrong_numbers_for_what_the_file_cannot_tell_are_refused(tmp_path):
    for kind, wrong, message in (
        ("taming_gpt", {"num_heads": 7}, "7 heads cannot share"),
        ("maskgit_transformer", {"codebook_size": 10**6}, "too small for 1000000"),
        ("taming_vqgan", {"resolution": 32, "attn_resolutions": [16]}, "has attention at"),
        ("diffusers_vqgan", {"resolution": 32, "attn_resolutions": [16]}, "has attention at"),
    ):
        if FILES[kind].exists():
            refused(kind, FILES[kind], tmp_path, message, **wrong)


@pytest.mark.parametrize("kind", TORCH_KINDS)
def test_a_pickle_that_would_run_code_is_one_sentence_of_the_program(kind, tmp_path, capsys):
    source = torch_files.write_arrays(tmp_path / "a.ckpt", {"a": np.zeros(2)}, callbacks=Hostile())
    refused(kind, source, tmp_path, "it would run .*system; weights need no code")
    given = (f"--kind={kind}", f"--file={source}", f"--weights_dir={tmp_path}")
    assert cli.exit_code(lambda: call(convert, *given)) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.ckpt"]
