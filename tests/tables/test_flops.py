"""Operations by formula against those that the programs hold."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.benchmark.test_reference_way import AR, NAR, SMALL
from vpt_gen.benchmark import programs, sizes
from vpt_gen.benchmark.request import Request
from vpt_gen.decode.halton_released import reveal_counts
from vpt_gen.nets.halton_maskgit import HaltonMaskGIT
from vpt_gen.tables import flops

HALTON = sizes.Size(HaltonMaskGIT(16, 5, 16, **SMALL), NAR.tokenizer, 8, 3)


def counted(size, what, **options):
    program = programs.build(size, Request(what, "ours", "", batch=2, **options))
    return flops.count(program.function, *program.arguments), program.flops


@pytest.mark.slow
@pytest.mark.parametrize("size", [NAR, AR], ids=["nar", "ar"])
@pytest.mark.parametrize("what", ["forward", "gradient"])
def test_formula_and_count_agree(size, what):
    in_program, by_formula = counted(size, what)
    np.testing.assert_allclose(in_program, by_formula, rtol=0.02)


@pytest.mark.slow
def test_the_first_iteration_is_shared():
    in_program, by_formula = counted(NAR, "decode", num_iterations=4)
    # Two images of one class: the first of four iterations counts once.
    np.testing.assert_allclose(in_program, by_formula * 7 / 8, rtol=0.02)


@pytest.mark.slow
def test_guided_passes_and_logits_that_are_computed_once():
    options = {"num_iterations": 8, "guidance": 1.0, "decoder": "halton_released"}
    in_program, by_formula = counted(HALTON, "decode", **options)
    # Two images of one class share the first of eight iterations. Each iteration computes logits at
    # as many positions as the one that writes most.
    head = HALTON.transformer.head_flops
    rows = 8 * np.diff(reveal_counts(HALTON.num_tokens, 8), prepend=0).max()
    expected = (by_formula - 2 * head(HALTON.num_tokens)) * 15 / 16 + 2 * head(rows)
    np.testing.assert_allclose(in_program, expected, rtol=0.02)


def test_loops_count_as_often_as_they_run():
    def run(x):
        return jax.lax.scan(lambda x, _: (x @ x, None), x, None, length=5)[0]

    assert flops.count(run, jnp.ones((3, 3))) == 5 * 2 * 27


def test_a_loop_of_unknown_length_is_refused():
    def run(x):
        return jax.lax.while_loop(lambda x: x.sum() < 9, lambda x: x @ x, x)

    with pytest.raises(ValueError, match="unknown length"):
        flops.count(run, jnp.ones((3, 3)))
