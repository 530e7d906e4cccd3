"""Resizes images of many sizes in one compiled program.

The images of a batch lie at the top left of canvases of one size. Their sizes are arguments, so
that a new image size needs no new compilation.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp


def tf1_bilinear(images: jax.Array, sizes: jax.Array, side: int) -> jax.Array:
    """Resizes bilinearly by the rule of TensorFlow 1, as in the FID: not rounded, not antialiased.

    Output pixel i reads source position i * size / side, without the half-pixel offset of later
    rules; the neighbor beyond the last pixel is the last pixel.

    Args:
      images: (B, H, W, 3); image b fills the first sizes[b] rows and columns.
      sizes: (B, 2) integer heights and widths.
      side: of the result.

    Returns:
      (B, side, side, 3) float32, in the range of `images`.
    """
    return _each(images, sizes, lambda image, size, axis: _interpolate(image, size, axis, side))


def antialiased(images: jax.Array, sizes: jax.Array, side: int) -> jax.Array:
    """Resizes bilinearly over half-pixel centers, with a triangle that widens as the image shrinks.

    The rule is that of Pillow's BILINEAR and of `jax.image.resize`, not rounded. See `tf1_bilinear`
    for the arguments.
    """
    return _each(images, sizes, lambda image, size, axis: _blend(image, size, axis, side))


def _each(images: jax.Array, sizes: jax.Array, along: Callable) -> jax.Array:
    """Applies `along(image, size, axis)` to the rows, then the columns, of every image."""

    def one(image, size):
        for axis in (0, 1):
            image = along(image, size[axis], axis)
        return image

    return jax.vmap(one)(images, sizes)


def _interpolate(image: jax.Array, size: jax.Array, axis: int, side: int) -> jax.Array:
    position = jnp.arange(side, dtype=jnp.float32) * (size.astype(jnp.float32) / side)
    low = jnp.minimum(jnp.floor(position).astype(jnp.int32), size - 1)
    high = jnp.minimum(low + 1, size - 1)
    before, after = (jnp.take(image, i, axis).astype(jnp.float32) for i in (low, high))
    weight = jnp.expand_dims(position - low, (1, 2) if axis == 0 else (0, 2))
    return before + (after - before) * weight


def _blend(image: jax.Array, size: jax.Array, axis: int, side: int) -> jax.Array:
    ratio = size.astype(jnp.float32) / side
    centers = (jnp.arange(side, dtype=jnp.float32) + 0.5) * ratio - 0.5
    pixels = jnp.arange(image.shape[axis])
    weights = 1.0 - jnp.abs(pixels - centers[:, None]) / jnp.maximum(ratio, 1.0)
    weights = jnp.where(pixels < size, jnp.maximum(weights, 0.0), 0.0)
    weights /= weights.sum(axis=1, keepdims=True)
    rule = "oi,iwc->owc" if axis == 0 else "oi,hic->hoc"
    return jnp.einsum(rule, weights, image.astype(jnp.float32), precision="highest")
