"""Building blocks of BigGAN's generator and discriminator: residual blocks and self-attention."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from vpt_gen.nets.layout import named
from vpt_gen.nets.spectral_norm import SNConv


def upsample(x: jax.Array) -> jax.Array:
    """Doubles both sides of (B, H, W, C), every pixel four times."""
    return jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)


def average_pool(x: jax.Array) -> jax.Array:
    """Halves both sides of (B, H, W, C)."""
    return nn.avg_pool(x, (2, 2), (2, 2))


class SelfAttention(nn.Module):
    """x + gamma * attention(x) over the positions of (B, H, W, C) (arXiv 1805.08318).

    Keys and values are max-pooled. As released, the products are not scaled by the square root of
    the key length, and gamma starts at 0.
    """

    epsilon: float = 1e-6

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        b, h, w, c = x.shape

        def project(name: str, features: int, x: jax.Array) -> jax.Array:
            return SNConv(features, 1, use_bias=False, epsilon=self.epsilon, name=name)(x, train)

        def pooled(x: jax.Array) -> jax.Array:
            return nn.max_pool(x, (2, 2), (2, 2)).reshape(b, h * w // 4, -1)

        query = project("theta", c // 8, x).reshape(b, h * w, -1)
        key, value = pooled(project("phi", c // 8, x)), pooled(project("g", c // 2, x))
        weights = jax.nn.softmax(jnp.einsum("bqd,bkd->bqk", query, key), axis=-1)
        mixed = jnp.einsum("bqk,bkd->bqd", weights, value).reshape(b, h, w, c // 2)
        gamma = self.param("gamma", nn.initializers.zeros, ())
        return named(gamma * project("o", c, mixed) + x, "batch")


class GeneratorBlock(nn.Module):
    """Doubles the sides: (B, H, W, in) and conditions -> (B, 2H, 2W, features).

    Attributes:
      features: of the output.
      make_norm: makes the modules that normalize under a condition, by `name`.
      epsilon: of spectral norms.
    """

    features: int
    make_norm: Callable[..., nn.Module]
    epsilon: float = 1e-6

    @nn.compact
    def __call__(self, x: jax.Array, condition: jax.Array, train: bool = False) -> jax.Array:
        branch = jax.nn.relu(self.make_norm(name="bn1")(x, condition, train))
        branch = SNConv(self.features, epsilon=self.epsilon, name="conv1")(upsample(branch), train)
        branch = jax.nn.relu(self.make_norm(name="bn2")(branch, condition, train))
        branch = SNConv(self.features, epsilon=self.epsilon, name="conv2")(branch, train)
        shortcut = SNConv(self.features, 1, epsilon=self.epsilon, name="conv_sc")
        return named(branch + shortcut(upsample(x), train), "batch")


class DiscriminatorBlock(nn.Module):
    """(B, H, W, in) -> (B, H, W, features), of half the sides with `downsample`.

    The first block of a net takes the image: it has no activation in front, and pools the shortcut
    before its convolution instead of after it.
    """

    features: int
    downsample: bool
    first: bool = False
    epsilon: float = 1e-6

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        pool = average_pool if self.downsample else lambda x: x
        branch = x if self.first else jax.nn.relu(x)
        branch = SNConv(self.features, epsilon=self.epsilon, name="conv1")(branch, train)
        branch = SNConv(self.features, epsilon=self.epsilon, name="conv2")(
            jax.nn.relu(branch), train
        )
        return named(pool(branch) + self._shortcut(x, pool, train), "batch")

    def _shortcut(self, x: jax.Array, pool, train: bool) -> jax.Array:
        if x.shape[-1] == self.features and not self.downsample:
            return x
        convolve = SNConv(self.features, 1, epsilon=self.epsilon, name="conv_sc")
        return convolve(pool(x), train) if self.first else pool(convolve(x, train))
