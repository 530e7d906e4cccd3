"""Memory of intermediate values in any program, on paper."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import jax
from jax.extend import core


def peak_bytes(function: Callable, *arguments: Any) -> int:
    """Returns the most bytes of intermediate values that a program holds at a time.

    Every operation's result counts, from the operation to its last use, as if nothing was fused.
    Compilers need less, where they fuse, and more, where they rearrange the inputs of a product.
    Arguments, such as parameters, do not count.
    """
    return _peak(jax.make_jaxpr(function)(*arguments).jaxpr)


def _peak(jaxpr) -> int:
    last_use = {
        variable: number
        for number, equation in enumerate(jaxpr.eqns)
        for variable in _variables(equation.invars)
    }
    last_use |= dict.fromkeys(_variables(jaxpr.outvars), len(jaxpr.eqns))
    held: dict[Any, int] = {}
    peak = 0
    for number, equation in enumerate(jaxpr.eqns):
        inside = max(map(_peak, jax.core.jaxprs_in_params(equation.params)), default=0)
        made = {variable: _bytes(variable) for variable in equation.outvars}
        peak = max(peak, sum(held.values()) + max(inside, sum(made.values())))
        held = {v: size for v, size in (held | made).items() if last_use.get(v, -1) > number}
    return peak


def _variables(atoms: Iterable[Any]) -> list[Any]:
    return [atom for atom in atoms if not isinstance(atom, core.Literal)]


def _bytes(variable: Any) -> int:
    return math.prod(variable.aval.shape) * variable.aval.dtype.itemsize
