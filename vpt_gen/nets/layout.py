"""Names for the axes of activations, by which they are sharded over a mesh.

Nets name the axes; the active rules (`flax.linen.logical_axis_rules`, see `machine/sharding.py`)
map a name to a mesh axis. Without rules a name has no effect.
"""

import flax.linen as nn
import jax
from flax.linen.spmd import RulesFallback


def named(x: jax.Array, *axes: str | None) -> jax.Array:
    """Returns `x`, sharded by its axes' names; an axis without a name is replicated.

    An axis of length 1 cannot be split: decoding, which maps over single images, loses only the
    constraint on the batch. Axes beyond the given names are replicated too.

    Raises:
      ValueError: a name that the active rules do not know.
    """
    axes += (None,) * (x.ndim - len(axes))
    axes = tuple(None if size == 1 else axis for size, axis in zip(x.shape, axes, strict=True))
    return nn.with_logical_constraint(x, axes, fallback=RulesFallback.RAISE_ERROR)
