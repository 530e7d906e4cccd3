"""The published files of TiTok: what is read, and what is named if it cannot be."""

import json
import math
import re

import numpy as np
import pytest
import safetensors.numpy

from tests import golden_titok as golden
from tests.torch_files import write_arrays
from vpt_gen import nets
from vpt_gen.checkpoints import released
from vpt_gen.checkpoints.released import layout, titok, titok_maskgit
from vpt_gen.checkpoints.released.published import BACKBONES, FILES
from vpt_gen.errors import UserError
from vpt_gen.nets.titok import TiTok
from vpt_gen.nets.titok_maskgit import TiTokMaskGIT
from vpt_gen.recipes.adaptation import folder

SIZES = {
    "image_size": 8,
    "patch_size": 4,
    "num_tokens": 3,
    "embedding_dim": 5,
    "codebook_size": 7,
    "encoder_width": 8,
    "encoder_layers": 1,
    "encoder_heads": 2,
    "decoder_width": 12,
    "decoder_layers": 2,
    "decoder_heads": 3,
    "unit_codes": False,
    "mixes_latents": False,
    "pixel_codes": 0,
}
LEGACY = SIZES | {
    "unit_codes": True,
    "mixes_latents": True,
    "pixel_codes": 6,
    "pixel_dim": 4,
    "filters": 32,
    "channel_multipliers": (1, 2),
    "num_res_blocks": 1,
}
HEADS = {"encoder_heads": 2, "decoder_heads": 3}


def random_arrays(shapes):
    random = np.random.default_rng(0)
    return {name: random.standard_normal(x).astype(np.float32) for name, x in shapes.items()}


def tokenizer_arrays(fields=LEGACY, **changes):
    net = TiTok(**fields)
    ours = layout.param_shapes(net, layout.image_batch(net.image_size))
    arrays = random_arrays(titok.file_shapes(fields, ours)) | changes
    return {name: x for name, x in arrays.items() if x is not None}


def test_a_first_file_is_read(tmp_path):
    arrays = tokenizer_arrays()
    path = write_arrays(tmp_path / "a.bin", arrays)
    config, params = released.read("titok", path, **HEADS)
    assert nets.build(config) == TiTok(**LEGACY)
    table = params["decoder"]["position_embeddings"]["embedding"]
    own = arrays["decoder.positional_embedding"]
    np.testing.assert_allclose(table[0], (own[:1] + arrays["decoder.class_embedding"])[0])
    np.testing.assert_allclose(table[1:], own[1:] + arrays["decoder.mask_token"][0])
    kernel = params["encoder"]["transformer"]["layer_0"]["attention"]["key"]["kernel"]
    weight = arrays["encoder.transformer.0.attn.in_proj_weight"]
    np.testing.assert_array_equal(kernel[:, 1, 2], weight[8 + 6])


@pytest.mark.parametrize("config", [None, {"use_l2_norm": False, "is_legacy": False}])
def test_a_folder_of_the_hub_is_read(tmp_path, config):
    safetensors.numpy.save_file(tokenizer_arrays(SIZES), tmp_path / "model.safetensors")
    if config:
        (tmp_path / "config.json").write_text(json.dumps({"model": {"vq_model": config}}))
    read, _ = released.read("titok", tmp_path, **HEADS)
    assert nets.build(read) == TiTok(**SIZES)


def test_settings_that_no_shape_tells_come_from_the_config(tmp_path):
    safetensors.numpy.save_file(tokenizer_arrays(SIZES), tmp_path / "model.safetensors")
    settings = {"model": {"vq_model": {"use_l2_norm": True}}}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    read, _ = released.read("titok", tmp_path, **HEADS)
    assert read.unit_codes and read.mixes_latents


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"latent_tokens": None}, "not a tokenizer of TiTok: missing latent_tokens"),
        ({"encoder.positional_embedding": np.zeros((4, 8), np.float32)}, "4 positions"),
        ({"extra": np.zeros(2, np.float32)}, "unknown extra"),
        ({"encoder.conv_out.bias": np.zeros(4, np.float32)}, r"conv_out.bias has shape \(4,\)"),
        ({"pixel_decoder.conv_in.bias": None}, "missing pixel_decoder.conv_in.bias"),
        ({"latent_tokens": np.zeros((3, 8), np.int64)}, "int64"),
    ],
)
def test_other_tokenizers_are_named(tmp_path, changes, message):
    path = write_arrays(tmp_path / "a.bin", tokenizer_arrays(**changes))
    with pytest.raises(UserError, match=message):
        released.read("titok", path, **HEADS)


def test_damaged_folders_are_named(tmp_path):
    with pytest.raises(UserError, match="holds no model.safetensors"):
        released.read("titok", tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match="not a safetensors file"):
        released.read("titok", tmp_path)
    safetensors.numpy.save_file(tokenizer_arrays(SIZES), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"model": 3}')
    with pytest.raises(UserError, match="not a config of TiTok"):
        released.read("titok", tmp_path)


def generator_arrays(uvit, **changes):
    net = TiTokMaskGIT(7, 2, 3, 3, 8, 2, 12, uvit)
    fields = {name: getattr(net, name) for name in net.__dataclass_fields__}
    ours = layout.param_shapes(net, layout.token_batch(1, 3))
    arrays = random_arrays(titok_maskgit.file_shapes(fields, ours)) | changes
    return net, {name: x for name, x in arrays.items() if x is not None}


@pytest.mark.parametrize("uvit", [False, True])
def test_a_generator_is_read(tmp_path, uvit):
    net, arrays = generator_arrays(uvit)
    path = write_arrays(tmp_path / "a.bin", arrays)
    config, params = released.read("titok_maskgit", path, num_heads=2)
    assert nets.build(config) == net
    words = arrays["embeddings.weight" if uvit else "model.embeddings.word_embeddings.weight"]
    np.testing.assert_array_equal(params["token_embeddings"]["embedding"], words[:8])
    np.testing.assert_array_equal(params["label_embeddings"]["embedding"], words[8:])


@pytest.mark.parametrize(
    ("uvit", "changes", "message"),
    [
        (False, {"model.lm_head.bias": None}, "missing model.lm_head.bias"),
        (False, {"model.lm_head.weight": np.zeros((20, 8), np.float32)}, "vocabulary of 11"),
        (True, {"out_blocks.0.skip_linear.bias": None}, "missing out_blocks.0.skip_linear.bias"),
        (True, {"pos_embed": np.zeros((4, 8), np.float32)}, "pos_embed has shape"),
    ],
)
def test_other_generators_are_named(tmp_path, uvit, changes, message):
    path = write_arrays(tmp_path / "a.bin", generator_arrays(uvit, **changes)[1])
    with pytest.raises(UserError, match=message):
        released.read("titok_maskgit", path, num_heads=2)


def published_net(name):
    entry = FILES[name]
    net = {"titok": TiTok, "titok_maskgit": TiTokMaskGIT}[entry.kind](**entry.fields)
    return net, {field: getattr(net, field) for field in net.__dataclass_fields__}


def all_keys(patterns):
    """{'a.{0..1}.{b,c}': shape} -> {'a.0.b': shape, ...}."""
    found = {}
    for pattern, shape in patterns.items():
        names = [pattern]
        while any("{" in name for name in names):
            names = [made for name in names for made in _expanded(name)]
        found |= {name: tuple(shape) for name in names}
    return found


def _expanded(name):
    match = re.search(r"\{([^}]*)\}", name)
    if not match:
        return [name]
    parts = []
    for part in match[1].split(","):
        first, dots, last = part.partition("..")
        numbers = range(int(first), int(last) + 1) if dots else [part]
        parts += [str(number) for number in numbers]
    return [name[: match.start()] + part + name[match.end() :] for part in parts]


@pytest.mark.slow
@golden.needed
@pytest.mark.parametrize(
    "name", [name for name, entry in FILES.items() if entry.kind.startswith("titok")]
)
def test_published_entries_have_the_tensors_of_their_files(name):
    _, size, part = name.split("_")
    word = "tokenizer" if part == "tokenizer" else "generator"
    known = golden.json("real_size_keys.json")
    (key,) = (key for key in known if key.startswith(f"{word}_titok_{size}"))
    net, fields = published_net(name)
    if part == "tokenizer":
        ours = layout.param_shapes(net, layout.image_batch(256))
        shapes = titok.file_shapes(fields, ours)
    else:
        ours = layout.param_shapes(net, layout.token_batch(1, 1))
        shapes = titok_maskgit.file_shapes(fields, ours)
    assert shapes == all_keys(known[key]["keys"])
    assert sum(map(math.prod, shapes.values())) == known[key]["parameters"]


@golden.needed
def test_published_entries_are_what_the_publishers_state():
    stated = golden.json("published_files.json")["files"]
    entries = {entry.address: (name, entry) for name, entry in FILES.items()}
    for known in stated:
        is_hub = known["file"].startswith("model.safetensors")
        address = known["address"] + ("/resolve/main/model.safetensors" if is_hub else "")
        name, entry = entries[address]
        num_bytes = known["bytes_of_tensors"] if is_hub else known["bytes"]
        assert round(num_bytes / 1e6) == entry.megabytes
        assert entry.sha256 == ("" if is_hub else known["sha256"])
        assert known["license"].lower().startswith(entry.license.lower())
        net, _ = published_net(name)
        assert (net.num_tokens, net.codebook_size) == (int(known["tokens"]), known["codes"])
        if "sampler" not in known:
            continue
        (pair,) = (pair for pair in BACKBONES.values() if pair.transformer == name)
        assert known["fid"].startswith(pair.fid)
        sampler, settings = known["sampler"], pair.settings
        assert settings["decode.num_iterations"] == sampler["steps"]
        assert settings["decode.choice_temperature"] == sampler["randomize_temperature"]
        is_power = sampler["guidance_decay"].startswith("power-cosine, pow 3")
        assert settings["decode.guidance"] == pytest.approx(sampler["guidance_scale"] - is_power)
        schedule = "powcosine3" if is_power else "ramp"
        assert settings["decode.guidance_schedule"] == schedule


@pytest.mark.parametrize("name", ["titok_l32", "titok_b64", "titok_s128"])
def test_configs_take_the_published_settings(name):
    config = folder(name)
    assert config.decode.decoder == "titok_released"
    assert config.decode.anneal_logits
    assert config.mask_schedule == "arccos"
    assert config.data.image_size == 256
