"""Names for the axes of activations, by which a mesh can lay them out.

Nets name the axes; which part of a mesh a name means is said by the rules in force
(`flax.linen.logical_axis_rules`, see `machine/sharding.py`). Without rules a name means nothing.
"""

import flax.linen as nn
import jax
from flax.linen.spmd import RulesFallback


def named(x: jax.Array, *axes: str | None) -> jax.Array:
    """`x`, laid out by its axes' names; an axis without one is whole on every device.

    An axis of length 1 cannot be split: so decoding, which maps over single images, only loses the
    constraint on the batch. Axes beyond the names given are whole, too.

    Raises:
      ValueError: a name that the rules in force do not know.
    """
    axes += (None,) * (x.ndim - len(axes))
    axes = tuple(None if size == 1 else axis for size, axis in zip(x.shape, axes, strict=True))
    return nn.with_logical_constraint(x, axes, fallback=RulesFallback.RAISE_ERROR)
