"""The speed of edits: what is drawn, and the ratios to a whole image."""

import jax
import numpy as np
import pytest

from tests.benchmark.test_comparison import record
from tests.benchmark.test_reference_way import AR, NAR
from tests.programs import call
from vpt_gen.benchmark import __main__ as benchmark
from vpt_gen.benchmark import edits, programs
from vpt_gen.benchmark.request import Request
from vpt_gen.errors import UserError


@pytest.mark.slow
@pytest.mark.parametrize("size", [NAR, AR])
def test_an_edit_draws_its_share_of_the_tokens(size):
    for edited, first in ((0.0, 0), (0.5, 8), (1.0, 0)):
        program = programs.build(size, Request("edit", "ours", "", batch=2, edited=edited))
        tokens, steps = jax.jit(program.function)(*program.arguments)
        assert (steps[:, :first] == -1).all() and (steps[:, first:] >= 0).all()
        if first:
            known = program.arguments[-1]
            np.testing.assert_array_equal(tokens[:, :first], known[:, :first])


def test_ratios_are_of_turns():
    whole = record("ours", [1.0, 2.0, 4.0])
    parts = [record("ours", [0.5, 1.0, 1.0]), record("ours", [1.0, 4.0, 4.0])]
    ratios = edits.ratios([whole, *parts])
    assert ratios == [[0.5, 0.5, 0.25], [1.0, 2.0, 1.0]]
    found = [{"decoder": "halton", "records": [whole, *parts], "ratios": ratios}]
    head, _, row = edits.lines(found)
    assert head == "| decoder | 1/8 | 1/4 | 1/2 | 1 | whole image |"
    assert row == "| `halton` | 0.50 (0.25 to 0.50) | 1.00 (1.00 to 2.00) | 2 s |"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--what=decode", "--decoders=frontier", "--guidance=1"], "frontier has no guidance: le"),
        (["--what=edit", "--decoders=halton,masked", "--guidance=1"], "masked has no guidance"),
        (["--what=decode", "--decoders=autoregressive"], "does not work with the MaskGIT of"),
        (["--what=edit", "--size=titok_l32"], "have no places"),
    ],
)
def test_what_does_not_go_together_is_told_before_anything_runs(given, message, tmp_path):
    with pytest.raises(UserError, match=message):
        call(benchmark, *given, f"--output={tmp_path / 'out.json'}", needs_config=False)
