"""Programs in processes of their own, and what is made of their figures."""

import numpy as np
import pytest

from tests.benchmark.test_reference_way import NAR
from vpt_gen.benchmark import (
    comparison,
    growth,
    table,
)
from vpt_gen.benchmark.request import Request
from vpt_gen.benchmark.running import Running


def record(way, seconds, **others):
    return {
        **vars(Request("tune", way, "demo")),
        "unit": "images",
        "units": 2,
        "flops": 10,
        "bytes": 0,
        "seconds": seconds,
        "trace_seconds": 1.0,
        "compile_seconds": 3.0,
        "temporary_bytes": 5,
        "peak_bytes": 100,
    } | others


def test_figures_are_medians_and_ratios_are_of_pairs():
    ours, theirs = record("ours", [1.0, 2.0, 9.0]), record("reference", [3.0, 4.0, 9.0])
    best = record("", [1.0], flops=20)
    rows = table.summary([ours, theirs], {"matmul": best})
    assert rows[0]["images_per_second"] == 1.0
    assert rows[0]["share_of_matmul_rate"] == 0.25
    assert rows[1]["ours_times_as_fast"] == 2.0
    assert rows[1]["ours_share_of_peak"] == 1.0
    assert "2.00 times as fast" in table.lines(rows, {"matmul": best})[-1]


@pytest.mark.slow
def test_a_program_in_a_process_of_its_own():
    (found,) = comparison.compare([Request("detokenize", "ours", "demo")], 2, "test")
    assert len(found["seconds"]) == 2 and min(found["seconds"]) > 0
    assert found["units"] == 1 and found["peak_bytes"] > found["temporary_bytes"] > 0


@pytest.mark.slow
def test_what_a_program_is_known_by():
    running = Running(Request("gradient", "ours", "demo"), NAR)
    assert running.run() > 0
    assert running.facts.flops > 0 and running.facts.temporary_bytes > 0


def test_exponents():
    values = [1, 2, 4]
    assert growth.exponent(values, [3, 6, 12]) == pytest.approx(1.0)
    assert growth.exponent(values, list(np.square(values))) == pytest.approx(2.0)
