"""Published formats: what is read, and that nothing else is, least of all code."""

import io
import json
import zipfile

import chex
import jax.numpy as jnp
import numpy as np
import pytest
from flax import serialization

from tests import golden, golden_ar, torch_files
from vpt_gen import nets
from vpt_gen.checkpoints import released
from vpt_gen.checkpoints.released import layout, taming_gpt, taming_vqgan, torch_file
from vpt_gen.errors import UserError
from vpt_gen.nets.gpt import GPT
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.nets.taming_vqgan import TamingVQGAN

AR = golden_ar.FOLDER


def write_torch(path, tensors, **rest):
    """A checkpoint of {name: array}, with whatever else `rest` holds."""
    shapes = {name: np.shape(values) for name, values in tensors.items()}
    return torch_files.write(path, shapes, tensors.__getitem__, **rest)


class Hostile:
    def __reduce__(self):
        return print, ("the pickle ran code",)


def test_tensors_of_a_torch_file(tmp_path):
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    path = write_torch(tmp_path / "a.ckpt", {"a": values, "b": np.float32(7)}, epoch=3)
    tensors = torch_file.tensors(path)
    assert set(tensors) == {"a", "b"}
    np.testing.assert_array_equal(tensors["a"].read(), values)
    assert tensors["b"].shape == ()


def test_code_in_a_pickle_is_not_run(tmp_path, capsys):
    path = write_torch(tmp_path / "a.ckpt", {"a": np.zeros(2)}, callbacks=Hostile())
    with pytest.raises(UserError, match=r"a\.ckpt cannot be read: it would run .*print"):
        torch_file.tensors(path)
    assert "ran code" not in capsys.readouterr().out


def test_a_class_that_is_only_named_does_no_harm(tmp_path):
    path = write_torch(tmp_path / "a.ckpt", {"a": np.zeros(2)}, callbacks={io.BytesIO: 1})
    assert set(torch_file.tensors(path)) == {"a"}


def test_cut_and_foreign_files_are_named(tmp_path):
    whole = write_torch(tmp_path / "a.ckpt", {"a": np.zeros(200)}).read_bytes()
    cut = tmp_path / "cut.ckpt"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"cut\.ckpt is no torch file, or an incomplete one"):
        torch_file.tensors(cut)
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("readme", "hello")
    with pytest.raises(UserError, match=r"no data\.pkl"):
        torch_file.tensors(other)


def test_a_tensor_beyond_its_storage_is_refused(tmp_path):
    path = write_torch(tmp_path / "a.ckpt", {"a": np.zeros(4)})
    tensor = torch_file.tensors(path)["a"]
    too_large = torch_file.TorchTensor((9,), tensor.dtype, tensor._storage, 0, (1,))
    with pytest.raises(UserError, match="reaches beyond its storage"):
        too_large.read()


@golden_ar.needed
def test_a_lightning_file_of_a_gpu():
    tensors = torch_file.tensors(AR / "pl_layout_small.ckpt")
    with np.load(AR / "pl_layout_small.npz") as expected:
        assert set(tensors) == set(expected)
        for name, values in expected.items():
            np.testing.assert_array_equal(tensors[name].read(), values)


# Whole nets.


def assert_same_fields(config, net):
    built = nets.build(config)
    assert type(built) is type(net)
    for name in config:
        if name != "net":
            assert getattr(built, name) == getattr(net, name), name


@golden_ar.needed
def test_taming_configs_come_from_the_tensors():
    params = golden_ar.manifest()["configs"]["vqgan"]["params"]
    net = golden_ar.vqgan()[0]
    described = params["ddconfig"]
    assert net.filters == described["ch"]
    assert net.channel_multipliers == tuple(described["ch_mult"])
    assert net.num_res_blocks == described["num_res_blocks"]
    assert net.latent_channels == described["z_channels"]
    assert (net.embedding_dim, net.codebook_size) == (params["embed_dim"], params["n_embed"])
    transformer = golden_ar.manifest()["configs"]["cin_transformer"]["params"]
    transformer = transformer["transformer_config"]["params"]
    net = golden_ar.gpt()[0]
    assert net.codebook_size == transformer["vocab_size"]
    assert net.num_positions == transformer["block_size"]
    assert net.num_layers == transformer["n_layer"]
    assert net.hidden_size == transformer["n_embd"]


@golden_ar.needed
def test_attention_of_a_config_is_compared():
    described = golden_ar.manifest()["configs"]["vqgan"]["params"]["ddconfig"]
    options = {key: described[key] for key in ("resolution", "attn_resolutions")}
    released.read("taming_vqgan", AR / "vqgan.ckpt", **options)
    with pytest.raises(UserError, match="has attention at resolutions"):
        released.read("taming_vqgan", AR / "vqgan.ckpt", resolution=32, attn_resolutions=[2])


@golden_ar.needed
def test_the_diffusers_port_is_the_same_net(tmp_path):
    folder = AR / "diffusers_vqmodel"
    config, params = released.read("diffusers_vqgan", folder)
    taming_config, taming_params = released.read("taming_vqgan", AR / "vqgan.ckpt")
    assert config.to_dict() == taming_config.to_dict()
    chex.assert_trees_all_close(params, taming_params)
    # Files written before diffusers 0.15, torch files among them, have other names of attention.
    key_map = json.loads((AR / "diffusers_key_map.json").read_text())["map"]
    tensors = torch_file.tensors(AR / "vqgan.ckpt")
    old = {
        entry.get("diffusers_legacy", entry["diffusers"]): tensors[name]
        .read()
        .reshape(entry["diffusers_shape"])
        for name, entry in key_map.items()
    }
    path = write_torch(tmp_path / "diffusion_pytorch_model.bin", old)
    chex.assert_trees_all_close(released.read("diffusers_vqgan", path.parent)[1], taming_params)


@golden_ar.needed
def test_published_sizes_are_understood():
    shapes = json.loads((AR / "real_size_keys.json").read_text())
    vqgan = {k: tuple(v[0]) for k, v in shapes["vqgan_imagenet_f16_16384"].items()}
    vqgan = {k: v for k, v in vqgan.items() if not k.startswith("loss.")}
    assert_same_fields({"net": "taming_vqgan", **taming_vqgan._fields(vqgan)}, TamingVQGAN())
    one = {k: tuple(v[0]) for k, v in shapes["cin_transformer.transformer"].items()}
    gpt = {
        k.removeprefix("transformer.").replace("blocks.0", f"blocks.{i}"): shape
        for k, shape in one.items()
        for i in range(GPT().num_layers)
    }
    assert_same_fields({"net": "gpt", **taming_gpt._fields(gpt, None)}, GPT())
    ids = jnp.zeros(1, jnp.int32)
    expected = layout.param_shapes(GPT(), ids[None], class_ids=ids)
    ours = {taming_gpt._our_name(k): v for k, v in gpt.items() if not k.endswith("attn.mask")}
    found = {k: taming_gpt._our_shape(k, v, GPT().num_heads) for k, v in ours.items()}
    assert found == expected
    count = sum(int(np.prod(shape)) for shape in found.values())
    assert count == shapes["cin_transformer.transformer_param_count"]


def test_maskgit_nets_come_back_as_they_are():
    for kind, file, (net, variables) in (
        ("maskgit_tokenizer", "tokenizer.msgpack", golden.vqgan()),
        ("maskgit_transformer", "transformer.msgpack", golden.maskgit()),
    ):
        overrides = {"codebook_size": net.codebook_size} if "transformer" in kind else {}
        config, params = released.read(kind, golden.FOLDER / file, **overrides)
        assert_same_fields(config, net)
        chex.assert_trees_all_equal(params, variables["params"])


@pytest.fixture
def maskgit_file(tmp_path):
    net = MaskGIT(8, 3, 4, num_layers=2, hidden_size=8, num_heads=2, intermediate_size=16)
    shapes = layout.param_shapes(
        net, jnp.zeros((1, 4), jnp.int32), class_ids=jnp.zeros(1, jnp.int32)
    )
    tensors = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}

    def write(**changes):
        path = tmp_path / "transformer_checkpoint"
        content = {"params": layout.nest({**tensors, **changes})}
        path.write_bytes(serialization.msgpack_serialize(content))
        return path

    return write


def test_what_is_missing_unknown_or_misshapen_is_listed_in_one_error(maskgit_file):
    path = maskgit_file(
        **{
            "TransformerLayer_1/Mlp_0/layer_output/kernel": np.zeros((3, 3), np.float32),
            "MlmLayer_0/extra": np.zeros(1, np.float32),
        }
    )
    with pytest.raises(UserError) as error:
        released.read("maskgit_transformer", path, codebook_size=8)
    message = str(error.value)
    assert "unknown MlmLayer_0/extra (1,)" in message
    assert "TransformerLayer_1/Mlp_0/layer_output/kernel has shape (3, 3), not (16, 8)" in message


def test_a_cut_file_and_one_of_another_kind_are_named(maskgit_file, tmp_path):
    path = maskgit_file()
    with pytest.raises(UserError, match="is no MaskGIT tokenizer"):
        released.read("maskgit_tokenizer", path)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(UserError, match="no Flax msgpack file, or an incomplete one"):
        released.read("maskgit_transformer", path)
    torch = write_torch(tmp_path / "a.ckpt", {"a": np.zeros(2)})
    for kind, message in (
        ("taming_vqgan", "no VQGAN of Taming"),
        ("taming_gpt", "no GPT of Taming"),
        ("maskgit_transformer", "no Flax msgpack file"),
        ("diffusers_vqgan", "no VQGAN of Taming"),
    ):
        with pytest.raises(UserError, match=message):
            released.read(kind, torch)
    fake = tmp_path / "a.safetensors"
    fake.write_bytes(b"no tensors")
    with pytest.raises(UserError, match="no safetensors file"):
        released.read("diffusers_vqgan", fake)


def test_wrong_names_and_numbers_are_errors(maskgit_file, tmp_path):
    path = maskgit_file()
    with pytest.raises(UserError, match="Kind 'dalle' is not known"):
        released.read("dalle", path)
    with pytest.raises(UserError, match="does not exist"):
        released.read("maskgit_transformer", tmp_path / "none")
    with pytest.raises(UserError, match="vocabulary of 12, too small for 1024"):
        released.read("maskgit_transformer", path)
    with pytest.raises(UserError, match="has no field 'heads'"):
        released.read("maskgit_transformer", path, codebook_size=8, heads=2)
    with pytest.raises(UserError, match="has num_layers 2, not 3"):
        released.read("maskgit_transformer", path, codebook_size=8, num_layers=3)
