"""A batch computed in parts, one after another, which need the memory of one part.

An update stays one update: the gradient is that of the whole batch.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from vpt_gen.training.state import Params


@dataclasses.dataclass(frozen=True)
class Part:
    """One of the equal parts of a batch.

    Attributes:
      count: number of parts.
      number: of this one, from 0.
    """

    count: int
    number: jax.Array | int

    def rows(self, tree: Any) -> Any:
        """Returns the part's rows of arrays (B, ...): row `number` and every `count`-th after it.

        Devices that share the batch also share every part, without exchanging rows.
        """
        if self.count == 1:
            return tree

        def take(x: jax.Array) -> jax.Array:
            x = x.reshape(len(x) // self.count, self.count, *x.shape[1:])
            return jax.lax.dynamic_index_in_dim(x, self.number, axis=1, keepdims=False)

        return jax.tree.map(take, tree)

    def key(self, key: jax.Array) -> jax.Array:
        """Returns the key of what is drawn within the part; of a whole batch the key itself."""
        return key if self.count == 1 else jax.random.fold_in(key, self.number)


def mean_and_gradient(
    losses: Callable[[Params, Part], jax.Array], params: Params, count: int
) -> tuple[jax.Array, Params]:
    """Returns the mean of a batch's losses and its gradient.

    Args:
      losses: (params, part) -> the losses (B / count,) of its examples.
      params: to differentiate by.
      count: number of parts; it divides B.
    """

    def of_part(number: jax.Array | int) -> tuple[jax.Array, Params]:
        part = Part(count, number)
        return jax.value_and_grad(lambda params: losses(params, part).mean())(params)

    if count == 1:
        return of_part(0)

    def add(sums, number: jax.Array):
        return jax.tree.map(jnp.add, sums, of_part(number)), None

    zeros = jnp.zeros(()), jax.tree.map(jnp.zeros_like, params)
    sums, _ = jax.lax.scan(add, zeros, jnp.arange(count))
    # The parts are of one size, so that the mean of their means is that of the batch.
    return jax.tree.map(lambda x: x / count, sums)


def scan_convolutions(function, carry, parts):
    """`jax.lax.scan`; unrolled on a CPU, where convolutions in a loop take 50 times as long."""
    count = len(jax.tree.leaves(parts)[0])
    if count > 1 and jax.default_backend() != "cpu":
        return jax.lax.scan(function, carry, parts)
    outputs = []
    for number in range(count):
        part = jax.tree.map(lambda x, number=number: x[number], parts)
        carry, output = function(carry, part)
        outputs.append(output)
    return carry, jax.tree.map(lambda *x: jnp.stack(x), *outputs)
