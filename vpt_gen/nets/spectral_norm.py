"""Layers whose weights are divided by their largest singular value (arXiv 1802.05957).

Every call does one power iteration, as in ajbrock/BigGAN-PyTorch `layers.py`, even if nothing is
trained, so that a net's output depends on the saved vector `u`. Training keeps the new `u` and the
singular value in the collection `spectral`; otherwise nothing is written.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

# Rows or columns are orthonormal in torch's view of a weight, (out, in * height * width).
orthogonal = nn.initializers.orthogonal()


def uniform_by_fan_in(fan_in: int):
    """Torch's default for a layer with `fan_in` inputs: U(-1/sqrt(fan_in), 1/sqrt(fan_in))."""

    def init(key: jax.Array, shape: tuple[int, ...], dtype=jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -1.0, 1.0) / jnp.sqrt(fan_in)

    return init


def _unit(vector: jax.Array, epsilon: float) -> jax.Array:
    return vector / jnp.maximum(jnp.linalg.norm(vector), epsilon)


def divide_by_sigma(
    module: nn.Module, weight: jax.Array, out_axis: int, epsilon: float, train: bool
) -> jax.Array:
    """Divides `weight` by its singular value, which is differentiated through the weight alone.

    Args:
      module: owner of the state in the collection `spectral`: `u` (out,), initially normal and not
        of length 1, and `sigma` (), initially 1.
      weight: of any shape.
      out_axis: the axis that is a matrix's first; the others are its second together.
      epsilon: smallest length to divide a vector by.
      train: whether to keep the new `u` and `sigma`.
    """
    matrix = jnp.moveaxis(weight, out_axis, 0).reshape(weight.shape[out_axis], -1)
    u = module.variable(
        "spectral",
        "u",
        lambda: jax.random.normal(module.make_rng("params"), matrix.shape[:1], weight.dtype),
    )
    kept = module.variable("spectral", "sigma", lambda: jnp.ones((), weight.dtype))
    fixed = jax.lax.stop_gradient(matrix)
    v = _unit(u.value @ fixed, epsilon)
    new_u = _unit(fixed @ v, epsilon)
    sigma = new_u @ (matrix @ v)
    if train and not module.is_initializing():
        u.value, kept.value = new_u, jax.lax.stop_gradient(sigma)
    return weight / sigma


class SNDense(nn.Module):
    """A linear layer (..., in) -> (..., features)."""

    features: int
    use_bias: bool = True
    epsilon: float = 1e-12
    kernel_init: nn.initializers.Initializer = orthogonal

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        fan_in = x.shape[-1]
        kernel = self.param("kernel", self.kernel_init, (fan_in, self.features))
        x = x @ divide_by_sigma(self, kernel, -1, self.epsilon, train)
        if not self.use_bias:
            return x
        return x + self.param("bias", uniform_by_fan_in(fan_in), (self.features,))


class SNConv(nn.Module):
    """A convolution (B, H, W, in) -> (B, H, W, features) with square kernels of an odd side."""

    features: int
    side: int = 3
    use_bias: bool = True
    epsilon: float = 1e-12

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        shape = (self.side, self.side, x.shape[-1], self.features)
        kernel = self.param("kernel", orthogonal, shape)
        x = jax.lax.conv_general_dilated(
            x,
            divide_by_sigma(self, kernel, -1, self.epsilon, train),
            window_strides=(1, 1),
            padding="SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        if not self.use_bias:
            return x
        fan_in = self.side**2 * shape[2]
        return x + self.param("bias", uniform_by_fan_in(fan_in), (self.features,))


class SNEmbed(nn.Module):
    """A table (num_embeddings, features), normed as a whole: ids (B,) -> (B, features)."""

    num_embeddings: int
    features: int
    epsilon: float = 1e-12

    @nn.compact
    def __call__(self, ids: jax.Array, train: bool = False) -> jax.Array:
        table = self.param("embedding", orthogonal, (self.num_embeddings, self.features))
        return divide_by_sigma(self, table, 0, self.epsilon, train)[ids]
