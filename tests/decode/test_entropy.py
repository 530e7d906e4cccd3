"""Decoding by entropy against its algorithm in NumPy, and how often it asks the net."""

import jax.numpy as jnp
import numpy as np
import pytest

from tests.decode import stepwise_runs as runs
from vpt_gen.decode import entropy
from vpt_gen.decode.halton import reveal_counts
from vpt_gen.nets.transformer import MASK_TOKEN_ID as MASK


def by_the_paper(known, num_iterations, bound):
    """Image by image: open positions by rising entropy, as many as the bound or schedule allows."""
    tokens = np.array(known)
    revealed_at = np.full(tokens.shape, -1)
    for image in range(runs.B):
        unknown = (tokens[image] == MASK).sum()
        counts = [0, *reveal_counts(unknown, num_iterations, "cosine")]
        for t in range(num_iterations):
            log_p = runs.log_softmax(runs.logits_of(tokens)[image])
            doubt = -(np.exp(log_p) * log_p).sum(-1)
            open_places = [i for i in np.argsort(doubt) if tokens[image, i] == MASK]
            count = counts[t + 1] - counts[t]
            if bound:
                count = 0
                while count < len(open_places):
                    chosen = doubt[open_places[: count + 1]]
                    if chosen.sum() - chosen.max() > bound:
                        break
                    count += 1
                if t == num_iterations - 1:
                    count = len(open_places)
            drawn = (runs.logits_of(tokens) + runs.gumbel(runs.keys_of(t), runs.N, runs.K)).argmax(
                -1
            )
            for i in open_places[:count]:
                tokens[image, i] = drawn[image, i]
                revealed_at[image, i] = t
    return tokens, revealed_at


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


@pytest.mark.parametrize(("bound", "passes"), [(0.0, 6), (1e6, 1)])
def test_the_net_is_not_asked_when_nothing_is_open(bound, passes):
    """Counted as the program runs: a callback in the logits."""
    import jax

    asked = []

    def counted(tokens):
        jax.debug.callback(lambda: asked.append(1))
        return runs.wavy(tokens)

    decoder = entropy.Entropy(num_iterations=6, entropy_bound=bound)
    tokens, revealed_at = runs.run(decoder, logits_fn=counted)
    jax.effects_barrier()
    assert (tokens != MASK).all()
    assert len(asked) == passes == revealed_at.max() + 1
