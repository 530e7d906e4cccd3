"""Decoding by entropy against its algorithm in NumPy, and how often it asks the net."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.decode import stepwise_runs as runs
from vpt_gen.decode import entropy
from vpt_gen.nets.transformer import MASK_TOKEN_ID as MASK


def by_the_paper(known, num_iterations, bound):
    """Open positions by rising entropy, as many as the bound or the schedule allows."""

    def write(tokens, image, t, count):
        logits = runs.logits_of(tokens)[image]
        log_p = runs.log_softmax(logits)
        doubt = -(np.exp(log_p) * log_p).sum(-1)
        places = [place for place in np.argsort(doubt) if tokens[image, place] == MASK]
        if bound and t < num_iterations - 1:
            fits = [
                doubt[places[:k]].sum() - doubt[places[:k]].max() <= bound
                for k in range(1, len(places) + 1)
            ]
            count = sum(fits)  # A longer prefix never costs less.
        elif bound:
            count = len(places)
        drawn = (logits + runs.gumbel(runs.keys_of(t), runs.N, runs.K)[image]).argmax(-1)
        return {place: drawn[place] for place in places[:count]}

    return runs.image_by_image(known, num_iterations, write)


@pytest.mark.slow
@pytest.mark.parametrize("known", [runs.nothing_known(), runs.some_known()], ids=["none", "some"])
@pytest.mark.parametrize(("num_iterations", "bound"), [(4, 0.0), (12, 1.5), (3, 0.5)])
def test_whole_runs(known, num_iterations, bound):
    decoder = entropy.Entropy(num_iterations=num_iterations, entropy_bound=bound)
    expected = by_the_paper(known, num_iterations, bound)
    for ours, wanted in zip(runs.run(decoder, known), expected, strict=True):
        np.testing.assert_array_equal(ours, wanted)


def test_within_counts_all_but_the_largest():
    doubt = jnp.array([[0.2, 0.1, 9.0, 0.4], [5.0, 5.0, 5.0, 5.0], [jnp.inf, 0.0, jnp.inf, 0.0]])
    np.testing.assert_array_equal(entropy.within(doubt, 0.75), [4, 1, 2])
    np.testing.assert_array_equal(entropy.within(doubt, 0.25), [2, 1, 2])


@pytest.mark.slow
@pytest.mark.parametrize(("bound", "passes"), [(0.0, 6), (1e6, 1)])
def test_the_net_is_not_asked_when_nothing_is_open(bound, passes):
    """Counted as the program runs: a callback in the logits."""
    asked = []

    def counted(tokens):
        jax.debug.callback(lambda: asked.append(1))
        return runs.wavy(tokens)

    decoder = entropy.Entropy(num_iterations=6, entropy_bound=bound)
    tokens, revealed_at = runs.run(decoder, logits_fn=counted)
    jax.effects_barrier()
    assert (tokens != MASK).all()
    assert len(asked) == passes == revealed_at.max() + 1
