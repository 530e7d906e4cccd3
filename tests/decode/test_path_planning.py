"""Self-correction against the released algorithm in NumPy: what is opened again, what stays."""

import numpy as np
import pytest

from tests.decode import stepwise_runs as runs
from vpt_gen.decode.halton import reveal_counts
from vpt_gen.decode.path_planning import PathPlanning
from vpt_gen.nets.transformer import MASK_TOKEN_ID as MASK


def as_released(known, num_iterations, eta):
    """With a mask schedule that falls in a line, its default."""
    tokens = np.array(known)
    fixed = tokens != MASK
    opened_again = 0
    for t in range(num_iterations):
        noised = runs.logits_of(tokens) + runs.gumbel(runs.keys_of(t), runs.N, runs.K)
        drawn, scores = noised.argmax(-1), runs.log_softmax(noised).max(-1)
        was_open = tokens == MASK
        scores[~was_open] *= eta
        scores[fixed] = np.inf
        for image in range(runs.B):
            num_unknown = (~fixed[image]).sum()
            count = num_unknown - reveal_counts(num_unknown, num_iterations, "uniform")[t]
            lowest = scores[image] < np.sort(scores[image])[count]
            opened_again += (lowest & ~was_open[image]).sum()
            tokens[image, was_open[image] & ~lowest] = drawn[image, was_open[image] & ~lowest]
            tokens[image, lowest] = MASK
    return tokens, opened_again


@pytest.mark.slow
@pytest.mark.parametrize("known", [runs.nothing_known(), runs.some_known()], ids=["none", "some"])
@pytest.mark.parametrize(("eta", "corrects"), [(1.0, True), (3.0, True), (0.0, False)])
def test_whole_runs(known, eta, corrects):
    decoder = PathPlanning(num_iterations=6, schedule="uniform", stochasticity=eta)
    tokens, revealed_at = runs.run(decoder, known)
    expected, opened_again = as_released(known, 6, eta)
    np.testing.assert_array_equal(tokens, expected)
    assert (opened_again > 0) == corrects
    np.testing.assert_array_equal(revealed_at == -1, np.asarray(known) != MASK)


@pytest.mark.slow
def test_the_last_change_of_a_token_is_reported():
    """Without corrections tokens follow the schedule; with them, they are written later."""
    orders = [
        runs.run(PathPlanning(num_iterations=6, schedule="uniform", stochasticity=eta))[1]
        for eta in (0.0, 3.0)
    ]
    np.testing.assert_array_equal(np.sort(orders[0]), [np.repeat(np.arange(6), 2)] * runs.B)
    assert orders[1].mean() > orders[0].mean()
