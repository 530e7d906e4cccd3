"""Batch normalization whose gain and bias depend on the class (and on a part of the latent).

Source: ajbrock/BigGAN-PyTorch `layers.py`, `norm_style` 'bn': batches are normalized by their
biased variance, and running statistics take the unbiased one.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from vpt_gen.nets.spectral_norm import SNDense, orthogonal

MOMENTUM = 0.1  # weight of the batch in the running statistics


class BatchNorm(nn.Module):
    """Normalizes (B, H, W, C) over all but the channels; no gain and no bias.

    Training normalizes by the batch and updates the running `mean` and `var` of the collection
    `batch_stats`; otherwise the layer normalizes by these. A batch's mean and biased variance go to
    the collection `moments` if a caller makes it mutable.
    """

    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        channels = x.shape[-1:]
        mean = self.variable("batch_stats", "mean", lambda: jnp.zeros(channels, x.dtype))
        var = self.variable("batch_stats", "var", lambda: jnp.ones(channels, x.dtype))
        if not train:
            return (x - mean.value) * jax.lax.rsqrt(var.value + self.epsilon)
        batch_mean = x.mean((0, 1, 2))
        centered = x - batch_mean
        batch_var = (centered**2).mean((0, 1, 2))
        self.sow("moments", "mean", batch_mean)
        self.sow("moments", "var", batch_var)
        if not self.is_initializing():
            count = x.size / x.shape[-1]
            unbiased = batch_var * (count / (count - 1.0))
            for kept, new in ((mean, batch_mean), (var, unbiased)):
                new = jax.lax.stop_gradient(new)
                kept.value = (1.0 - MOMENTUM) * kept.value + MOMENTUM * new
        return centered * jax.lax.rsqrt(batch_var + self.epsilon)


class AffineBatchNorm(nn.Module):
    """`BatchNorm` with a learned gain and bias for each channel."""

    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        gain = self.param("gain", nn.initializers.ones, x.shape[-1:])
        bias = self.param("bias", nn.initializers.zeros, x.shape[-1:])
        return BatchNorm(self.epsilon, name="norm")(x, train) * gain + bias


class ConditionalBatchNorm(nn.Module):
    """`BatchNorm` with 1 + gain(condition) and bias(condition) for each example.

    Attributes:
      bn_epsilon: of the batch normalization.
      sn_epsilon: of the spectral norms of gain and bias.
      num_classes: 0 if conditions are vectors (B, E); otherwise they are class ids (B,), and
        gain and bias are tables without spectral norm.
    """

    bn_epsilon: float = 1e-5
    sn_epsilon: float = 1e-6
    num_classes: int = 0

    @nn.compact
    def __call__(self, x: jax.Array, condition: jax.Array, train: bool = False) -> jax.Array:
        def of_condition(name: str) -> jax.Array:
            if self.num_classes:
                table = nn.Embed(
                    self.num_classes, x.shape[-1], embedding_init=orthogonal, name=name
                )
                return table(condition)
            linear = SNDense(x.shape[-1], use_bias=False, epsilon=self.sn_epsilon, name=name)
            return linear(condition, train)

        gain, bias = 1.0 + of_condition("gain"), of_condition("bias")
        x = BatchNorm(self.bn_epsilon, name="norm")(x, train)
        return x * gain[:, None, None] + bias[:, None, None]
