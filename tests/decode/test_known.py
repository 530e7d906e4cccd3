"""Tokens that are known before decoding: they never change, and the others see them."""

import functools

import jax
import numpy as np
import pytest

from tests.decode import test_generate
from tests.random_params import random_params
from vpt_gen.decode.decoders import of_net
from vpt_gen.decode.generate import generate
from vpt_gen.nets.halton_maskgit import HaltonMaskGIT
from vpt_gen.nets.llamagen import LlamaGen
from vpt_gen.nets.rar import RAR
from vpt_gen.nets.titok_maskgit import TiTokMaskGIT
from vpt_gen.nets.transformer import MASK_TOKEN_ID

pytestmark = pytest.mark.slow

B, N, K, T = 4, 16, 9, 3
SIZES = test_generate.SIZES
NETS = {
    **test_generate.NETS,
    "halton": HaltonMaskGIT(K, 3, N, **SIZES, dropout_rate=0.0),
    "llamagen": LlamaGen(K, 3, N, **SIZES),
    "rar": RAR(K, 3, N, **SIZES),
    "titok": TiTokMaskGIT(K, 3, N, **SIZES, dropout_rate=0.0),
}
# All decoders, and on each net one of each way to ask it for its predictions.
WAYS = ("confidence", "moment", "halton_released", "autoregressive")
CASES = [
    (family, decoder)
    for family, net in NETS.items()
    for decoder in of_net(net)
    if family == "nar" or decoder in WAYS
]
cases = pytest.mark.parametrize(("family", "decoder"), CASES)
# Decoders whose work grows with the number of tokens that an image lacks, of which there are 12.
CHUNKED, LACKING = ("masked", "frontier"), {"num_unknown": 12}
PROMPTS = np.random.default_rng(2).normal(size=(1, 2, 3, 16)).astype(np.float32)
ROWS = np.array([0, 1, 1, 0])


@functools.cache
def params_of(family):
    return random_params(NETS[family], N)


@functools.partial(jax.jit, static_argnames=("family", "options"))
def program(family, options, params, keys, given):
    return generate(NETS[family], params, keys, N, **given, **dict(options))


def arguments(family, decoder, known, **options):
    """Of `program`: a new one for each family and each set of options."""
    iterations = {"num_iterations": T} if NETS[family].family == "nar" else {}
    options = {"decoder": decoder, **iterations, **options}
    given = {"prompts": PROMPTS, "rows": ROWS, "known": known}
    keys = test_generate.keys()[:B]
    return family, tuple(options.items()), params_of(family), keys, given


def drawn(*args, **options):
    return tuple(map(np.asarray, program(*arguments(*args, **options))))


def nothing():
    return np.full((B, N), MASK_TOKEN_ID, np.int32)


def some_known(seed=0):
    """Tokens of which the images lack 0, 5, 5 and 12."""
    rng = np.random.default_rng(seed)
    known = rng.integers(0, K, (B, N)).astype(np.int32)
    for image, count in enumerate([0, 5, 5, 12]):
        known[image, rng.permutation(N)[:count]] = MASK_TOKEN_ID
    return known


@pytest.mark.parametrize(
    ("family", "decoder", "options"),
    [(*case, {}) for case in CASES] + [("nar", name, LACKING) for name in CHUNKED],
)
def test_known_tokens_never_change(family, decoder, options):
    for known in map(some_known, range(3)):
        tokens, revealed_at = drawn(family, decoder, known, **options)
        given = known != MASK_TOKEN_ID
        np.testing.assert_array_equal(tokens[given], known[given])
        assert (tokens >= 0).all() and (tokens < K).all()
        np.testing.assert_array_equal(revealed_at < 0, given)


@cases
def test_nothing_known_is_plain_decoding(family, decoder):
    found = drawn(family, decoder, nothing()), drawn(family, decoder, None)
    for known, plain in zip(*found, strict=True):
        np.testing.assert_array_equal(known, plain)


def lengths_of_loops(jaxpr):
    for equation in jaxpr.eqns:
        if equation.primitive.name == "scan":
            yield equation.params["length"]
        for inner in jax.core.jaxprs_in_params(equation.params):
            yield from lengths_of_loops(inner)


@pytest.mark.parametrize("options", [{}, {"guidance": 1.5}], ids=["plain", "guided"])
@pytest.mark.parametrize("family", [name for name, net in NETS.items() if net.family == "ar"])
def test_known_tokens_that_are_run_at_once_give_the_same_tokens(family, options):
    known = some_known()
    known[:, :9], known[:, 10:] = np.arange(9), MASK_TOKEN_ID
    one_by_one = drawn(family, "autoregressive", known, **options)
    run = arguments(family, "autoregressive", known, **options, prefill=9)
    for a, b in zip(one_by_one, program(*run), strict=True):
        np.testing.assert_array_equal(a, b)
    lengths = set(lengths_of_loops(program.trace(*run).jaxpr))
    assert 7 in lengths and 16 not in lengths


@cases
def test_drawn_tokens_depend_on_known_ones(family, decoder):
    made = []
    for code in range(K):
        given = nothing()
        given[:, : N // 2] = code
        made.append(drawn(family, decoder, given)[0][:, N // 2 :])
    assert any((one != made[0]).any() for one in made)


@pytest.mark.parametrize("decoder", of_net(NETS["nar"]))
def test_every_iteration_draws_a_part_of_what_an_image_lacks(decoder):
    known = np.zeros((B, N), np.int32)
    known[:, 4:] = MASK_TOKEN_ID
    options = LACKING if decoder in CHUNKED else {}
    if decoder == "path_planning":  # It may open all of the first iteration's tokens again.
        options = {"stochasticity": 0.0}
    _, revealed_at = drawn("nar", decoder, known, **options)
    assert set(revealed_at[:, 4:].ravel().tolist()) == set(range(T))
