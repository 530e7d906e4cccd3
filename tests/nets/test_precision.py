"""Tokens do not depend on how coarsely a device multiplies unless it is asked."""

import jax
import jax.numpy as jnp
import pytest

from vpt_gen.nets.taming_vqgan import TamingVQGAN
from vpt_gen.nets.vqgan import VQGAN, squared_distances
from vpt_gen.nets.vqvae import VQVAE

NETS = {
    "maskgit": VQGAN(32, (1, 2), 1, 8, 16),
    "taming": TamingVQGAN(32, (1, 2), 1, (1,), 8, 8, 16),
    "vqvae": VQVAE((8, 8), 1, 8, 16),
}
IMAGES = jnp.zeros((1, 8, 8, 3))


def products(function, *args):
    """The lines of a lowered program that multiply, with the precision that each asks for.

    Lowered as for users, who do not share the precision that tests/conftest.py asks for.
    """
    with jax.default_matmul_precision("default"):
        text = jax.jit(function).lower(*args).as_text()
    names = ("stablehlo.dot_general", "stablehlo.convolution")
    return [line for line in text.splitlines() if any(name in line for name in names)]


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("method", ["tokenize", "encode"])
def test_every_product_that_tokens_depend_on_is_exact(name, method):
    net = NETS[name]
    variables = jax.eval_shape(net.init, jax.random.key(0), IMAGES)
    lines = products(lambda v, x: net.apply(v, x, method=method), variables, IMAGES)
    assert len(lines) > 5
    assert all("HIGHEST" in line and "DEFAULT" not in line for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_a_reconstruction_has_the_same_tokens(name):
    """As many products are exact as `tokenize` has: the decoder's need not be."""
    net = NETS[name]
    variables = jax.eval_shape(net.init, jax.random.key(0), IMAGES)
    lines = products(lambda v, x: net.apply(v, x)[2], variables, IMAGES)
    tokenized = products(lambda v, x: net.apply(v, x, method="tokenize"), variables, IMAGES)
    exact = [line for line in lines if "HIGHEST" in line]
    assert len(exact) == len(tokenized)


def test_distances_are_exact():
    (line,) = products(squared_distances, jnp.zeros((3, 4)), jnp.zeros((5, 4)))
    assert line.count("HIGHEST") == 2


@pytest.mark.parametrize("name", NETS)
def test_codes_are_looked_up_and_not_multiplied(name):
    net = NETS[name]
    variables = jax.eval_shape(net.init, jax.random.key(0), IMAGES)
    tokens = jnp.zeros((1, 4, 4), jnp.int32)
    assert not products(
        lambda v, t: net.apply(v, t, method=lambda n, t: n.quantizer.lookup(t)), variables, tokens
    )
