"""Mask schedules against the released ones, and how guidance rises."""

import numpy as np
import pytest

from tests import golden
from vpt_gen.decode.schedules import (
    check_schedule,
    guidance_requirement,
    guidance_shares,
    mask_rate,
)

FILE = "decode.npz"


@pytest.mark.parametrize("case", golden.cases(FILE, r"schedule/(.+/N\d+)"))
def test_rates(case):
    schedule, unknown = case.split("/N")
    rate = mask_rate(golden.load(FILE, "schedule/ratio"), int(unknown), schedule)
    golden.check(FILE, f"schedule/{case}", rate)


@pytest.mark.parametrize(
    "schedule", ["uniform", "cosine", "arccos", "log", "exp", "pow2", "pow.5", "pow3."]
)
def test_rate_falls_to_almost_nothing(schedule):
    rate = np.asarray(mask_rate(np.linspace(0.0, 1.0, 11), 100, schedule))
    assert (np.diff(rate) <= 0).all()
    assert rate[0] > 0.98
    np.testing.assert_allclose(rate[-1], 1e-6)


@pytest.mark.parametrize(
    "schedule", ["linear", "Cosine", "", "pow", "pow-1", "pow2x", "pow1.2.3", "pow0", "pow1000"]
)
def test_unknown_schedule_is_an_error(schedule):
    with pytest.raises(ValueError, match="not known"):
        check_schedule(schedule)
    with pytest.raises(ValueError, match="not known"):
        mask_rate(0.5, 10, schedule)


def test_guidance_rises_from_nothing_to_all_of_it():
    np.testing.assert_allclose(guidance_shares(5), 1.0)
    np.testing.assert_allclose(guidance_shares(5, "linear"), [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(guidance_shares(5, "pow2"), [0, 1 / 16, 1 / 4, 9 / 16, 1])
    expected = [0, 0.5 - 2**-1.5, 0.5, 0.5 + 2**-1.5, 1]
    np.testing.assert_allclose(guidance_shares(5, "cosine"), expected, atol=1e-12)
    assert guidance_shares(1, "linear") == [1.0]
    # Of the progress t / T, not of t / (T - 1).
    expected = [
        0,
        0.5 - 0.5 * np.cos(np.pi / 16),
        0.5 - 2**-1.5,
        0.5 - 0.5 * np.cos(9 * np.pi / 16),
    ]
    np.testing.assert_allclose(guidance_shares(4, "powcosine2"), expected, atol=1e-12)


def test_the_first_part_may_have_no_guidance():
    assert guidance_shares(5, "constant", 0.4) == [0, 0, 1, 1, 1]
    assert guidance_shares(5, "linear", 0.5) == [0, 0, 0, 0.75, 1]
    # AutoNAT's strategy for eight iterations has none in three.
    assert guidance_shares(8, "constant", 0.375) == [0, 0, 0, 1, 1, 1, 1, 1]
    for start in (7 / 25, 0.28):  # Times 25 a little more than 7.
        assert guidance_shares(25, "constant", start) == [0.0] * 7 + [1.0] * 18
    assert guidance_shares(25, "constant", 1e-9) == [0.0] + [1.0] * 24


@pytest.mark.parametrize(
    "schedule", ["arccos", "", "pow", "pow0", "powcosine", "powcosine0", "Linear"]
)
def test_an_unknown_guidance_schedule_is_an_error(schedule):
    with pytest.raises(ValueError, match="Guidance schedule .* is not known; use 'constant'"):
        guidance_shares(5, schedule)
    assert not guidance_requirement(schedule)[1]
