"""The Taming Transformers VQGAN against the released one."""

import re

import numpy as np
import pytest

from tests import golden_ar

pytestmark = golden_ar.needed
FILE = "vqgan.npz"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["", "rect_"])
def test_latents_and_tokens(kind):
    images = golden_ar.load(FILE, "images_rect" if kind else "images")
    images = golden_ar.to_unit(images)
    latents = golden_ar.run(golden_ar.vqgan(), "encode", images)
    golden_ar.check(FILE, f"{kind}quant_conv_out", np.moveaxis(latents, -1, 1))
    tokens = golden_ar.run(golden_ar.vqgan(), "tokenize", images)
    golden_ar.check(FILE, f"{kind}indices", tokens)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["", "rect_"])
def test_what_lies_between_encoder_and_decoder(kind):
    module, variables = golden_ar.vqgan()
    images = golden_ar.load(FILE, "images_rect" if kind else "images")
    bytes_ = golden_ar.load(FILE, "images_rect_uint8" if kind else "images_uint8")
    np.testing.assert_allclose(golden_ar.to_unit(images), golden_ar.nhwc(bytes_) / 255.0, atol=1e-6)
    (recon, latents, tokens), state = module.apply(
        variables, golden_ar.to_unit(images), capture_intermediates=True
    )
    inside = state["intermediates"]
    features = inside["encoder"]["__call__"][0]
    golden_ar.check(FILE, f"{kind}enc_out", np.moveaxis(features, -1, 1))
    codes = module.apply(variables, tokens, method=lambda net, ids: net.quantizer.lookup(ids))
    golden_ar.check(FILE, f"{kind}quant", np.moveaxis(codes, -1, 1))
    golden_ar.check(FILE, f"{kind}emb_loss", 1.25 * np.mean((codes - latents) ** 2))
    features = inside["post_quant_conv"]["__call__"][0]
    golden_ar.check(FILE, f"{kind}post_quant_conv_out", np.moveaxis(features, -1, 1))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["", "rect_"])
def test_reconstructions(kind):
    images = golden_ar.load(FILE, "images_rect" if kind else "images")
    images, _, tokens = golden_ar.run(golden_ar.vqgan(), "__call__", golden_ar.to_unit(images))
    golden_ar.check(FILE, f"{kind}recon", np.moveaxis(2.0 * images - 1.0, -1, 1))
    golden_ar.check(FILE, f"{kind}indices", tokens)


@pytest.mark.slow
def test_reconstructions_as_files():
    images, _, _ = golden_ar.run(
        golden_ar.vqgan(), "__call__", golden_ar.to_unit(golden_ar.load(FILE, "images"))
    )
    levels = 255.0 * np.moveaxis(images, -1, 1)
    expected = golden_ar.load(FILE, "recon_uint8")
    # The release truncates: a value within rounding of an integer may fall on either side of it.
    undecided = np.abs(levels - np.round(levels)) < 127.5 * 1e-4
    difference = np.abs(levels.clip(0, 255).astype(np.uint8).astype(int) - expected)
    assert (difference <= undecided).all()


@pytest.mark.slow
def test_images_from_tokens():
    images = golden_ar.run(golden_ar.vqgan(), "detokenize", golden_ar.load(FILE, "codes"))
    golden_ar.check(FILE, "codes_decoded", np.moveaxis(2.0 * images - 1.0, -1, 1))


def test_codes_are_codebook_rows():
    module, variables = golden_ar.vqgan()
    rows = module.apply(
        variables, golden_ar.load(FILE, "codes"), method=lambda net, ids: net.quantizer.lookup(ids)
    )
    golden_ar.check(FILE, "codes_quant", np.moveaxis(rows, -1, 1))


def path_inside(name):
    """Where a debugging array of the reference is in our net: dbg_enc_down2_attn0 -> ..."""
    part, module = re.fullmatch(r"dbg_(enc|dec)_(\w+)", name).groups()
    module = re.sub(r"^(down|up)(\d+)", r"\1_\2", module)
    module = re.sub(r"_(attn|block)(\d+)$", r"_\1_\2", module)
    return {"enc": "encoder", "dec": "decoder"}[part], module


@pytest.mark.slow
def test_stages_inside():
    module, variables = golden_ar.vqgan()
    images = golden_ar.to_unit(golden_ar.load(FILE, "images")[:1])
    _, state = module.apply(variables, images, capture_intermediates=True)
    for name in golden_ar.debugged(FILE):
        part, stage = path_inside(name)
        output = state["intermediates"][part][stage]["__call__"][0]
        golden_ar.check(FILE, name, np.moveaxis(output, -1, 1))
