"""Floating-point operations of products: multiplications and additions of matrices and filters.

Two methods, which tests compare: formulas, for tables; and a count of the products in any program.
Operations that are not products (norms, softmax, GELU) are not counted: they keep a program below
the rate of its products.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from vpt_gen.nets.transformer import TokenTransformer


def tuning_step(net: TokenTransformer, num_tokens: int, num_prompt_tokens: int) -> int:
    """FLOPs of the loss and its gradient at the prompts, for one example of visual tokens."""
    length = net.num_inputs(num_tokens, num_prompt_tokens)
    layers = net.layers_flops(length, True, num_prompt_tokens)
    return layers + net.head_flops(num_tokens, backward=True)


def parallel_decoding(
    net: TokenTransformer, num_tokens: int, num_prompt_tokens: int, num_iterations: int
) -> int:
    """FLOPs per image; if n images share a condition, they share the first iteration."""
    length, rows = net.num_inputs(num_tokens, num_prompt_tokens), net.num_logit_rows(num_tokens)
    iteration = net.layers_flops(length) + net.head_flops(rows)
    return num_iterations * iteration


def cached_decoding(net: TokenTransformer, num_tokens: int, num_prompt_tokens: int) -> int:
    """FLOPs per image, token by token: the prefix once, then each token with those before it."""
    d = net.hidden_size
    lengths = net.cached_prompts(num_prompt_tokens) + np.arange(num_tokens)
    length = net.prefix_length(num_prompt_tokens)
    prefix = net.layers_flops(length, num_prompt_tokens=num_prompt_tokens)
    tokens = num_tokens * 2 * net.layer_parameters + 4 * d * int(lengths.sum())
    return prefix + net.num_layers * tokens + net.head_flops(num_tokens)


def bytes_a_token(
    params: Any, net: TokenTransformer, batch: int, num_prompt_tokens: int, num_tokens: int
) -> int:
    """Bytes that a step of cached decoding must read, on average: all matrices, and the cache."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    matrices = [x for path, x in leaves if path[-1].key == "kernel"]
    length = net.cached_prompts(num_prompt_tokens) + (num_tokens - 1) // 2
    cache = net.num_layers * batch * length * net.cached_numbers * matrices[0].dtype.itemsize
    return sum(x.nbytes for x in matrices) + cache


def count(function: Callable, *arguments: Any) -> int:
    """Counts the FLOPs of the products in a program, including loops.

    Raises:
      ValueError: a loop of unknown length.
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
