"""LlamaGen's tokenizer against the released one."""

import re

import numpy as np
import pytest

from tests import golden_llamagen as golden

pytestmark = [golden.needed, pytest.mark.slow]
FILE = "vq.npz"

shapes = pytest.mark.parametrize("shape", ["", "_rect"])


@shapes
def test_latents_codes_and_reconstructions(shape):
    images = golden.load(FILE, f"images{shape}")
    bytes_ = np.moveaxis(golden.load(FILE, f"images{shape}_uint8"), 1, -1)
    np.testing.assert_allclose(golden.to_unit(images), bytes_ / 255.0, atol=1e-6)
    images = golden.to_unit(images)
    net = golden.tokenizer()
    stages = golden.inside(net, images)
    golden.check(FILE, f"enc_out{shape}", golden.nchw(stages["encoder"]["__call__"][0]))
    golden.check(FILE, f"latents{shape}", golden.nchw(stages["quant_conv"]["__call__"][0]))
    recon, latents, tokens = stages["__call__"][0]
    golden.check(FILE, f"indices{shape}", tokens)
    golden.check(FILE, f"recon{shape}", golden.from_unit(recon))
    np.testing.assert_allclose(np.linalg.norm(latents, axis=-1), 1.0, rtol=1e-5)
    codes = golden.run(net, "codes", tokens)
    golden.check(FILE, f"quant{shape}", golden.nchw(codes))
    # What programs call gives the same.
    golden.check(FILE, f"indices{shape}", golden.run(net, "tokenize", images))
    golden.check(FILE, f"latents{shape}", golden.nchw(golden.run(net, "encode", images)))


@shapes
def test_images_from_tokens(shape):
    tokens = golden.load(FILE, f"codes{shape}")
    images = golden.run(golden.tokenizer(), "detokenize", tokens)
    golden.check(FILE, f"codes{shape}_decoded", golden.from_unit(images))


def test_codes_have_length_one():
    codes = golden.run(golden.tokenizer(), "codes", golden.load(FILE, "codes"))
    golden.check(FILE, "codes_vectors", golden.nchw(codes))


def place_inside(name, levels):
    """Where an array from inside the reference is: dbg_dec_block0_attn0 -> ..."""
    part, stage = re.fullmatch(r"dbg_(enc|dec)_(\w+)", name).groups()
    part = {"enc": "encoder", "dec": "decoder"}[part]
    lowest = levels - 1
    places = {
        "conv_in": "conv_in",
        "res0": "down_0_block_0",
        "down0": "down_0_downsample",
        "last_attn0": f"down_{lowest}_attn_0",
        "mid1": "mid_attn_1",
        "mid2": "mid_block_2",
        "block0_attn0": f"up_{lowest}_attn_0",
        "up0": f"up_{lowest}_upsample",
    }
    return part, places[stage]


def test_stages_inside():
    images = golden.to_unit(golden.load(FILE, "images"))
    stages = golden.inside(golden.tokenizer(), images)
    levels = len(golden.config(golden.TOKENIZER)["ch_mult"])
    for name in golden.names(FILE, "dbg_"):
        part, place = place_inside(name, levels)
        golden.check(FILE, name, golden.nchw(stages[part][place]["__call__"][0]))


def test_sizes_come_from_the_tensors():
    net, sizes = golden.tokenizer()[0], golden.config(golden.TOKENIZER)
    assert net.filters == sizes["ch"]
    assert net.channel_multipliers == tuple(sizes["ch_mult"])
    assert net.attention_levels == (len(sizes["ch_mult"]) - 1,)
    assert net.num_res_blocks == sizes["num_res_blocks"]
    assert net.latent_channels == sizes["z_channels"]
    assert net.embedding_dim == sizes["codebook_embed_dim"]
    assert net.codebook_size == sizes["codebook_size"]
    assert net.downsampling == sizes["downsample"]
