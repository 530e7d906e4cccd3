"""Floating-point operations of products: multiplications and additions of matrices and filters.

Two ways, which tests hold against each other: formulas, for paper; and a count of the products that
a program holds as it is written, for any program. What is not a product (norms, softmax, GELU) is
counted in neither: it is what keeps a program from the rate of its products.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from vpt_gen.nets.gpt import GPT
from vpt_gen.nets.maskgit import MaskGIT


def layers(net: MaskGIT | GPT, length: int, backward: bool = False) -> int:
    """Of the layers, for one sequence of so many positions.

    Every weight is multiplied with every position, and every position with every other, twice
    (scores and sums of values). The backward pass through frozen layers forms the gradients of
    activations alone: once more as much for the weights, twice as much for attention, whose both
    factors are activations.
    """
    d, f = net.hidden_size, net.intermediate_size
    weights = 2 * length * (4 * d * d + 2 * d * f)
    attention = 4 * length * length * d
    total = weights * (2 if backward else 1) + attention * (3 if backward else 1)
    return net.num_layers * total


def head(net: MaskGIT | GPT, rows: int, backward: bool = False) -> int:
    """Of the logits over the codebook at so many positions."""
    d = net.hidden_size
    dense = d * d if isinstance(net, MaskGIT) else 0
    return 2 * rows * (dense + d * net.codebook_size) * (2 if backward else 1)


def tuning_step(net: MaskGIT | GPT, num_tokens: int, num_prompt_tokens: int) -> int:
    """Of the loss and its gradient at the prompts, for one example of visual tokens.

    The sequence is the prompts and the N tokens; of a GPT the last token is never an input.
    """
    length = num_prompt_tokens + num_tokens - isinstance(net, GPT)
    return layers(net, length, backward=True) + head(net, num_tokens, backward=True)


def parallel_decoding(net: MaskGIT, num_prompt_tokens: int, num_iterations: int) -> int:
    """Of one image; where n images share a condition, each has a first iteration less 1 - 1/n."""
    rows = net.num_tokens + 1
    iteration = layers(net, num_prompt_tokens + net.num_tokens) + head(net, rows)
    return num_iterations * iteration


def cached_decoding(net: GPT, num_tokens: int, num_prompt_tokens: int) -> int:
    """Of one image, token after token: the prefix once, then each token with those before it."""
    d, f = net.hidden_size, net.intermediate_size
    lengths = num_prompt_tokens + np.arange(num_tokens)
    tokens = num_tokens * 2 * (4 * d * d + 2 * d * f) + 4 * d * int(lengths.sum())
    return layers(net, num_prompt_tokens) + net.num_layers * tokens + head(net, num_tokens)


def bytes_a_token(
    params: Any, net: GPT, batch: int, num_prompt_tokens: int, num_tokens: int
) -> int:
    """What a step of cached decoding must read, on average: every matrix, and the cache so far."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    matrices = [x for path, x in leaves if path[-1].key == "kernel"]
    length = num_prompt_tokens + (num_tokens - 1) // 2
    cache = 2 * net.num_layers * batch * length * net.hidden_size * matrices[0].dtype.itemsize
    return sum(x.nbytes for x in matrices) + cache


def count(function: Callable, *arguments: Any) -> int:
    """Of the products in a program, loops included.

    Raises:
      ValueError: a loop whose length is not known before it runs.
    """
    return _count(jax.make_jaxpr(function)(*arguments).jaxpr)


def _count(jaxpr) -> int:
    total = 0
    for equation in jaxpr.eqns:
        name, params = equation.primitive.name, equation.params
        if name == "dot_general":
            total += _dot(equation)
        elif name == "conv_general_dilated":
            total += _convolution(equation)
        elif name == "while":
            if any(_count(inner) for inner in jax.core.jaxprs_in_params(params)):
                raise ValueError("A loop of unknown length holds products.")
        else:
            times = params["length"] if name == "scan" else 1
            total += times * sum(_count(inner) for inner in jax.core.jaxprs_in_params(params))
    return total


def _dot(equation) -> int:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left = equation.invars[0].aval.shape
    return 2 * math.prod(equation.outvars[0].aval.shape) * math.prod(left[i] for i in contracted)


def _convolution(equation) -> int:
    kernel = equation.invars[1].aval.shape
    outputs = equation.params["dimension_numbers"].rhs_spec[0]
    per_number = math.prod(kernel) // kernel[outputs]
    return 2 * math.prod(equation.outvars[0].aval.shape) * per_number
