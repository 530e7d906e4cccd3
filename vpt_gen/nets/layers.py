"""Matrix products whose kernels have the released shapes.

They compute in the type of the kernel, whatever the type of `x`; see `nets/precision.py`.
"""

import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from vpt_gen.nets.additions import LowRank
from vpt_gen.nets.layout import named


def sum_type(dtype: Any) -> Any:
    """Returns the type in which a type's numbers are summed: float32, or itself if larger."""
    return jnp.promote_types(dtype, jnp.float32)


def dense(x: jax.Array, kernel: jax.Array, bias: jax.Array | None) -> jax.Array:
    """X kernel + bias, if there is one, with a kernel (D, features), in the type of the kernel."""
    product = jnp.dot(x.astype(kernel.dtype), kernel, preferred_element_type=kernel.dtype)
    return product if bias is None else product + bias.astype(kernel.dtype)


def wide_product(x: jax.Array, matrix: jax.Array) -> jax.Array:
    """X (..., D) times a matrix (D, K), summed and kept in `sum_type`."""
    dtype = sum_type(matrix.dtype)
    return jnp.dot(x.astype(matrix.dtype), matrix, preferred_element_type=dtype)


class Dense(nn.Module):
    """x (..., D) -> (..., features), in the type of the kernel."""

    features: int
    kernel_init: Callable
    use_bias: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features))
        bias = _bias(self, (self.features,))
        return LowRank(name="lora")(x, dense(x, kernel, bias))


class ToHeads(nn.Module):
    """x (B, L, D) -> (B, H, L, E), by a kernel (D, H, E) as released; E is D / H unless given."""

    num_heads: int
    kernel_init: Callable
    use_bias: bool = True
    head_size: int | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        b, length, d = x.shape
        shape = (self.num_heads, self.head_size or d // self.num_heads)
        flat = (d, math.prod(shape))
        kernel = self.param("kernel", _flat(self.kernel_init, flat), (d, *shape))
        bias = _bias(self, shape)
        # As a matrix: a product over two axes would transpose the kernel in every step.
        x = LowRank(name="lora")(
            x, dense(x, kernel.reshape(flat), None if bias is None else bias.reshape(-1))
        )
        return named(jnp.swapaxes(x.reshape(b, length, *shape), 1, 2), "batch", "heads")


class FromHeads(nn.Module):
    """x (B, H, L, E) -> (B, L, D), by a kernel (H, E, D) as released; D is H * E unless given."""

    kernel_init: Callable
    use_bias: bool = True
    features: int | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        b, heads, length, size = x.shape
        width = heads * size
        d = self.features or width
        kernel = self.param("kernel", _flat(self.kernel_init, (width, d)), (heads, size, d))
        bias = _bias(self, (d,))
        x = jnp.swapaxes(x, 1, 2).reshape(b, length, width)
        return LowRank(name="lora")(x, dense(x, kernel.reshape(width, d), bias))


def _bias(module: Any, shape: tuple[int, ...]) -> jax.Array | None:
    """The bias of a module with the field `use_bias`; call it inside a compact method only."""
    return module.param("bias", nn.initializers.zeros, shape) if module.use_bias else None


def _flat(init: Callable, flat_shape: tuple[int, int]) -> Callable:
    """Wraps an initializer so that it sees a kernel's heads as one axis."""
    return lambda key, shape, *rest: init(key, flat_shape, *rest).reshape(shape)
