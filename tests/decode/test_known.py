"""Tokens that are known before decoding: they never change, and the others see them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.decode.test_generate import NETS as OLDER
from tests.decode.test_generate import OPTIONS
from vpt_gen.decode.decoders import of_net
from vpt_gen.decode.generate import generate
from vpt_gen.nets.halton_maskgit import HaltonMaskGIT
from vpt_gen.nets.llamagen import LlamaGen
from vpt_gen.nets.rar import RAR
from vpt_gen.nets.titok_maskgit import TiTokMaskGIT
from vpt_gen.nets.transformer import MASK_TOKEN_ID

pytestmark = pytest.mark.slow

B, N, K = 4, 16, 9
SIZES = {"num_layers": 2, "hidden_size": 16, "num_heads": 2, "intermediate_size": 32}
NETS = {
    **OLDER,
    "halton": HaltonMaskGIT(K, 3, N, **SIZES, dropout_rate=0.0),
    "llamagen": LlamaGen(K, 3, N, **SIZES),
    "rar": RAR(K, 3, N, **SIZES),
    "titok": TiTokMaskGIT(K, 3, N, **SIZES, dropout_rate=0.0),
}
CASES = [(family, decoder) for family, net in NETS.items() for decoder in of_net(net)]
cases = pytest.mark.parametrize(("family", "decoder"), CASES)


@functools.cache
def params_of(family):
    """Of large differences; before training, modulation would be zero."""
    tokens = jnp.zeros((1, N), jnp.int32)
    made = NETS[family].init(jax.random.key(0), tokens, class_ids=tokens[:, 0])["params"]
    leaves, tree = jax.tree.flatten(made)
    keys = jax.random.split(jax.random.key(3), len(leaves))
    pairs = zip(keys, leaves, strict=True)
    return jax.tree.unflatten(
        tree,
        [20 * x + jax.random.normal(key, x.shape) if x.ndim > 1 else x for key, x in pairs],
    )


@functools.cache
def program(family, decoder, num_unknown, **options):
    """(params, known) -> what `generate` returns; compiled once for all tests."""
    net = NETS[family]
    return jax.jit(
        lambda params, known: generate(
            net,
            params,
            jax.random.split(jax.random.key(1), B),
            N,
            prompts=jax.random.normal(jax.random.key(2), (1, 2, 3, 16)),
            rows=jnp.array([0, 1, 1, 0]),
            known=known,
            num_unknown=num_unknown,
            decoder=decoder,
            **{**OPTIONS[net.family], **options},
        )
    )


def drawn(family, decoder, known, num_unknown=None, **options):
    return program(family, decoder, num_unknown, **options)(params_of(family), known)


def some_known(seed=0):
    """Tokens of which the images lack 0, 5, 5 and 12."""
    rng = np.random.default_rng(seed)
    known = rng.integers(0, K, (B, N)).astype(np.int32)
    for image, count in enumerate([0, 5, 5, 12]):
        known[image, rng.permutation(N)[:count]] = MASK_TOKEN_ID
    return jnp.asarray(known)


@cases
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("num_unknown", [None, 12])
def test_known_tokens_never_change(family, decoder, seed, num_unknown):
    known = some_known(seed)
    tokens, revealed_at = drawn(family, decoder, known, num_unknown)
    given = np.asarray(known != MASK_TOKEN_ID)
    np.testing.assert_array_equal(np.asarray(tokens)[given], np.asarray(known)[given])
    assert (np.asarray(tokens) >= 0).all() and (np.asarray(tokens) < K).all()
    np.testing.assert_array_equal(np.asarray(revealed_at) < 0, given)


@cases
def test_nothing_known_is_plain_decoding(family, decoder):
    nothing = jnp.full((B, N), MASK_TOKEN_ID)
    for known, plain in zip(
        drawn(family, decoder, nothing), drawn(family, decoder, None), strict=True
    ):
        np.testing.assert_array_equal(known, plain)


def lengths_of_loops(jaxpr):
    for equation in jaxpr.eqns:
        if equation.primitive.name == "scan":
            yield equation.params["length"]
        for inner in jax.core.jaxprs_in_params(equation.params):
            yield from lengths_of_loops(inner)


@pytest.mark.parametrize("guidance", [0.0, 1.5])
@pytest.mark.parametrize("family", [name for name, net in NETS.items() if net.family == "ar"])
def test_known_tokens_that_are_run_at_once_give_the_same_tokens(family, guidance):
    known = some_known().at[:, :9].set(jnp.arange(9)).at[:, 10:].set(MASK_TOKEN_ID)
    found = [
        drawn(family, "autoregressive", known, guidance=guidance, prefill=prefill)
        for prefill in (0, 9)
    ]
    for one_by_one, at_once in zip(*found, strict=True):
        np.testing.assert_array_equal(one_by_one, at_once)
    run = program(family, "autoregressive", None, guidance=guidance, prefill=9)
    lengths = set(lengths_of_loops(jax.make_jaxpr(run)(params_of(family), known).jaxpr))
    assert 7 in lengths and 16 not in lengths


@cases
def test_drawn_tokens_depend_on_known_ones(family, decoder):
    nothing = jnp.full((B, N), MASK_TOKEN_ID)
    given = [nothing.at[:, : N // 2].set(code) for code in range(K)]
    made = [drawn(family, decoder, known)[0][:, N // 2 :] for known in given]
    assert any((one != made[0]).any() for one in made)


@pytest.mark.parametrize("decoder", of_net(NETS["nar"]))
def test_every_iteration_draws_a_part_of_what_an_image_lacks(decoder):
    known = jnp.zeros((B, N), jnp.int32).at[:, 4:].set(MASK_TOKEN_ID)
    # Otherwise path planning may open all of the first iteration's tokens again.
    _, revealed_at = drawn("nar", decoder, known, 12, stochasticity=0.0)
    assert set(np.asarray(revealed_at)[:, 4:].ravel().tolist()) == {0, 1, 2, 3}
