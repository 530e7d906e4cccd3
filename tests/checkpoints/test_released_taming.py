"""The published files of Taming Transformers, and of diffusers' port of its VQGAN."""

import json
import struct

import chex
import jax.numpy as jnp
import numpy as np
import pytest

from tests import golden_ar
from tests.torch_files import write_arrays
from vpt_gen import nets
from vpt_gen.checkpoints import released
from vpt_gen.checkpoints.released import (
    layout,
    taming_gpt,
    taming_vqgan,
    torch_file,
)
from vpt_gen.errors import UserError
from vpt_gen.nets.gpt import GPT
from vpt_gen.nets.taming_vqgan import TamingVQGAN

VQGAN_NET = TamingVQGAN(32, (1, 2), 1, (1,), latent_channels=6, embedding_dim=5, codebook_size=7)
GPT_NET = GPT(7, num_positions=16, num_layers=2, hidden_size=8, num_heads=2, intermediate_size=12)
HEADS = {"num_heads": 2}


class Shapes(dict):
    """Names and shapes of a state dict, as PyTorch's modules give them."""

    def vector_pair(self, name, size):
        self.update({f"{name}.weight": (size,), f"{name}.bias": (size,)})

    def linear(self, name, inputs, outputs):
        self.update({f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)})

    def conv(self, name, inputs, outputs, width=3):
        self.update({f"{name}.weight": (outputs, inputs, width, width), f"{name}.bias": (outputs,)})

    def block(self, name, inputs, outputs):
        self.vector_pair(f"{name}.norm1", inputs)
        self.conv(f"{name}.conv1", inputs, outputs)
        self.vector_pair(f"{name}.norm2", outputs)
        self.conv(f"{name}.conv2", outputs, outputs)
        if inputs != outputs:
            self.conv(f"{name}.nin_shortcut", inputs, outputs, 1)

    def attention(self, name, channels):
        self.vector_pair(f"{name}.norm", channels)
        for part in ("q", "k", "v", "proj_out"):
            self.conv(f"{name}.{part}", channels, channels, 1)

    def middle(self, name):
        self.block(f"{name}.mid.block_1", 64, 64)
        self.attention(f"{name}.mid.attn_1", 64)
        self.block(f"{name}.mid.block_2", 64, 64)


def vqgan_shapes():
    """The state dict of `VQGAN_NET`."""
    shapes = Shapes({"quantize.embedding.weight": (7, 5)})
    shapes.conv("encoder.conv_in", 3, 32)
    shapes.block("encoder.down.0.block.0", 32, 32)
    shapes.conv("encoder.down.0.downsample.conv", 32, 32)
    shapes.block("encoder.down.1.block.0", 32, 64)
    shapes.attention("encoder.down.1.attn.0", 64)
    shapes.middle("encoder")
    shapes.vector_pair("encoder.norm_out", 64)
    shapes.conv("encoder.conv_out", 64, 6)
    shapes.conv("quant_conv", 6, 5, 1)
    shapes.conv("post_quant_conv", 5, 6, 1)
    shapes.conv("decoder.conv_in", 6, 64)
    shapes.middle("decoder")
    for number in range(2):
        shapes.block(f"decoder.up.1.block.{number}", 64, 64)
        shapes.attention(f"decoder.up.1.attn.{number}", 64)
        shapes.block(f"decoder.up.0.block.{number}", 32 if number else 64, 32)
    shapes.conv("decoder.up.1.upsample.conv", 64, 64)
    shapes.vector_pair("decoder.norm_out", 32)
    shapes.conv("decoder.conv_out", 32, 3)
    return shapes


def gpt_shapes():
    """The state dict of `GPT_NET`."""
    shapes = Shapes({"tok_emb.weight": (7, 8), "pos_emb": (1, 16, 8), "head.weight": (7, 8)})
    shapes.vector_pair("ln_f", 8)
    for block in ("blocks.0", "blocks.1"):
        shapes.vector_pair(f"{block}.ln1", 8)
        shapes.vector_pair(f"{block}.ln2", 8)
        for part in ("key", "query", "value", "proj"):
            shapes.linear(f"{block}.attn.{part}", 8, 8)
        shapes.linear(f"{block}.mlp.0", 8, 12)
        shapes.linear(f"{block}.mlp.2", 12, 8)
        shapes[f"{block}.attn.mask"] = (1, 1, 16, 16)
    return {f"transformer.{name}": shape for name, shape in shapes.items()}


def random_tensors(shapes):
    generator = np.random.default_rng(0)
    tensors = {name: generator.standard_normal(s, np.float32) for name, s in shapes.items()}
    masks = {name: np.tri(16)[None, None] for name in shapes if name.endswith("attn.mask")}
    return {**tensors, **masks}


VQGAN_TENSORS = random_tensors(vqgan_shapes())
GPT_TENSORS = random_tensors(gpt_shapes())
TENSORS = {"taming_vqgan": VQGAN_TENSORS, "taming_gpt": GPT_TENSORS}


def read(kind, path, changes=None, **options):
    """Reads a file of the kind's net, where tensors are changed, added or (None) left out."""
    tensors = {**TENSORS[kind], **(changes or {})}
    write_arrays(path / "a.ckpt", {n: value for n, value in tensors.items() if value is not None})
    options = {**HEADS, **options} if kind == "taming_gpt" else options
    return released.read(kind, path / "a.ckpt", **options)


@pytest.mark.slow
def test_a_vqgan_is_read_at_the_top_and_in_a_transformers_file(tmp_path):
    config, params = read("taming_vqgan", tmp_path, {"loss.logvar": np.zeros(())})
    assert nets.build(config) == VQGAN_NET
    kernel = params["encoder"]["down_1_block_0"]["nin_shortcut"]["kernel"]
    expected = VQGAN_TENSORS["encoder.down.1.block.0.nin_shortcut.weight"]
    np.testing.assert_array_equal(kernel, expected.transpose(2, 3, 1, 0))
    inside = {f"first_stage_model.{name}": value for name, value in VQGAN_TENSORS.items()}
    path = write_arrays(tmp_path / "b.ckpt", {**inside, **GPT_TENSORS})
    chex.assert_trees_all_equal(released.read("taming_vqgan", path)[1], params)


def test_a_gpt_is_read(tmp_path):
    config, params = read("taming_gpt", tmp_path)
    assert nets.build(config) == GPT_NET
    block = params["block_1"]["attention"]
    weight = GPT_TENSORS["transformer.blocks.1.attn.query.weight"]
    np.testing.assert_array_equal(block["query"]["kernel"][:, 1, 2], weight[1 * 4 + 2])
    weight = GPT_TENSORS["transformer.blocks.1.attn.proj.weight"]
    np.testing.assert_array_equal(block["projection"]["kernel"][1, 2], weight[:, 1 * 4 + 2])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("taming_vqgan", "foo"),
        ("taming_vqgan", "encoder.conv_in.extra"),
        ("taming_vqgan", "encoder.down.1.attn.0.norm.scale"),
        ("taming_vqgan", "quantize.embedding.bias"),
        ("taming_gpt", "transformer.foo"),
        ("taming_gpt", "transformer.head.extra"),
        ("taming_gpt", "transformer.head.bias"),
        ("taming_gpt", "transformer.blocks.1.attn.query.extra"),
        ("taming_gpt", "transformer.blocks.5.attn.mask"),
        ("taming_gpt", "permuter.foo"),
    ],
)
def test_an_unknown_tensor_is_named_as_in_the_file(tmp_path, kind, name):
    with pytest.raises(UserError, match=rf"the net it should: unknown {name} \(3,\)\.$"):
        read(kind, tmp_path, {name: np.full(3, 99)})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "name", "shape"),
    [
        ("taming_vqgan", "encoder.conv_in.weight", ()),
        ("taming_vqgan", "encoder.conv_in.weight", (33, 3, 3, 3)),
        ("taming_vqgan", "encoder.conv_in.weight", (64, 3, 3, 3)),
        ("taming_vqgan", "encoder.conv_in.weight", (0, 3, 3, 3)),
        ("taming_vqgan", "encoder.down.1.block.0.conv1.weight", (65, 32, 3, 3)),
        ("taming_vqgan", "quantize.embedding.weight", (5,)),
        ("taming_vqgan", "decoder.up.1.attn.1.q.weight", (64, 64)),
        ("taming_gpt", "transformer.pos_emb", ()),
        ("taming_gpt", "transformer.pos_emb", (16,)),
        ("taming_gpt", "transformer.pos_emb", (2, 16, 8)),
        ("taming_gpt", "transformer.tok_emb.weight", (0, 8)),
        ("taming_gpt", "transformer.tok_emb.weight", (7, 9)),
        ("taming_gpt", "transformer.blocks.0.mlp.0.weight", ()),
        ("taming_gpt", "transformer.blocks.0.attn.proj.weight", ()),
        ("taming_gpt", "transformer.blocks.0.attn.mask", (1, 1, 9, 9)),
    ],
)
def test_a_misshapen_tensor_is_one_error(tmp_path, kind, name, shape):
    with pytest.raises(UserError):
        read(kind, tmp_path, {name: np.zeros(shape)})


def test_missing_tensors_are_listed_up_to_ten(tmp_path):
    names = [name for name in GPT_TENSORS if name.startswith("transformer.blocks.1.")]
    changes = dict.fromkeys(names[1:])
    with pytest.raises(UserError, match=rf"missing {names[1]} \(8,\);.* and 5 more") as error:
        read("taming_gpt", tmp_path, changes)
    assert str(error.value).count("missing transformer.blocks.1.") == 10


def test_heads_must_share_the_width(tmp_path):
    assert read("taming_gpt", tmp_path, num_heads=None)[0].num_heads == 1
    with pytest.raises(UserError, match="width 8, which 3 heads cannot share"):
        read("taming_gpt", tmp_path, num_heads=3)
    for wrong in (0, -4, "4", 2.0, True):
        with pytest.raises(UserError, match="num_heads must be a positive integer"):
            read("taming_gpt", tmp_path, num_heads=wrong)


def test_attention_that_is_not_causal_is_refused(tmp_path):
    mask = np.tri(16)[None, None].copy()
    mask[..., :3, :3] = 1
    with pytest.raises(UserError, match=r"not causal \(transformer\.blocks\.1\.attn\.mask"):
        read("taming_gpt", tmp_path, {"transformer.blocks.1.attn.mask": mask})
    read("taming_gpt", tmp_path, {"transformer.blocks.1.attn.mask": None})


def order(forward, backward):
    names = ("permuter.forward_shuffle_idx", "permuter.backward_shuffle_idx")
    values = (None if v is None else np.array(v, np.int64) for v in (forward, backward))
    return dict(zip(names, values, strict=True))


def test_a_permuter_in_row_major_order_is_read(tmp_path):
    config, _ = read("taming_gpt", tmp_path, order(range(9), range(9)))
    assert nets.build(config) == GPT_NET


@pytest.mark.parametrize(
    ("forward", "backward", "message"),
    [
        ([1, 2, 0], [1, 2, 0], "are not a permutation"),
        ([0, 0, 1], [0, 0, 1], "are not a permutation"),
        ([0, 1, 9], [0, 1, 9], "are not a permutation"),
        (range(17), range(17), "are not a permutation of at most 16"),
        ([0, 1], None, r"missing permuter\.backward_shuffle_idx \(2,\)"),
        ([[0, 1]], [0, 1], r"permuter\.forward_shuffle_idx has shape \(1, 2\), not \(2,\)"),
    ],
)
def test_what_is_no_permuter_is_refused(tmp_path, forward, backward, message):
    with pytest.raises(UserError, match=message):
        read("taming_gpt", tmp_path, order(forward, backward))


def test_a_permuter_of_fractions_is_refused(tmp_path):
    halves = {name: values / 2 for name, values in order([0, 1], [0, 1]).items()}
    with pytest.raises(UserError, match="are not a permutation"):
        read("taming_gpt", tmp_path, halves)


@pytest.mark.slow
@golden_ar.needed
def test_permuters_of_the_release_become_the_order(tmp_path):
    for name, lists in json.loads(golden_ar.file("permuters.json").read_text()).items():
        buffers = order(lists["forward"], lists["backward"])
        if len(lists["forward"]) > GPT_NET.num_positions:
            with pytest.raises(UserError, match="not a permutation of at most 16"):
                read("taming_gpt", tmp_path, buffers)
            continue
        config, params = read("taming_gpt", tmp_path, buffers)
        net = nets.build(config)
        row_major = jnp.arange(len(lists["forward"]))[None]
        np.testing.assert_array_equal(net.to_sequence(row_major)[0], lists["forward"], name)
        np.testing.assert_array_equal(net.to_row_major(row_major)[0], lists["backward"], name)
        # The order is that of the tokens given to the net, and changes nothing inside.
        logits, plain = (
            x.apply({"params": params}, row_major % 7, class_ids=row_major[:, 0])
            for x in (net, GPT_NET)
        )
        np.testing.assert_array_equal(logits, plain)


# Against the reference's files.


@pytest.mark.slow
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


@pytest.mark.slow
@golden_ar.needed
def test_attention_of_a_config_is_compared():
    described = golden_ar.manifest()["configs"]["vqgan"]["params"]["ddconfig"]
    options = {key: described[key] for key in ("resolution", "attn_resolutions")}
    released.read("taming_vqgan", golden_ar.file("vqgan.ckpt"), **options)
    with pytest.raises(UserError, match="has attention at resolutions"):
        options["resolution"] *= 2
        released.read("taming_vqgan", golden_ar.file("vqgan.ckpt"), **options)


@pytest.mark.slow
@golden_ar.needed
def test_published_sizes_are_understood():
    shapes = json.loads(golden_ar.file("real_size_keys.json").read_text())
    vqgan = {
        name: tuple(shape)
        for name, (shape, _) in shapes["vqgan_imagenet_f16_16384"].items()
        if not name.startswith("loss.")
    }
    fields = taming_vqgan._fields("file", "net", vqgan, taming_vqgan.module_name)
    assert TamingVQGAN(**fields) == TamingVQGAN()
    gpt = {
        name.replace("blocks.0", f"blocks.{i}"): tuple(shape)
        for name, (shape, _) in shapes["cin_transformer.transformer"].items()
        for i in range(GPT().num_layers)
    }
    assert GPT(**taming_gpt._fields("file", gpt, None)) == GPT()
    expected = layout.param_shapes(GPT(), layout.token_batch(1, 1), class_ids=layout.token_batch(1))
    assert {
        taming_gpt._file_name(n): taming_gpt._file_shape(n, s) for n, s in expected.items()
    } == {name: shape for name, shape in gpt.items() if not name.endswith("attn.mask")}
    count = sum(int(np.prod(shape)) for shape in expected.values())
    assert count == shapes["cin_transformer.transformer_param_count"]


# The port of diffusers.


@pytest.mark.slow
@golden_ar.needed
def test_the_diffusers_port_is_the_same_net(tmp_path):
    folder = golden_ar.file("diffusers_vqmodel")
    config, params = released.read("diffusers_vqgan", folder)
    taming_config, taming_params = released.read("taming_vqgan", golden_ar.file("vqgan.ckpt"))
    assert config.to_dict() == taming_config.to_dict()
    chex.assert_trees_all_close(params, taming_params)
    # Files written before diffusers 0.15, torch files among them, have other names of attention.
    key_map = json.loads(golden_ar.file("diffusers_key_map.json").read_text())["map"]
    tensors = torch_file.tensors(golden_ar.file("vqgan.ckpt"))
    old = {
        entry.get("diffusers_legacy", entry["diffusers"]): tensors[name]
        .read()
        .reshape(entry["diffusers_shape"])
        for name, entry in key_map.items()
    }
    path = write_arrays(tmp_path / "diffusion_pytorch_model.bin", old)
    chex.assert_trees_all_close(released.read("diffusers_vqgan", path.parent)[1], taming_params)


def diffusers_tensors():
    """The golden port's tensors, under their names."""
    key_map = json.loads(golden_ar.file("diffusers_key_map.json").read_text())["map"]
    tensors = torch_file.tensors(golden_ar.file("vqgan.ckpt"))
    return {
        entry["diffusers"]: tensors[name].read().reshape(entry["diffusers_shape"])
        for name, entry in key_map.items()
    }


def write_safetensors(path, tensors, types):
    header, content = {}, b""
    for name, values in tensors.items():
        end = len(content) + values.nbytes
        header[name] = {
            "dtype": types[str(values.dtype)],
            "shape": values.shape,
            "data_offsets": [len(content), end],
        }
        content += values.tobytes()
    header = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + content)
    return path


@pytest.mark.slow
@golden_ar.needed
def test_half_precision_of_diffusers_comes_back_as_float32(tmp_path):
    tensors = {name: values.astype(jnp.bfloat16) for name, values in diffusers_tensors().items()}
    path = write_safetensors(tmp_path / "a.safetensors", tensors, {"bfloat16": "BF16"})
    _, params = released.read("diffusers_vqgan", path)
    _, whole = released.read("taming_vqgan", golden_ar.file("vqgan.ckpt"))
    chex.assert_trees_all_equal_dtypes(params, whole)
    chex.assert_trees_all_close(params, whole, rtol=2**-8)
    small = {"uint8": "F8_E4M3", "bfloat16": "BF16"}
    name = "decoder.conv_norm_out.bias"
    tensors[name] = tensors[name].astype(np.uint8)
    with pytest.raises(UserError, match="of type F8_E4M3 cannot be read"):
        released.read("diffusers_vqgan", write_safetensors(path, tensors, small))


@pytest.mark.slow
@golden_ar.needed
def test_both_names_of_attention_at_once_are_refused(tmp_path):
    tensors = diffusers_tensors()
    place = "decoder.mid_block.attentions.0"
    tensors[f"{place}.proj_attn.weight"] = np.float32(tensors[f"{place}.to_out.0.weight"] + 1)
    path = write_arrays(tmp_path / "diffusion_pytorch_model.bin", tensors)
    with pytest.raises(UserError, match=r"unknown encoder\.down_blocks.*to_q|missing .*query"):
        released.read("diffusers_vqgan", path)


@pytest.mark.slow
@golden_ar.needed
def test_the_config_beside_the_weights_is_compared(tmp_path):
    write_arrays(tmp_path / "diffusion_pytorch_model.bin", diffusers_tensors())
    config = tmp_path / "config.json"
    for content, message in (
        ('{"norm_num_groups": 16}', "norm_num_groups 16; only 32 is supported"),
        ('{"act_fn": "gelu"}', "act_fn gelu; only silu"),
        ("{", "is not a config of diffusers"),
        ("[1]", "is not a config of diffusers"),
    ):
        config.write_text(content)
        with pytest.raises(UserError, match=message):
            released.read("diffusers_vqgan", tmp_path)
    config.write_text((golden_ar.file("diffusers_vqmodel") / "config.json").read_text())
    released.read("diffusers_vqgan", tmp_path)


def test_what_is_no_safetensors_file_is_named(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"no tensors")
    with pytest.raises(UserError, match="is not a safetensors file"):
        released.read("diffusers_vqgan", path)
    path = write_safetensors(path, {"a": np.zeros(2, np.float32)}, {"float32": "F32"})
    with pytest.raises(UserError, match=r"not a VQModel of diffusers: .*It holds a \(2,\)\."):
        released.read("diffusers_vqgan", path)
