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


def pillow_bicubic(images: jax.Array, sizes: jax.Array, side: int) -> jax.Array:
    """Resizes like Pillow's BICUBIC: antialiased, and rounded to 8 bits after columns and rows.

    Pillow 13 begins with the rows of some tall images, which changes single pixels by 1 to 3; 10.4
    and older versions, with which the metrics were published, do not.

    Args:
      images: (B, H, W, 3) from 0 to 255; image b fills the first sizes[b] rows and columns.
      sizes: (B, 2) integer heights and widths.
      side: of the result.

    Returns:
      (B, side, side, 3) float32, whole numbers from 0 to 255.
    """

    def one(image, size):
        for axis in (1, 0):
            image = _weighted(image, _cubic_weights(image.shape[axis], size[axis], side), axis)
            image = jnp.clip(jnp.floor(image + 0.5), 0.0, 255.0)
        return image

    return jax.vmap(one)(images, sizes)


def center_squares(images: jax.Array, sizes: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Cuts the largest square from the center of each image, and moves it to the top left.

    See `tf1_bilinear` for arguments (B, H, W, 3) and (B, 2); returns the same.
    """
    sides = sizes.min(axis=1, keepdims=True)
    moved = jax.vmap(lambda image, start: jnp.roll(image, -start, (0, 1)))
    return moved(images, (sizes - sides) // 2), jnp.broadcast_to(sides, sizes.shape)


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
    return _weighted(image, weights, axis)


def _cubic_weights(length: int, size: jax.Array, side: int) -> jax.Array:
    """Pillow's weights (side, length) of the first `size` pixels; its cubic has a = -1/2."""
    ratio = size.astype(jnp.float32) / side
    centers = (jnp.arange(side, dtype=jnp.float32) + 0.5) * ratio - 0.5
    pixels = jnp.arange(length)
    x = jnp.abs(pixels - centers[:, None]) / jnp.maximum(ratio, 1.0)
    near, far = (1.5 * x - 2.5) * x**2 + 1.0, ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    weights = jnp.where(x < 1.0, near, jnp.where(x < 2.0, far, 0.0))
    return jnp.where(pixels < size, weights, 0.0)


def _weighted(image: jax.Array, weights: jax.Array, axis: int) -> jax.Array:
    """Means of rows or columns by weights (side, length) that need not sum to 1."""
    weights /= weights.sum(axis=1, keepdims=True)
    rule = "oi,iwc->owc" if axis == 0 else "oi,hic->hoc"
    return jnp.einsum(rule, weights, image.astype(jnp.float32), precision="highest")
