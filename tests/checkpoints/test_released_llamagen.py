"""LlamaGen's published files and training checkpoints: what is read, and one error for the rest."""

import argparse
import math
import os
import types

import chex
import jax.numpy as jnp
import numpy as np
import pytest

from tests import golden_llamagen, torch_files
from vpt_gen import nets
from vpt_gen.checkpoints import released
from vpt_gen.checkpoints.released import layout, llamagen_gpt, llamagen_vqgan, taming_vqgan
from vpt_gen.checkpoints.released.published import BACKBONES, FILES
from vpt_gen.errors import UserError
from vpt_gen.nets.llamagen import LlamaGen
from vpt_gen.nets.llamagen_vqgan import LlamaGenVQGAN
from vpt_gen.tables.published_nets import published_net

NET = LlamaGen(
    7, num_classes=3, num_tokens=9, num_layers=2, hidden_size=8, num_heads=2, intermediate_size=12
)
OPTIONS = {"grid": 3, "num_heads": 2}


def shapes():
    """The state dict of `NET`."""
    found = {
        "cls_embedding.embedding_table.weight": (4, 8),
        "tok_embeddings.weight": (7, 8),
        "norm.weight": (8,),
        "output.weight": (7, 8),
    }
    for layer in ("layers.0", "layers.1"):
        found |= {
            f"{layer}.attention.wqkv.weight": (24, 8),
            f"{layer}.attention.wo.weight": (8, 8),
            f"{layer}.feed_forward.w1.weight": (12, 8),
            f"{layer}.feed_forward.w3.weight": (12, 8),
            f"{layer}.feed_forward.w2.weight": (8, 12),
            f"{layer}.attention_norm.weight": (8,),
            f"{layer}.ffn_norm.weight": (8,),
        }
    return found


def tensors(seed=0, dtype=np.float32):
    generator = np.random.default_rng(seed)
    return {name: generator.standard_normal(s).astype(dtype) for name, s in shapes().items()}


def write(path, sections, **rest):
    """Writes {section: {name: array}}, or {"": {name: array}} at the top, as torch does."""
    content, storages = dict(rest), []
    for section, arrays in sections.items():
        part = {}
        for name, values in arrays.items():
            key = str(len(storages))
            part[name] = torch_files.tensor(key, values.shape, values.dtype)
            storages.append((key, values.tobytes()))
        content.update({section: part} if section else part)
    return torch_files.write_archive(path, torch_files.pickled(content), storages)


def read(path, **options):
    return released.read("llamagen_gpt", path, **{**OPTIONS, **options})


class Hostile:
    def __reduce__(self):
        return os.system, ("touch the-namespace-ran",)


def test_matrices_are_where_they_belong(tmp_path):
    held = tensors()
    config, params = read(write(tmp_path / "a.pt", {"model": held}))
    assert nets.build(config) == NET
    block = params["block_1"]
    qkv = held["layers.1.attention.wqkv.weight"]
    for start, name in enumerate(("query", "key", "value")):
        # Head 1, channel 2 of each.
        row = qkv[8 * start + 1 * 4 + 2]
        np.testing.assert_array_equal(block["attention"][name]["kernel"][:, 1, 2], row)
    for ours, theirs in (("mlp_gate", "w1"), ("mlp_in", "w3"), ("mlp_out", "w2")):
        expected = held[f"layers.1.feed_forward.{theirs}.weight"].T
        np.testing.assert_array_equal(block[ours]["kernel"], expected)
    table = held["cls_embedding.embedding_table.weight"]
    np.testing.assert_array_equal(params["condition_embeddings"]["embedding"], table)


def test_every_layout_holds_the_same_net(tmp_path):
    whole = read(write(tmp_path / "a.pt", {"model": tensors()}))
    others = {
        "module": ({"module": tensors()}, {}),
        "fsdp": ({"": {**tensors(), "freqs_cis": np.zeros((10, 2, 2), np.float32)}}, {}),
        "training": (
            {"model": tensors(), "ema": tensors(1)},
            {
                "optimizer": {"state": {}, "param_groups": [{"lr": 1e-4, "betas": (0.9, 0.95)}]},
                "steps": 7,
                "args": argparse.Namespace(image_size=256, ema=True, paths=["a"]),
            },
        ),
    }
    for name, (sections, rest) in others.items():
        found = read(write(tmp_path / name, sections, **rest))
        assert found[0] == whole[0], name
        chex.assert_trees_all_equal(found[1], whole[1])


def test_bfloat16_is_read_as_float32(tmp_path):
    _, params = read(write(tmp_path / "a.pt", {"": tensors(dtype=jnp.bfloat16)}))
    expected = tensors(dtype=jnp.bfloat16)["output.weight"].astype(np.float32).T
    assert params["head"]["kernel"].dtype == np.float32
    np.testing.assert_array_equal(params["head"]["kernel"], expected)


def test_grouped_keys_are_recognized(tmp_path):
    held = tensors()
    for layer in range(2):
        name = f"layers.{layer}.attention.wqkv.weight"
        held[name] = held[name][:16]
    config, params = read(write(tmp_path / "a.pt", {"model": held}))
    assert config.num_key_heads == 1
    assert params["block_0"]["attention"]["value"]["kernel"].shape == (8, 1, 4)


@pytest.mark.parametrize(
    ("name", "side", "told"),
    [
        ("c2i_B_256.pt", 16, "taken as 16x16, as its name says 256 pixels; --set=grid=16 sets it"),
        ("c2i_XXL_384.pt", 24, "taken as 24x24, as its name says 384 pixels"),
        ("checkpoint.pt", 16, "taken as 16x16, for 256 pixels"),
        ("step_2000.pt", 16, "taken as 16x16, for 256 pixels"),
    ],
)
def test_the_grid_and_the_heads_that_were_taken_are_told(tmp_path, capfd, name, side, told):
    path = write(tmp_path / name, {"model": tensors()})
    config, _ = read(path, grid=None, num_heads=None)
    assert (config.num_tokens, config.num_heads) == (side * side, 1)
    output = "".join(capfd.readouterr())
    assert told in output
    assert "its heads (taken as 1 for the width 8; --set=num_heads=1 sets them)" in output
    read(path)
    assert "".join(capfd.readouterr()) == ""


def test_a_table_of_rotations_tells_the_grid(tmp_path, capfd):
    held = {**tensors(), "freqs_cis": np.zeros((10, 2, 2), np.float32)}
    config, _ = read(write(tmp_path / "a.pt", {"": held}), grid=None)
    assert config.num_tokens == 9
    assert "".join(capfd.readouterr()) == ""
    with pytest.raises(UserError, match=r"of 9 tokens \(freqs_cis\), not of 256: set grid to 3"):
        read(write(tmp_path / "c2i_B_256.pt", {"": held}), grid=None)
    held["freqs_cis"] = np.zeros((), np.float32)
    read(write(tmp_path / "b.pt", {"": held}))


def test_published_widths_have_their_heads():
    for width, heads in ((768, 12), (1024, 16), (1280, 20), (1536, 24), (3200, 32)):
        found = {
            "cls_embedding.embedding_table.weight": (1001, width),
            "tok_embeddings.weight": (16384, width),
            "layers.0.attention.wqkv.weight": (3 * width, width),
            "layers.0.feed_forward.w1.weight": (256, width),
        }
        fields, _ = llamagen_gpt._fields(types.SimpleNamespace(name="", stem=""), found, 16, None)
        assert (fields["num_heads"], fields["num_key_heads"]) == (heads, 0)


def changed(name, value):
    held = tensors()
    if value is None:
        del held[name]
    else:
        held[name] = np.zeros(value, np.float32)
    return held


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("layers.1.ffn_norm.bias", (8,), r"unknown layers\.1\.ffn_norm\.bias \(8,\)\.$"),
        ("layers.2.ffn_norm.weight", (8,), r"missing layers\.2\.attention\.wqkv\.weight \(24, 8\)"),
        ("norm.weight", None, r"missing norm\.weight \(8,\)\.$"),
        ("output.weight", (7, 9), r"output\.weight has shape \(7, 9\), not \(7, 8\)\.$"),
        ("layers.1.attention.wqkv.weight", (16, 8), r"wqkv\.weight has shape \(16, 8\), not"),
        ("layers.0.attention.wqkv.weight", (25, 8), r"wqkv\.weight has shape \(25, 8\), not"),
        ("layers.0.attention.wqkv.weight", (4, 8), "is not a transformer of LlamaGen"),
        ("layers.0.attention.wqkv.weight", None, "is not a transformer of LlamaGen: missing"),
        ("freqs_cis", (17, 2, 2), r"rotations of 16 tokens \(freqs_cis\), not of 9: set grid to 4"),
    ],
)
def test_tensors_of_another_net_are_one_error(tmp_path, name, shape, message):
    with pytest.raises(UserError, match=message):
        read(write(tmp_path / "a.pt", {"model": changed(name, shape)}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grid": 0}, "grid must be a whole number from 1"),
        ({"grid": "16"}, "grid must be a whole number from 1"),
        ({"num_heads": 3}, "width 8, which does not give 3 heads a multiple of 4: set num_heads"),
        ({"side": 3}, "llamagen_gpt has no field 'side'"),
        ({"num_tokens": 10}, "has num_tokens 9, not 10"),
    ],
)
def test_options_that_do_not_fit_are_one_error(tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        read(write(tmp_path / "a.pt", {"model": tensors()}), **options)


def test_arguments_that_would_run_code_are_not_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = argparse.Namespace(image_size=256, hook=Hostile())
    path = write(tmp_path / "a.pt", {"model": tensors()}, args=arguments)
    with pytest.raises(UserError, match=r"a\.pt cannot be read: it would run \w+\.system;"):
        read(path)
    assert not (tmp_path / "the-namespace-ran").exists()


def test_files_that_are_cut_or_hold_no_net_are_one_error(tmp_path):
    path = write(tmp_path / "a.pt", {"model": tensors()})
    content = path.read_bytes()
    for share in (0.3, 0.9):
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(UserError, match="is not a torch file, or is incomplete"):
            read(path)
    path = write(tmp_path / "b.pt", {"ema": tensors()}, args=argparse.Namespace(seed=1))
    with pytest.raises(UserError, match="holds no named tensors"):
        read(path)


def vqgan_shapes(net):
    """The names and shapes that the reader gives a tokenizer's file."""
    levels = len(net.channel_multipliers)
    ours = layout.param_shapes(net, layout.image_batch(net.downsampling))

    def name_module(path):
        return llamagen_vqgan.module_name(path, levels)

    return {
        taming_vqgan._tensor_name(name, name_module): taming_vqgan._torch_shape(shape, False)
        for name, shape in ours.items()
    }


@pytest.mark.slow
@golden_llamagen.needed
def test_published_sizes_are_understood():
    known = golden_llamagen.json("real_size_keys.json")
    multipliers = {"vq_ds16_c2i.pt": (1, 1, 2, 2, 4), "vq_ds8_c2i.pt": (1, 2, 2, 4)}
    for name, of_levels in multipliers.items():
        net = LlamaGenVQGAN(channel_multipliers=of_levels, attention_levels=(len(of_levels) - 1,))
        found = {n: tuple(s) for n, s in known["tokenizers"][name].items()}
        found.pop("quantize.codebook_used", None)
        assert vqgan_shapes(net) == found
    for name, described in known["transformers"].items():
        found = {
            n.replace("{i}", str(i)): tuple(shape)
            for n, shape in described["tensors"].items()
            for i in range(described["layers"] if "{i}" in n else 1)
        }
        fields, _ = llamagen_gpt._fields(golden_llamagen.FOLDER / "c2i_256.pt", found, None, None)
        ours = layout.param_shapes(
            LlamaGen(**fields), layout.token_batch(1, 1), class_ids=layout.token_batch(1)
        )
        assert llamagen_gpt.file_shapes(ours) == found, name


@pytest.mark.slow
@golden_llamagen.needed
def test_published_entries_are_what_the_publishers_state():
    table = golden_llamagen.json("published_files.json")
    entries = {entry.file: (name, entry) for name, entry in FILES.items()}
    for known in (*table["tokenizers"], *table["transformers"]):
        if "t2i" in known["file"]:  # Of models of text.
            continue
        name, entry = entries[known["file"]]
        assert (entry.address, entry.license) == (known["address"], known["licence"])
        assert round(known["bytes_if_only_float32_weights"] / 1e6) == entry.megabytes
        net = published_net(name)
        if "grid" not in known:
            found = layout.param_shapes(net, layout.image_batch(net.downsampling))
            assert net.downsampling == known["downsample"]
        else:
            assert net.num_tokens == known["grid"] ** 2
            tokens = layout.token_batch(1, 1)
            found = layout.param_shapes(net, tokens, class_ids=layout.token_batch(1))
            (backbone,) = (pair for pair in BACKBONES.values() if pair.transformer == name)
            assert backbone.fid.startswith(str(known["fid_reported"]))
            assert backbone.image_size == known["image"]
            stated = known["sampler_of_that_fid"].partition("cfg scale ")[2]
            guidance = backbone.settings["decode.guidance"]
            assert not stated or float(stated) == pytest.approx(1.0 + guidance)
            assert bool(stated) == ("guidance" in backbone.fid)
        assert sum(math.prod(shape) for shape in found.values()) == known["parameters"]
