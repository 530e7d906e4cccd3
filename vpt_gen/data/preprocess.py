"""Per-example image operations in TensorFlow: pure, and random only through a given seed."""

from __future__ import annotations

import dataclasses
import math

from vpt_gen.data.lazy import tf


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Random changes of a training image; the defaults change nothing.

    Attributes:
      flip: mirror left-right half of the time. Leave it off if that changes the meaning (digits,
        text, left against right).
      rotation: largest angle to either side, degrees.
      min_scale, max_scale: bounds of the magnification; above 1 zooms in.
      shift: largest move along each axis, share of the side; by whole pixels if there is neither
        rotation nor magnification.
      random_crop: if the longer side is cut ('crop'), keep a random part instead of the middle.
      color_jitter: strength in [0, 1]: contrast and saturation by up to this share, brightness and
        hue (of a whole turn) by up to half of it.
      negative: turn bright into dark half of the time.
      damage: share of the views that are blurred, made noisy or compressed as JPEG, each of them
        as often and to a random degree; for classifiers whose features judge generated images.
    """

    flip: bool = False
    rotation: float = 0.0
    min_scale: float = 1.0
    max_scale: float = 1.0
    shift: float = 0.0
    random_crop: bool = False
    color_jitter: float = 0.0
    negative: bool = False
    damage: float = 0.0

    @property
    def interpolates(self) -> bool:
        """Whether pixels come to lie between those of the image."""
        return (self.rotation, self.min_scale, self.max_scale) != (0.0, 1.0, 1.0)


# Every operation on a view has its own key: adding a number to a seed would give one operation the
# draws of another operation under another seed.
AFFINE, FLIP, CROP, HUE, SATURATION, CONTRAST, BRIGHTNESS, NEGATIVE, DAMAGE, NOISE = range(10)
# The strongest damage: standard deviations in pixels and of values in [0, 1], and a JPEG's quality.
_BLUR, _NOISE, _QUALITY = 1.5, 0.2, 5


def draw_key(seed: tf.Tensor, operation: int) -> tf.Tensor:
    """Returns the key (2,) of a random operation on the view with `seed` (2,)."""
    return tf.random.experimental.stateless_fold_in(seed, operation)


def fit(
    image: tf.Tensor,
    size: int,
    mode: str,
    place: tf.Tensor | None = None,
    kernel: str = "bilinear",
) -> tf.Tensor:
    """Resizes an image (H, W, 3) to (size, size, 3), antialiased; `kernel` is one of TensorFlow's.

    `mode` is 'crop' (the shorter side fits, the rest is cut off), 'pad' (the longer side fits, the
    rest repeats the edge) or 'stretch'. 'crop' keeps the middle, or the part at `place` in [0, 1)
    of the longer side.
    """
    if mode == "crop":
        # Cropped before resizing: a strip of 1 x 10000 pixels must not grow to 256 x 2560000.
        side = tf.reduce_min(tf.shape(image)[:2])
        excess = tf.shape(image)[:2] - side
        start = excess // 2 if place is None else _start_of_crop(place, excess)
        image = image[start[0] : start[0] + side, start[1] : start[1] + side]
    if mode != "pad":
        return tf.image.resize(image, (size, size), kernel, antialias=True)
    sides = tf.cast(tf.shape(image)[:2], tf.float32)
    target = tf.cast(tf.round(sides * (size / tf.reduce_max(sides))), tf.int32)
    image = tf.image.resize(image, tf.maximum(target, 1), kernel, antialias=True)
    before = (size - tf.shape(image)[:2]) // 2
    rows = tf.clip_by_value(tf.range(size) - before[0], 0, tf.shape(image)[0] - 1)
    columns = tf.clip_by_value(tf.range(size) - before[1], 0, tf.shape(image)[1] - 1)
    return tf.gather(tf.gather(image, rows, axis=0), columns, axis=1)


def _start_of_crop(place: tf.Tensor, excess: tf.Tensor) -> tf.Tensor:
    """Returns the first pixel that is kept, in [0, excess]; uniform if `place` is."""
    start = tf.cast(place * tf.cast(excess + 1, tf.float32), tf.int32)
    return tf.minimum(start, excess)  # The product may round up to excess + 1.


def augment(image: tf.Tensor, options: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Randomly changes a square image (R, R, 3); `seed` is int64 (2,). Edges are extended."""
    if options.interpolates:
        image = _random_affine(image, options, seed)
    elif options.shift:
        image = _random_shift(image, options, seed)
    if options.flip:
        draw = tf.random.stateless_uniform([], draw_key(seed, FLIP))
        image = tf.cond(draw < 0.5, lambda: tf.reverse(image, axis=[1]), lambda: image)
    return image


def _random_shift(image: tf.Tensor, options: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    # Between pixels it would blur, and nets would learn blurred images and expect them.
    draw = tf.random.stateless_uniform([4], draw_key(seed, AFFINE), -1.0, 1.0)
    side = tf.shape(image)[0]
    shift = tf.cast(tf.round(draw[2:] * options.shift * tf.cast(side, tf.float32)), tf.int32)
    columns, rows = (tf.clip_by_value(tf.range(side) - shift[i], 0, side - 1) for i in (0, 1))
    return tf.gather(tf.gather(image, rows, axis=0), columns, axis=1)


def _random_affine(image: tf.Tensor, options: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    side = tf.cast(tf.shape(image)[0], tf.float32)
    draw = tf.random.stateless_uniform([4], draw_key(seed, AFFINE), -1.0, 1.0)
    angle = draw[0] * options.rotation * math.pi / 180.0
    low, high = math.log(options.min_scale), math.log(options.max_scale)
    scale = tf.exp(low + (draw[1] + 1.0) / 2.0 * (high - low))
    shift = draw[2:] * options.shift * side
    # The operation maps output to input coordinates: the inverse of the change, about the center.
    cosine, sine, center = tf.cos(angle) / scale, tf.sin(angle) / scale, (side - 1.0) / 2.0
    offset_x = center - cosine * (center + shift[0]) + sine * (center + shift[1])
    offset_y = center - sine * (center + shift[0]) - cosine * (center + shift[1])
    transform = tf.stack([cosine, -sine, offset_x, sine, cosine, offset_y, 0.0, 0.0])
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=image[None],
        transforms=transform[None],
        output_shape=tf.shape(image)[:2],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )[0]


def recolor(image: tf.Tensor, options: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Randomly changes the colors of an image (H, W, 3) in [0, 1]; `seed` is int64 (2,)."""
    if strength := options.color_jitter:
        low, high = 1.0 - strength, 1.0 + strength
        image = tf.image.stateless_random_hue(image, strength / 2, draw_key(seed, HUE))
        image = tf.image.stateless_random_saturation(image, low, high, draw_key(seed, SATURATION))
        image = tf.image.stateless_random_contrast(image, low, high, draw_key(seed, CONTRAST))
        image = tf.image.stateless_random_brightness(
            image, strength / 2, draw_key(seed, BRIGHTNESS)
        )
    if options.negative:
        draw = tf.random.stateless_uniform([], draw_key(seed, NEGATIVE))
        image = tf.where(draw < 0.5, 1.0 - image, image)
    return image


def damage(image: tf.Tensor, options: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Randomly damages an image (H, W, 3); noise may lead out of [0, 1]. `seed` is int64 (2,)."""
    chance, degree = tf.unstack(tf.random.stateless_uniform([2], draw_key(seed, DAMAGE)))

    def noisy():
        noise = tf.random.stateless_normal(tf.shape(image), draw_key(seed, NOISE))
        return image + degree * _NOISE * noise

    def compressed():
        quality = 100.0 - degree * (100.0 - _QUALITY)
        return tf.image.adjust_jpeg_quality(image, tf.cast(quality, tf.int32))

    kinds = [lambda: blurred(image, 0.1 + degree * _BLUR), noisy, compressed]
    kind = tf.cast(chance / options.damage * len(kinds), tf.int32)
    return tf.switch_case(kind, kinds, default=lambda: image)


def blurred(image: tf.Tensor, deviation: tf.Tensor) -> tf.Tensor:
    """Blurs an image (H, W, 3) by a Gaussian of a standard deviation in pixels; edges extended."""
    reach = 3 * math.ceil(_BLUR)
    weights = tf.exp(-0.5 * (tf.range(-reach, reach + 1, dtype=tf.float32) / deviation) ** 2)
    kernel = tf.tile((weights / tf.reduce_sum(weights))[:, None, None, None], [1, 1, 3, 1])
    rows, columns = (
        tf.clip_by_value(tf.range(-reach, side + reach), 0, side - 1)
        for side in tf.unstack(tf.shape(image)[:2])
    )
    extended = tf.gather(tf.gather(image, rows, axis=0), columns, axis=1)[None]
    down = tf.nn.depthwise_conv2d(extended, kernel, [1, 1, 1, 1], "VALID")
    across = tf.transpose(kernel, [1, 0, 2, 3])
    return tf.nn.depthwise_conv2d(down, across, [1, 1, 1, 1], "VALID")[0]


def _augment_finely(
    image: tf.Tensor,
    size: int,
    mode: str,
    place: tf.Tensor | None,
    options: Augmentation,
    seed: tf.Tensor,
) -> tf.Tensor:
    """Fits an image (H, W, 3) and augments it at twice the size -> (size, size, 3).

    A net that learns blurred views draws blurred images. Kernels that are sharper than the bilinear
    one of `fit` make up for what the rotation between pixels takes, and magnified views have all
    pixels of the image. An image with fewer than `size` is enlarged as without augmentation first.
    """
    fine = 2 * size

    def of_many_pixels():
        view = augment(fit(image, fine, mode, place, "lanczos3"), options, seed)
        return tf.image.resize(view, (size, size), "bicubic", antialias=True)

    def of_few_pixels():
        enlarged = tf.image.resize(fit(image, size, mode, place), (fine, fine), "lanczos3")
        view = augment(enlarged, options, seed)
        return tf.image.resize(view, (size, size), "lanczos3", antialias=True)

    sides = tf.shape(image)[:2]
    fitted = tf.reduce_max(sides) if mode == "pad" else tf.reduce_min(sides)
    view = tf.cond(fitted <= size, of_few_pixels, of_many_pixels)
    # The kernels overshoot at edges.
    return tf.clip_by_value(view, tf.reduce_min(image), tf.reduce_max(image))


def preprocess(
    image: tf.Tensor, size: int, mode: str, options: Augmentation, seed: tf.Tensor
) -> tf.Tensor:
    """A uint8 image (H, W, 3) -> float32 (size, size, 3) in [0, 1], augmented."""
    image = tf.cast(image, tf.float32) / 255.0
    place = None
    if options.random_crop:
        place = tf.random.stateless_uniform([], draw_key(seed, CROP))
    if options.interpolates:
        image = _augment_finely(image, size, mode, place, options, seed)
    else:
        image = augment(fit(image, size, mode, place), options, seed)
    image = recolor(image, options, seed)
    if options.damage:
        image = damage(image, options, seed)
    return tf.clip_by_value(tf.ensure_shape(image, (size, size, 3)), 0.0, 1.0)
