"""Codes of length 1: neither the latents' nor the stored codebook's lengths matter."""

import jax
import jax.numpy as jnp
import numpy as np

from vpt_gen.nets.llamagen_vqgan import LlamaGenVQGAN, UnitQuantizer, unit_length
from vpt_gen.nets.taming_vqgan import TamingVQGAN

LATENTS = jax.random.normal(jax.random.key(0), (40, 3))
CODEBOOK = jax.random.normal(jax.random.key(1), (7, 3))
LENGTHS = jnp.arange(1.0, 8.0)[:, None]


def quantize(latents, codebook):
    quantizer, variables = UnitQuantizer(7, 3), {"params": {"codebook": codebook}}
    tokens = quantizer.apply(variables, latents)
    return tokens, quantizer.apply(variables, tokens, method="lookup")


def test_the_nearest_code_is_that_of_the_smallest_angle():
    tokens, codes = quantize(LATENTS, CODEBOOK)
    angles = unit_length(LATENTS) @ unit_length(CODEBOOK).T
    np.testing.assert_array_equal(tokens, angles.argmax(axis=-1))
    np.testing.assert_allclose(jnp.linalg.norm(codes, axis=-1), 1.0, rtol=1e-6)
    # By distance alone, another code would be the nearest of many.
    distances = jnp.linalg.norm(LATENTS[:, None] - LENGTHS * CODEBOOK, axis=-1)
    assert (distances.argmin(axis=-1) != tokens).any()


def test_lengths_do_not_matter():
    tokens, codes = quantize(LATENTS, CODEBOOK)
    others, same = quantize(5.0 * LATENTS, LENGTHS * CODEBOOK)
    np.testing.assert_array_equal(others, tokens)
    np.testing.assert_allclose(same, codes, rtol=1e-6)


def test_no_vector_is_no_problem():
    gradient = jax.grad(lambda x: unit_length(x).sum())(jnp.zeros((2, 3)))
    assert jnp.isfinite(gradient).all()
    np.testing.assert_array_equal(unit_length(jnp.zeros((2, 3))), 0.0)


def test_training_compares_what_the_quantizer_compares():
    np.testing.assert_array_equal(LlamaGenVQGAN().comparable(LATENTS), unit_length(LATENTS))
    np.testing.assert_array_equal(TamingVQGAN().comparable(LATENTS), LATENTS)
