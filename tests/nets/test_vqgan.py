"""The VQGAN against the released one: parameter tree, both halves, every stage between."""

import functools
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import golden
from vpt_gen.nets.vqgan import (
    VQGAN,
    Decoder,
    Encoder,
    Quantizer,
    squared_distances,
)

FILE = "tokenizer.npz"


STAGES = {"encoder": ("encode", "image"), "decoder": ("detokenize", "ids_random")}


@functools.cache
def stages(part: str) -> dict:
    """What each module directly inside the encoder or decoder gave for the first example."""
    net, variables = golden.vqgan()
    method, name = STAGES[part]
    first = golden.load(FILE, name)[:1]
    _, state = net.apply(variables, first, method=method, capture_intermediates=True)
    return state["intermediates"][part]


@pytest.mark.slow
def test_parameter_tree_is_the_released_one():
    net, variables = golden.vqgan()
    made = jax.eval_shape(net.init, jax.random.key(0), golden.load(FILE, "image"))
    assert golden.layout(made) == golden.layout(variables)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", golden.cases(FILE, r"latents(\w*)"))
def test_latents_and_tokens(suffix):
    image = golden.load(FILE, f"image{suffix}")
    latents = golden.run_vqgan("encode", image)
    golden.check(FILE, f"latents{suffix}", latents)
    golden.check(FILE, f"encoding_indices{suffix}", golden.run_vqgan("tokenize", image))
    factor = golden.vqgan()[0].downsampling
    assert latents.shape[1:3] == tuple(-(-side // factor) for side in image.shape[1:3])


def test_quantized_vectors_are_codebook_rows():
    net, variables = golden.vqgan()
    tokens = golden.load(FILE, "encoding_indices")
    quantized = net.apply(variables, tokens, method=lambda net, ids: net.quantizer.lookup(ids))
    golden.check(FILE, "quantized", quantized)


def test_margin_of_the_nearest_code():
    codebook = golden.vqgan()[1]["params"]["quantizer"]["codebook"]
    latents = golden.run_vqgan("encode", golden.load(FILE, "image"))
    nearest, second = np.moveaxis(np.sort(squared_distances(latents, codebook))[..., :2], -1, 0)
    golden.check(FILE, "index_margin", second - nearest)


@pytest.mark.slow
def test_images_from_latents_and_from_tokens():
    golden.check(FILE, "reconstruction", golden.run_vqgan("decode", golden.load(FILE, "quantized")))
    tokens = golden.load(FILE, "ids_random")
    golden.check(FILE, "decode_from_indices", golden.run_vqgan("detokenize", tokens))


@pytest.mark.slow
def test_call_gives_reconstruction_latents_and_tokens():
    reconstruction, latents, tokens = golden.run_vqgan("__call__", golden.load(FILE, "image"))
    golden.check(FILE, "reconstruction", reconstruction)
    golden.check(FILE, "latents", latents)
    golden.check(FILE, "encoding_indices", tokens)


@pytest.mark.slow
@pytest.mark.parametrize("name", golden.cases(FILE, r"mid/(.+)"))
def test_stage_inside(name):
    part, module = name.split("/")
    meaning = golden.manifest()["arrays"][FILE][f"mid/{name}"]["meaning"]
    step = int(re.search(r"\[:, ::(\d+), ::\1\]", meaning)[1])
    output = stages(part)[module]["__call__"][0]
    golden.check(FILE, f"mid/{name}", output[:, ::step, ::step])


def quantize(latents, codebook):
    """Straight-through vectors and tokens: encoder and decoder pass their input on."""
    net = VQGAN(embedding_dim=codebook.shape[1], codebook_size=codebook.shape[0])

    def skip_the_rest(call, args, kwargs, context):
        skipped = isinstance(context.module, Encoder | Decoder)
        return args[0] if skipped else call(*args, **kwargs)

    with nn.intercept_methods(skip_the_rest):
        quantized, _, tokens = net.apply(
            {"params": {"quantizer": {"codebook": codebook}}}, jnp.asarray(latents)
        )
    return quantized, tokens


def test_gradient_passes_straight_through_the_quantizer():
    file = "tokenizer_train_losses.npz"
    latents, codebook, cotangent = (
        golden.load(file, f"quantizer/{name}") for name in ("x", "codebook", "cotangent")
    )
    quantized, pull_back, tokens = jax.vjp(quantize, latents, codebook, has_aux=True)
    golden.check(file, "quantizer/quantized", quantized)
    golden.check(file, "quantizer/encoding_indices", tokens)
    for name, gradient in zip(("x", "codebook"), pull_back(jnp.asarray(cotangent)), strict=True):
        golden.check(file, f"quantizer/straight_through_grad_{name}", gradient)


def test_straight_through_value_of_an_image():
    _, variables = golden.vqgan()
    latents = golden.run_vqgan("encode", golden.load(FILE, "image"))
    quantized, _ = quantize(latents, variables["params"]["quantizer"]["codebook"])
    golden.check("tokenizer_train_losses.npz", "vq/quantized_straight_through", quantized)


def test_nearest_code_is_euclidean_and_the_first_of_equals():
    codebook = np.array([[0.0, 0.0], [3.0, 0.0], [3.0, 0.0], [100.0, 100.0]], np.float32)
    latents = np.array([[2.0, 2.0], [1.4, 0.0], [90.0, 80.0]], np.float32)
    tokens = Quantizer(4, 2).apply({"params": {"codebook": codebook}}, latents)
    np.testing.assert_array_equal(tokens, [1, 0, 3])
