"""Mask schedules against the released ones."""

import numpy as np
import pytest

from tests import golden
from vpt_gen.decode.schedules import check_schedule, mask_rate

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
