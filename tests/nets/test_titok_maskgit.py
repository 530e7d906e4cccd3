"""TiTok's nets: what they say about themselves, and tokens without places."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import made
from vpt_gen.decode import decoders
from vpt_gen.decode.autoregressive import Autoregressive
from vpt_gen.decode.generate import generate, tokens_to_images
from vpt_gen.errors import UserError
from vpt_gen.evaluation.features import tokenizer_space
from vpt_gen.nets.gpt import GPT
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.nets.titok import TiTok
from vpt_gen.nets.titok_maskgit import TiTokMaskGIT
from vpt_gen.nets.transformer import MASK_TOKEN_ID
from vpt_gen.nets.vqvae import VQVAE
from vpt_gen.runs.compatibility import check_image_size, check_num_tokens, tokens_per_image

BERT = TiTokMaskGIT(7, 2, 4, 3, 8, 2, 16)
UVIT = BERT.clone(long_skips=True, num_layers=5)
both = pytest.mark.parametrize("net", [BERT, UVIT], ids=["bert", "uvit"])

TOKENIZER = TiTok(8, 4, 4, 6, 7, 8, 1, 2, 8, 1, 2, False, False, 0)


@pytest.fixture(scope="module")
def tokenizer():
    return made.new_params(TOKENIZER, jnp.zeros((1, 8, 8, 3)))


def test_tokens_have_no_places():
    with pytest.raises(ValueError, match="form a sequence, not a grid"):
        BERT.grid(4)
    assert BERT.shown_grid(4) == (1, 4)
    assert MaskGIT(7, 2, 4).shown_grid(4) == (2, 2)


def test_only_decoders_that_need_no_places_fit():
    anywhere = ["confidence", "remasking", "path_planning", "entropy", "moment"]
    assert decoders.of_net(BERT) == [*anywhere, "titok_released"]
    with pytest.raises(ValueError, match="'halton' does not work with a TiTok generator"):
        generate(BERT, {}, jax.random.split(jax.random.key(0), 1), 4, decoder="halton")
    assert "halton" in decoders.of_net(MaskGIT(7, 2, 4))


def test_sequences_have_one_stage_of_a_marquee():
    class Sequences(GPT):
        one_dimensional = True

    assert Autoregressive().num_stages(Sequences(), 8) == 1
    assert Autoregressive().num_stages(GPT(), 16) == 4


def test_words_and_positions_are_added_in_float32():
    words, positions = np.full((1, 1, 8), 1.0), np.full((5, 8), 2.0**-9)
    tables = {"position_embeddings": {"embedding": jnp.asarray(positions, jnp.bfloat16)}}
    rows = UVIT.apply({"params": tables}, jnp.asarray(words, jnp.bfloat16), 0, method="embed")
    np.testing.assert_array_equal(rows, np.full((1, 1, 8), 1.0 + 2.0**-9))


@both
def test_costs_are_counted_by_the_matrices(net):
    shapes = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, 4), jnp.int32))["params"]
    inside = {k: v for k, v in shapes.items() if k.startswith(("layer_", "skip_"))}
    matrices = sum(
        x.size
        for path, x in jax.tree_util.tree_leaves_with_path(inside)
        if path[-1].key == "kernel"
    )
    # A sequence of length 1 attends once, to itself.
    attention = 4 * net.hidden_size * net.num_layers
    assert net.layers_flops(1) == 2 * matrices + attention


@both
def test_the_joins_of_a_uvit_reach_the_output(net):
    tokens = jnp.full((1, 4), MASK_TOKEN_ID)
    params = made.new_params(net, tokens)
    assert net.num_skips == sum(name.startswith("skip_") for name in params)
    if not net.num_skips:
        return
    apply = jax.jit(net.apply)
    first = apply({"params": params}, tokens)
    for number in range(net.num_skips):
        changed = jax.tree.map(lambda x: x, params)
        changed[f"skip_{number}"]["bias"] = jnp.ones(8)
        assert jnp.abs(apply({"params": changed}, tokens) - first).max() > 1e-4


@pytest.mark.slow
@both
def test_images_do_not_depend_on_their_batch(net):
    params = made.new_params(net, jnp.zeros((1, 4), jnp.int32), seed=1)
    keys, classes = jax.random.split(jax.random.key(2), 3), jnp.array([0, 1])
    options = {
        "decoder": "titok_released",
        "num_iterations": 3,
        "guidance": 2.0,
        "guidance_schedule": "ramp",
    }
    rows = jnp.array([0, 1, 1])

    def draw(keys, classes, rows=None):
        run = functools.partial(generate, net, num_tokens=4, **options)
        return jax.jit(run)(params, keys, class_ids=classes, rows=rows)

    tokens, at = draw(keys, classes, rows)
    assert tokens.shape == at.shape == (3, 4)
    assert tokens.min() >= 0 and tokens.max() < 7
    # One token at least is fixed by each iteration.
    assert all(set(row.tolist()) == {0, 1, 2} for row in at)
    alone, _ = draw(keys[2:], classes[1:])
    np.testing.assert_array_equal(alone[0], tokens[2])


@pytest.mark.slow
def test_tokens_become_images(tokenizer):
    images = jax.random.uniform(jax.random.key(0), (2, 8, 8, 3))
    apply = jax.jit(TOKENIZER.apply, static_argnames="method")
    tokens = apply({"params": tokenizer}, images, method="tokenize")
    assert tokens.shape == (2, *TOKENIZER.token_shape(8)) == (2, 1, 4)
    made = tokens_to_images(TOKENIZER, tokenizer, tokens[:, 0])
    assert made.shape == images.shape
    few = tokens_to_images(TOKENIZER, tokenizer, tokens[:, 0], batch_size=1)
    np.testing.assert_allclose(few, made, atol=1e-5)
    reconstructed = apply({"params": tokenizer}, images)[0]
    np.testing.assert_allclose(made, jnp.clip(reconstructed, 0, 1), atol=1e-5)


def test_nets_that_do_not_fit_are_named():
    check_image_size(TOKENIZER, 8)
    with pytest.raises(UserError, match="must be 8"):
        check_image_size(TOKENIZER, 16)
    assert tokens_per_image(TOKENIZER, 8) == 4
    from vpt_gen.config import default_config

    config = default_config("prompts", "nar")
    check_num_tokens(config, TOKENIZER, BERT, 4)
    with pytest.raises(UserError, match="form a sequence, but a MaskGIT models a grid"):
        check_num_tokens(config, TOKENIZER, MaskGIT(7, 2, 4), 4)
    with pytest.raises(UserError, match="form a grid, but a TiTok generator models a sequence"):
        check_num_tokens(config, VQVAE(), BERT, 4)
    with pytest.raises(UserError, match="gives 4 visual tokens, but the transformer takes 9"):
        check_num_tokens(config, TOKENIZER, BERT.clone(num_tokens=9), 4)


@pytest.mark.slow
def test_features_keep_all_latents(tokenizer):
    from vpt_gen.checkpoints.backbone import PretrainedNet

    space = tokenizer_space(PretrainedNet(TOKENIZER, tokenizer, "", {}), 8)
    found = space.apply(tokenizer, jax.random.uniform(jax.random.key(0), (2, 8, 8, 3)) * 255)
    assert {name: x.shape[1] for name, x in found.items()} == dict(space.dims)
    assert space.dims["layout"] == 4 * 6
    with pytest.raises(UserError, match="takes images of 8 pixels only, not of 16"):
        tokenizer_space(PretrainedNet(TOKENIZER, tokenizer, "", {}), 16)
