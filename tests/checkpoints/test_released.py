"""Published formats: MaskGIT's files, and what all kinds have in common."""

import json
import struct

import chex
import jax
import jax.numpy as jnp
import msgpack
import numpy as np
import pytest
from flax import serialization

from tests import golden
from tests.memory import allocating_at_most
from tests.torch_files import write_arrays
from vpt_gen import nets
from vpt_gen.checkpoints import released
from vpt_gen.checkpoints.released import layout
from vpt_gen.errors import UserError
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.nets.vqgan import VQGAN


def assert_same_fields(config, net):
    built = nets.build(config)
    assert type(built) is type(net)
    for name in config:
        if name != "net":
            assert getattr(built, name) == getattr(net, name), name


@pytest.mark.slow
def test_maskgit_nets_come_back_as_they_are():
    for kind, file, (net, variables) in (
        ("maskgit_tokenizer", "tokenizer.msgpack", golden.vqgan()),
        ("maskgit_transformer", "transformer.msgpack", golden.maskgit()),
    ):
        overrides = {"codebook_size": net.codebook_size} if "transformer" in kind else {}
        config, params = released.read(kind, golden.file(file), **overrides)
        assert_same_fields(config, net)
        chex.assert_trees_all_equal(params, variables["params"])


NET = MaskGIT(8, 3, 4, num_layers=2, hidden_size=8, num_heads=2, intermediate_size=16)
TOKENIZER = VQGAN(32, (1, 2), 1, embedding_dim=4, codebook_size=8)


def zeros(shapes):
    return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}


@pytest.fixture
def maskgit_file(tmp_path):
    tensors = zeros(
        layout.param_shapes(NET, layout.token_batch(1, 4), class_ids=layout.token_batch(1))
    )

    def write(wrap=lambda params: {"params": params}, **changes):
        path = tmp_path / "transformer_checkpoint"
        flat = {name: value for name, value in {**tensors, **changes}.items() if value is not None}
        path.write_bytes(serialization.msgpack_serialize(wrap(layout.nest(flat))))
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
    with pytest.raises(UserError, match="is not a MaskGIT tokenizer"):
        released.read("maskgit_tokenizer", path)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(UserError, match="not a Flax msgpack file, or is incomplete"):
        released.read("maskgit_transformer", path)
    torch = write_arrays(tmp_path / "a.ckpt", {"a": np.zeros(2)})
    for kind, message in (
        ("taming_vqgan", "not a VQGAN of Taming"),
        ("taming_gpt", "not a GPT of Taming"),
        ("maskgit_transformer", "not a Flax msgpack file"),
        ("diffusers_vqgan", "not a VQModel of diffusers"),
    ):
        with pytest.raises(UserError, match=message):
            released.read(kind, torch)
    fake = tmp_path / "a.safetensors"
    fake.write_bytes(b"no tensors")
    with pytest.raises(UserError, match="not a safetensors file"):
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


@pytest.mark.parametrize("value", [0, -5, 10**9, "8", 2.0, True, [8]])
def test_an_option_is_a_positive_integer(maskgit_file, value):
    with pytest.raises(UserError, match="codebook_size must be a whole number from 1"):
        released.read("maskgit_transformer", maskgit_file(), codebook_size=value)


@pytest.mark.parametrize("value", [8, "8", [8, "8"], [0]])
def test_resolutions_are_a_list_of_them(maskgit_file, value):
    with pytest.raises(UserError, match="attn_resolutions must be a list, and each"):
        released.read("taming_vqgan", maskgit_file(), attn_resolutions=value)


# The kinds that are published as folders too.
FOLDERS = ("diffusers_vqgan", "titok")


@pytest.mark.parametrize("kind", [kind for kind in released.READERS if kind not in FOLDERS])
def test_a_folder_is_no_file(tmp_path, kind):
    with pytest.raises(UserError, match="is not a file"):
        released.read(kind, tmp_path)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, np.float16, np.float64])
def test_numbers_of_any_precision_come_back_as_float32(maskgit_file, dtype):
    name = "TransformerLayer_1/Mlp_0/layer_output/kernel"
    values = np.linspace(-2, 2, 128).reshape(16, 8).astype(dtype)
    path = maskgit_file(**{name: values})
    _, params = released.read("maskgit_transformer", path, codebook_size=8)
    assert {(leaf.dtype, leaf.flags.writeable) for leaf in jax.tree.leaves(params)} == {
        (np.dtype(np.float32), True)
    }
    kernel = params["TransformerLayer_1"]["Mlp_0"]["layer_output"]["kernel"]
    np.testing.assert_array_equal(kernel, values.astype(np.float32))


def test_whole_numbers_are_no_weights(maskgit_file):
    path = maskgit_file(**{"Embed_0/embeddings_ln/bias": np.zeros(8, np.int32)})
    with pytest.raises(UserError, match="embeddings_ln/bias holds int32, not floating-point"):
        released.read("maskgit_transformer", path, codebook_size=8)


@pytest.mark.slow
@pytest.mark.parametrize(
    "wrap",
    [
        lambda params: params,
        lambda params: {"params": {"params": params}},
        lambda params: {"step": 3, "params": params, "ema_params": {"x": np.zeros(1)}},
        lambda params: {"ema_params": params, "opt_state": {"0": {}}},
        lambda params: {"optimizer": {"target": params, "state": {"step": 1}}},
    ],
)
def test_parameters_in_a_train_state_are_found(maskgit_file, wrap):
    config, _ = released.read("maskgit_transformer", maskgit_file(wrap), codebook_size=8)
    assert nets.build(config) == NET


def test_another_tree_is_told_by_what_it_holds(maskgit_file):
    path = maskgit_file(lambda params: {"model": params})
    with pytest.raises(UserError, match=r"missing Embed_0/word.*It holds model/"):
        released.read("maskgit_transformer", path, codebook_size=8)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("Embed_0/word_embeddings/embedding", None),
        ("Embed_0/word_embeddings/embedding", ()),
        ("Embed_0/position_embeddings/embedding", (1, 8)),
        ("Embed_0/position_embeddings/embedding", (0, 8)),
        ("TransformerLayer_0/Attention_0/self_attention/query/kernel", (8, 8)),
        ("TransformerLayer_0/Attention_0/self_attention/query/kernel", (8, 3, 4)),
        ("TransformerLayer_0/Mlp_0/intermediate_output/kernel", (16,)),
        ("MlmLayer_0/mlm_bias/bias", ()),
    ],
)
def test_a_misshapen_transformer_is_one_error(maskgit_file, name, shape):
    path = maskgit_file(**{name: None if shape is None else np.zeros(shape, np.float32)})
    with pytest.raises(UserError):
        released.read("maskgit_transformer", path, codebook_size=8)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("encoder/Conv_0/kernel", (3, 3, 3, 33)),
        ("encoder/Conv_0/kernel", (3, 3, 3, 64)),
        ("encoder/Conv_0/kernel", ()),
        ("encoder/ResBlock_1/Conv_0/kernel", (64,)),
        ("quantizer/codebook", (8,)),
        ("decoder/extra/kernel", (8,)),
    ],
)
def test_a_misshapen_tokenizer_is_one_error(tmp_path, name, shape):
    tensors = zeros(layout.param_shapes(TOKENIZER, layout.image_batch(2)))
    path = tmp_path / "tokenizer"

    def write(content):
        path.write_bytes(serialization.msgpack_serialize(layout.nest(content)))

    write(tensors)
    config, _ = released.read("maskgit_tokenizer", path)
    assert nets.build(config) == TOKENIZER
    write({**tensors, name: np.zeros(shape, np.float32)})
    with pytest.raises(UserError):
        released.read("maskgit_tokenizer", path)


@pytest.mark.parametrize(
    "content",
    [
        msgpack.packb(3),
        msgpack.packb({}),
        msgpack.packb({"params": {1: 2}}),
        msgpack.packb({"a": {"__msgpack_chunked_array__": True}}),
        msgpack.packb({"a": msgpack.ExtType(1, b"xx")}),
        msgpack.packb({"a": msgpack.ExtType(1, msgpack.packb([(2,), "object", b"x" * 16]))}),
        msgpack.packb({"a": msgpack.ExtType(99, b"")}),
        b"\x81\xa1a" * 5000 + b"\x01",
        b"\x81\xa1a" * 900 + b"\x01",
        b"",
    ],
)
def test_any_other_content_is_one_error(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(UserError):
        released.read("maskgit_transformer", path)


def test_two_tensors_of_one_name_are_refused(maskgit_file):
    twice = {"Embed_0/embeddings_ln": {"bias": np.ones(8, np.float32)}}
    path = maskgit_file(lambda params: {"params": {**params, **twice}})
    with pytest.raises(UserError, match="is not a tensor"):
        released.read("maskgit_transformer", path, codebook_size=8)


@pytest.mark.parametrize(
    "content",
    [
        b"\xdd\x00\x0f\x42\x40" * 200 + bytes(10**6),
        msgpack.packb({"a": msgpack.ExtType(1, b"\xdd\x00\x0f\x42\x40" * 200 + bytes(10**6))}),
        # A long name is part of the names of all that is below it.
        msgpack.packb({"x" * 100_000: {str(i): None for i in range(10_000)}}),
        msgpack.packb({b"x" * 100_000: {str(i): None for i in range(10_000)}}),
        msgpack.packb([[None] * 10] * 10_000),
    ],
)
def test_a_small_msgpack_file_takes_little_memory(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    with allocating_at_most(2**22 + 5 * len(content)), pytest.raises(UserError):
        released.read("maskgit_transformer", path)


def test_numbered_layers_are_counted_in_time_that_the_file_bounds():
    asked = []
    assert layout.count(lambda number: asked.append(number) or number < 3) == 3
    assert layout.count(lambda number: asked.append(number) or True) == len(asked) - 4 < 10_000


def test_a_safetensors_file_allocates_no_more_than_it_holds(tmp_path):
    path = tmp_path / "a.safetensors"
    huge = {"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}
    for header, length in (
        (json.dumps(huge).encode(), None),
        (b"[" * 100_000, None),
        (b"{}", 2**40),
    ):
        path.write_bytes(struct.pack("<Q", length or len(header)) + header)
        with allocating_at_most(2**20), pytest.raises(UserError, match="not a safetensors file"):
            released.read("diffusers_vqgan", path)
