"""The moment sampler against its algorithm in NumPy, and against what it stands for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.decode import stepwise_runs as runs
from vpt_gen.decode import moment
from vpt_gen.decode.parallel import choose_masked
from vpt_gen.nets.transformer import MASK_TOKEN_ID as MASK


def by_the_paper(known, num_iterations, alpha):
    """Gumbel-top-k of the moments, then tokens by the same powers."""

    def write(tokens, image, t, count):
        last = t == num_iterations - 1
        beta = 1 if last else 1 + 1 / (alpha * (1 - (t + 1) / num_iterations))
        of_positions, of_tokens = runs.keys_of(t, 2)
        powers = beta * runs.log_softmax(runs.logits_of(tokens)[image])
        scores = np.log(np.exp(powers).sum(-1)) + runs.gumbel(of_positions, runs.N)[image]
        scores[tokens[image] != MASK] = -np.inf
        drawn = (powers + runs.gumbel(of_tokens, runs.N, runs.K)[image]).argmax(-1)
        return {place: drawn[place] for place in np.argsort(-scores)[:count]}

    return runs.image_by_image(known, num_iterations, write)


@pytest.mark.slow
@pytest.mark.parametrize("known", [runs.nothing_known(), runs.some_known()], ids=["none", "some"])
def test_whole_runs(known):
    decoder = moment.Moment(num_iterations=4, choice_temperature=1.5)
    for ours, expected in zip(runs.run(decoder, known), by_the_paper(known, 4, 1.5), strict=True):
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.slow
def test_one_of_many_positions_is_written_as_by_maskgit():
    """Frequencies of tokens if one of 100 positions is kept: both sharpen p by beta."""
    n, alpha, draws = 100, 1.0, 2000
    rng = np.random.default_rng(0)
    kinds = jnp.asarray(rng.normal(0, 1.5, (2, 4)), jnp.float32)  # Half the positions each.
    logits = jnp.repeat(kinds, n // 2, axis=0)[None]

    def ours(key):
        a, b = jax.random.split(key)
        noise = jax.random.gumbel(a, (1, n)), jax.random.gumbel(b, (1, n, 4))
        tokens = moment.step(jnp.full((1, n), MASK), logits, noise, 1 + 1 / alpha, jnp.array([1]))
        place = jnp.argmax(tokens[0] != MASK)
        return 4 * (place >= n // 2) + tokens[0, place]

    def maskgits(key):
        a, b = jax.random.split(key)
        tokens = jax.random.categorical(a, logits)
        chances = jnp.take_along_axis(jax.nn.softmax(logits), tokens[..., None], -1)[..., 0]
        place = jnp.argmin(choose_masked(b, chances, jnp.array([[n - 1]]), alpha)[0])
        return 4 * (place >= n // 2) + tokens[0, place]

    law = np.exp(2 * runs.log_softmax(np.asarray(kinds, np.float64))).ravel()
    law /= law.sum()
    plain = np.exp(runs.log_softmax(np.asarray(kinds, np.float64))).ravel() / 2
    for sampler in (ours, maskgits):
        keys = jax.random.split(jax.random.key(1), draws)
        shares = np.bincount(jax.jit(jax.vmap(sampler))(keys), minlength=8) / draws
        np.testing.assert_allclose(shares, law, atol=4 * 0.5 / draws**0.5)
        assert abs(shares - plain).max() > 0.1


def test_exponents_sharpen_until_the_last_iteration_which_has_no_choice():
    np.testing.assert_allclose(moment.exponents(4, 2.0), [1 + 1 / 1.5, 2, 3, 1], rtol=1e-6)
    assert np.isfinite(moment.exponents(4, 0.0)).all()
    assert moment.exponents(1, 4.5) == [1.0]
