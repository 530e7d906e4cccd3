"""The tokenizer of small images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vpt_gen.nets.vqvae import VQVAE, depth_to_space, space_to_depth

NET = VQVAE((8, 12, 16), num_res_blocks=1, embedding_dim=4, codebook_size=8)
IMAGES = jax.random.uniform(jax.random.key(0), (2, 16, 24, 3))


def test_a_block_of_pixels_becomes_the_channels_of_one():
    x = np.arange(2 * 4 * 6 * 3).reshape(2, 4, 6, 3)
    deep = space_to_depth(x)
    assert deep.shape == (2, 2, 3, 12)
    np.testing.assert_array_equal(deep[1, 1, 2], x[1, 2:4, 4:6].ravel())
    np.testing.assert_array_equal(depth_to_space(deep), x)


@pytest.mark.slow
def test_an_image_has_a_token_for_each_block_of_pixels():
    variables = jax.jit(NET.init)(jax.random.key(1), IMAGES)
    reconstruction, latents, tokens = NET.apply(variables, IMAGES)
    assert NET.downsampling == 8 and tokens.shape == (2, 2, 3) and latents.shape == (2, 2, 3, 4)
    assert reconstruction.shape == IMAGES.shape
    np.testing.assert_array_equal(tokens, NET.apply(variables, IMAGES, method="tokenize"))
    again = NET.apply(variables, tokens, method="detokenize")
    np.testing.assert_allclose(again, reconstruction, atol=1e-5)


@pytest.mark.slow
def test_the_color_of_a_plain_image_reaches_its_latents():
    variables = jax.jit(NET.init)(jax.random.key(1), IMAGES)
    red, blue = (jnp.zeros((1, 24, 24, 3)).at[..., c].set(1.0) for c in (0, 2))
    encode = jax.jit(lambda x: NET.apply(variables, x, method="encode"))
    assert jnp.abs(encode(red) - encode(blue)).max() > 0.1
