"""TiTok's tokenizers, in both published layouts, against the reference implementation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import golden_titok as golden
from vpt_gen.training.losses import quantizer_losses

pytestmark = [golden.needed, pytest.mark.slow]

kinds = pytest.mark.parametrize("kind", golden.TOKENIZERS)


def arrays(kind):
    return f"tokenizer_titok_{kind}.npz"


@kinds
def test_tokens_and_reconstructions(kind):
    of, net = arrays(kind), golden.tokenizer(kind)
    images = golden.nhwc(golden.load(of, "images"))
    np.testing.assert_allclose(
        images, golden.nhwc(golden.load(of, "images_uint8")) / 255.0, atol=1e-6
    )
    latents = golden.run(net, "encode", images)
    golden.check(of, "latents", golden.nchw(latents))
    tokens = golden.run(net, "tokenize", images)
    golden.check(of, "indices", tokens[:, 0])
    codes = golden.run(net, "codes", tokens)
    golden.check(of, "codes", golden.nchw(codes))
    golden.check(of, "quantized", golden.nchw(codes))
    golden.check(of, "reconstruction", golden.nchw(golden.run(net, "decode", codes)))
    reconstructed, _, own = golden.run(net, "__call__", images)
    golden.check(of, "reconstruction", golden.nchw(reconstructed))
    np.testing.assert_array_equal(own, tokens)


@kinds
def test_images_from_tokens(kind):
    of, net = arrays(kind), golden.tokenizer(kind)
    given = net[0].arranged(jnp.asarray(golden.load(of, "given_tokens")))
    golden.check(of, "given_decoded", golden.nchw(golden.run(net, "detokenize", given)))


@kinds
def test_losses_of_the_quantizer(kind):
    of, net = arrays(kind), golden.tokenizer(kind)
    _, latents, tokens = golden.run(net, "__call__", golden.nhwc(golden.load(of, "images")))
    codebook = net[0].comparable(net[1]["params"]["quantizer"]["codebook"])
    terms = quantizer_losses(latents, codebook, tokens, entropy_ratio=0.0)
    golden.check(of, "commitment_loss", terms["commitment"])
    golden.check(of, "codebook_loss", terms["codebook"])


@kinds
def test_stages_inside(kind):
    of, net = arrays(kind), golden.tokenizer(kind)
    images = golden.nhwc(golden.load(of, "images"))
    stages = golden.inside(net, images)

    def of_module(*path):
        inner = stages
        for name in path:
            inner = inner[name]
        return inner["__call__"][0]

    places = {
        "ln_pre": ("transformer", "first_norm"),
        "block0": ("transformer", "layer_0"),
        "ln_post": ("last_norm",),
    }
    for part in ("encoder", "decoder"):
        for name, path in places.items():
            golden.check(of, f"dbg_{part}_{name}", of_module(part, *path)[:1])
    # The table of positions is added after it.
    golden.check(of, "dbg_decoder_embed", of_module("decoder", "latents_in")[:1])
    if not net[0].pixel_codes:
        golden.check(of, "decoder_out", golden.nchw(of_module("pixels")))
        return
    logits = of_module("pixels", "code_logits")
    golden.check(of, "decoder_out", golden.nchw(logits))
    codebook = net[1]["params"]["pixels"]["quantizer"]["codebook"]
    golden.check(of, "soft_codes", golden.nchw(jax.nn.softmax(logits) @ codebook))


@kinds
def test_decoder_of_given_tokens(kind):
    of, net = arrays(kind), golden.tokenizer(kind)
    module, variables = net
    given = module.arranged(jnp.asarray(golden.load(of, "given_tokens")))

    def call(variables):
        return module.apply(variables, given, method="detokenize", capture_intermediates=True)

    images, state = jax.jit(call)(variables)
    pixels = state["intermediates"]["pixels"]
    out = pixels["code_logits"]["__call__"][0] if module.pixel_codes else images
    golden.check(of, "given_decoder_out", golden.nchw(out))


@kinds
def test_sizes_come_from_the_tensors(kind):
    net, config = golden.tokenizer(kind)[0], golden.json(golden.TOKENIZERS[kind][1])
    sizes = config["model"]["vq_model"]
    assert net.image_size == config["dataset"]["preprocessing"]["crop_size"]
    assert net.patch_size == sizes["vit_enc_patch_size"]
    assert net.num_tokens == sizes["num_latent_tokens"]
    assert net.codebook_size == sizes["codebook_size"]
    assert net.embedding_dim == sizes["token_size"]
    assert net.unit_codes == sizes["use_l2_norm"]
    assert net.mixes_latents == sizes.get("is_legacy", True)
    assert bool(net.pixel_codes) == sizes["finetune_decoder"]
    for part, own in (("enc", "encoder"), ("dec", "decoder")):
        table = sizes["vit_sizes"][sizes[f"vit_{part}_model_size"]]
        assert getattr(net, f"{own}_width") == table["width"]
        assert getattr(net, f"{own}_layers") == table["layers"]
        assert getattr(net, f"{own}_heads") == table["heads"]
    if net.pixel_codes:
        assert net.pixel_codes == sizes["pixel_codebook"]
        assert net.pixel_dim == sizes["pixel"]["z_channels"]
        assert net.filters == sizes["pixel"]["hidden_channels"]
        assert net.channel_multipliers == tuple(sizes["pixel"]["channel_mult"])
        assert net.num_res_blocks == sizes["pixel"]["num_res_blocks"]
