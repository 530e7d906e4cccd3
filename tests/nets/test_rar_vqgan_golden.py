"""The MaskGIT tokenizer against its port to PyTorch, which RAR and TiTok use."""

import re

import numpy as np
import pytest

from tests import golden_rar as golden
from vpt_gen.nets.vqgan import average_pool
from vpt_gen.training.losses import quantizer_losses

pytestmark = [golden.needed, pytest.mark.slow]
FILE = "maskgit_vqgan.npz"

shapes = pytest.mark.parametrize("shape", ["", "_rect", "_odd"])


def prefix(shape):
    return f"{shape[1:]}_" if shape else ""


@shapes
def test_latents_codes_and_reconstructions(shape):
    images = golden.nhwc(golden.load(FILE, f"images{shape}"))
    bytes_ = golden.nhwc(golden.load(FILE, f"images{shape}_uint8"))
    np.testing.assert_allclose(images, bytes_ / 255.0, atol=1e-6)
    net, start = golden.tokenizer(), prefix(shape)
    latents = golden.run(net, "encode", images)
    golden.check(FILE, f"{start}latents", golden.nchw(latents))
    tokens = golden.run(net, "tokenize", images)
    golden.check(FILE, f"{start}indices", tokens)
    codes = golden.run(net, "codes", tokens)
    golden.check(FILE, f"{start}quantized", golden.nchw(codes))
    decoded = golden.nchw(golden.run(net, "decode", codes))
    golden.check(FILE, f"{start}reconstruction", decoded)
    if not shape:
        golden.check(FILE, "reconstruction_clipped", decoded.clip(0.0, 1.0))
    codebook = net[1]["params"]["quantizer"]["codebook"]
    terms = quantizer_losses(latents, codebook, tokens, entropy_ratio=0.0)
    golden.check(FILE, f"{start}quantizer_loss", sum(terms.values()))


def test_images_from_tokens():
    codes, flat = golden.load(FILE, "codes"), golden.load(FILE, "codes_flat")
    decoded = golden.run(golden.tokenizer(), "detokenize", codes)
    golden.check(FILE, "codes_decoded", golden.nchw(decoded))
    side = round(flat.shape[1] ** 0.5)
    decoded = golden.run(golden.tokenizer(), "detokenize", flat.reshape(-1, side, side))
    golden.check(FILE, "codes_flat_decoded", golden.nchw(decoded).clip(0.0, 1.0))


def test_bytes_of_a_reconstruction():
    images = golden.nhwc(golden.load(FILE, "images"))
    decoded = golden.run(golden.tokenizer(), "__call__", images)[0]
    scaled = 255.0 * np.clip(np.asarray(decoded, np.float64), 0.0, 1.0)
    error = np.abs(np.floor(scaled) - golden.load(FILE, "reconstruction_uint8"))
    near = np.abs(scaled - np.rint(scaled)) < 1e-2
    assert error[~near].max(initial=0) == 0
    assert error.max() <= 1


def stage(name, stages, levels, blocks):
    """The output of a module that the reference names so, of one image."""
    part, place = re.fullmatch(r"dbg_(encoder|decoder)_(\w+)", name).groups()
    inside = stages[part]

    def of(module):
        return inside[module]["__call__"][0]

    kind, *rest = place.split("_")
    numbers = [int(word) for word in rest if word.isdigit()]
    if place in ("conv_in", "norm_out"):
        return of({"conv_in": "Conv_0", "norm_out": "GroupNorm_0"}[place])
    if kind == "mid":
        return of(f"ResBlock_{numbers[0] + (levels * blocks if part == 'encoder' else 0)}")
    if kind == "down":
        last = numbers[1] if len(numbers) > 1 else blocks - 1
        found = of(f"ResBlock_{numbers[0] * blocks + last}")
        return average_pool(found) if len(numbers) == 1 and numbers[0] < levels - 1 else found
    assert kind == "up"
    if numbers[0]:
        return of(f"Conv_{levels - numbers[0]}")
    return of(f"ResBlock_{(levels + 1) * blocks - 1}")


def test_stages_inside():
    sizes = golden.json("maskgit-vqgan.config.json")
    images = golden.nhwc(golden.load(FILE, "images"))[:1]
    stages = golden.inside(golden.tokenizer(), images)
    found = golden.names(FILE, "dbg_.*")
    assert found
    for name in found:
        output = stage(name, stages, sizes["num_resolutions"], sizes["num_res_blocks"])
        golden.check(FILE, name, golden.nchw(output))


def test_sizes_come_from_the_tensors():
    net, sizes = golden.tokenizer()[0], golden.json("maskgit-vqgan.config.json")
    assert net.filters == sizes["hidden_channels"]
    assert net.channel_multipliers == tuple(sizes["channel_mult"])
    assert net.num_res_blocks == sizes["num_res_blocks"]
    assert net.embedding_dim == sizes["embedding_dim"]
    assert net.codebook_size == sizes["num_embeddings"]
