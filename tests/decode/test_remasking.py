"""ReMDM against its posterior in NumPy: the same noise, the same tokens; and what sigma keeps."""

import numpy as np
import pytest

from tests.decode import stepwise_runs as runs
from vpt_gen.decode import remasking
from vpt_gen.nets.transformer import MASK_TOKEN_ID as MASK

T = 8
OPTIONS = {
    "cap": {"remask": "cap", "remask_eta": 0.2},
    "rescale": {"remask": "rescale", "remask_eta": 0.4},
    "confidence": {"remask": "confidence"},
    "loop": {
        "remask": "cap",
        "remask_eta": 0.1,
        "loop_start": 0.45,
        "loop_stop": 0.8,
        "loop_known": 0.7,
    },
    "none": {"remask": "rescale", "remask_eta": 0.0},
}


def alpha(t, loop):
    """The share of known tokens after t of T iterations, if the mask schedule is a line."""
    p, (start, stop, level) = t / T, loop
    if not stop:
        return p
    if p < start:
        return level * p / start
    return level + (1 - level) * max(p - stop, 0) / (1 - stop)


def by_the_paper(known, options):
    tokens = np.array(known)
    fixed = tokens != MASK
    loop = options.get("loop_start", 0), options.get("loop_stop", 0), options.get("loop_known", 0)
    drawn_with = np.full(tokens.shape, np.inf)
    written = np.full(tokens.shape, -1)
    for t in range(T):
        a, b = alpha(t, loop), alpha(t + 1, loop)
        largest = min(1, (1 - b) / a) if a else 1.0
        if loop[1] and not loop[0] <= t / T < loop[1]:
            largest = 0.0
        p = np.exp(runs.log_softmax(runs.logits_of(tokens)))
        of_positions, of_tokens = runs.keys_of(t, 2)
        coin = runs.uniform(of_positions, runs.N)
        noise = runs.gumbel(of_tokens, runs.N, runs.K)
        before, probabilities = tokens.copy(), drawn_with.copy()
        for image, place in np.ndindex(*tokens.shape):
            if fixed[image, place]:
                continue
            sigma = min(options.get("remask_eta", 0), largest)
            if options["remask"] == "rescale":
                sigma = options["remask_eta"] * largest
            is_open = before[image, place] == MASK
            if options["remask"] == "confidence":
                weights = np.exp(-probabilities[image])
                sigma = 0 if is_open else largest * weights[place] / weights.sum()
            if is_open:
                if coin[image, place] < (b - (1 - sigma) * a) / (1 - a):
                    token = np.argmax(np.log(p[image, place]) + noise[image, place])
                    tokens[image, place], written[image, place] = token, t
                    drawn_with[image, place] = p[image, place, token]
            elif coin[image, place] < sigma:
                tokens[image, place], drawn_with[image, place] = MASK, np.inf
    return tokens, written


@pytest.mark.slow
@pytest.mark.parametrize("known", [runs.nothing_known(), runs.some_known()], ids=["none", "some"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_whole_runs(known, options):
    decoder = remasking.Remasking(num_iterations=T, schedule="uniform", **options)
    for ours, expected in zip(runs.run(decoder, known), by_the_paper(known, options), strict=True):
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.slow
def test_remasking_is_not_in_vain():
    """It changes the runs, and later iterations have the last word more often."""
    orders = {
        name: runs.run(remasking.Remasking(num_iterations=T, schedule="uniform", **options))[1]
        for name, options in OPTIONS.items()
    }
    for name in ("cap", "rescale", "confidence"):
        assert orders[name].mean() > orders["none"].mean(), name


@pytest.mark.parametrize("remask", ["cap", "rescale"])
def test_the_share_of_known_tokens_does_not_depend_on_sigma(remask):
    """Alpha' = alpha (1 - sigma) + (1 - alpha) times the probability of drawing."""
    shares = np.asarray(remasking.known_shares(np.array([64]), 12, "cosine", (0, 0, 0.9)))[:, 0]
    assert shares[0] == 0 and shares[-1] == 1 and (np.diff(shares) > 0).all()
    for before, after in zip(shares[:-1], shares[1:], strict=True):
        largest = float(remasking.largest_sigma(before, after))
        sigma = min(0.3, largest) if remask == "cap" else 0.3 * largest
        draw = (after - (1 - sigma) * before) / (1 - before)
        assert -1e-6 <= draw <= 1 + 1e-6
        np.testing.assert_allclose(before * (1 - sigma) + (1 - before) * draw, after, rtol=1e-5)


def test_requirements():
    def unmet(**options):
        return [name for name, met, _ in remasking.Remasking(**options).requirements() if not met]

    assert unmet() == []
    assert unmet(remask="all") == ["remask"]
    assert unmet(loop_start=0.5, loop_stop=0.4) == ["loop_stop"]
    assert unmet(loop_start=0.4, loop_stop=0.9) == []
