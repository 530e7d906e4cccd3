"""The rules of resizing, on canvases larger than the images."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from tests import golden_metrics
from vpt_gen.nets import resize
from vpt_gen.nets.inception import SIDE

pytestmark = pytest.mark.slow

RANDOM = np.random.default_rng(0)


def on_canvas(image, side=64):
    """A canvas full of other pixels with the image at its top left, and its size."""
    canvas = RANDOM.integers(0, 256, (1, side, side, 3)).astype(np.uint8)
    canvas[0, : image.shape[0], : image.shape[1]] = image
    return canvas, np.array([image.shape[:2]], np.int32)


@golden_metrics.needed
def test_tf1_is_that_of_torch_fidelity():
    index = golden_metrics.arrays("inception.npz")["resized_index"]
    program = jax.jit(lambda x, size: resize.tf1_bilinear(x, size, SIDE))
    resized = [
        program(image[None], np.array([image.shape[:2]]))[0] for image in golden_metrics.images()
    ]
    kept = np.stack(resized)[:, index][:, :, index].transpose(0, 3, 1, 2)
    golden_metrics.assert_golden(kept, "resized")


def test_tf1_by_hand():
    image = np.array([[0, 30, 90]], np.uint8)[..., None].repeat(3, axis=-1)
    row = resize.tf1_bilinear(*on_canvas(image), 6)[0, 0, :, 0]
    # Positions 0, 0.5, ..., 2.5; past the last pixel is the last pixel.
    np.testing.assert_allclose(row, [0, 15, 30, 60, 90, 90], atol=1e-4)


@pytest.mark.parametrize("shape", [(48, 29), (7, 13), (16, 16), (1, 1)])
def test_antialiased_is_that_of_jax(shape):
    image = RANDOM.integers(0, 256, (*shape, 3)).astype(np.uint8)
    ours = resize.antialiased(*on_canvas(image), 16)[0]
    theirs = jax.image.resize(jnp.asarray(image, jnp.float32), (16, 16, 3), "linear")
    np.testing.assert_allclose(ours, theirs, atol=1e-3)


@pytest.mark.parametrize("shape", [(48, 29), (7, 13), (16, 16), (1, 1), (60, 16)])
def test_pillow_bicubic_is_that_of_pillow(shape):
    image = RANDOM.integers(0, 256, (*shape, 3)).astype(np.uint8)
    ours = np.asarray(resize.pillow_bicubic(*on_canvas(image), 16)[0])
    picture = Image.fromarray(image)
    for size in ((16, shape[0]), (16, 16)):  # Some versions begin with the other axis.
        picture = picture.resize(size, Image.Resampling.BICUBIC)
    difference = np.abs(ours - np.asarray(picture, np.float32))
    # Pillow's weights are whole multiples of 2^-22: a tie may be rounded to the other side.
    assert difference.max() <= 1 and np.mean(difference > 0) < 0.005


def test_center_squares():
    image = RANDOM.integers(0, 256, (20, 33, 3)).astype(np.uint8)
    canvas, sizes = resize.center_squares(*on_canvas(image))
    np.testing.assert_array_equal(sizes, [[20, 20]])
    np.testing.assert_array_equal(canvas[0, :20, :20], image[:, 6:26])


@pytest.mark.parametrize("rule", [resize.tf1_bilinear, resize.antialiased, resize.pillow_bicubic])
def test_images_of_a_batch_do_not_mix(rule):
    sizes = np.array([[5, 40], [33, 8]], np.int32)
    canvas = RANDOM.integers(0, 256, (2, 64, 64, 3)).astype(np.uint8)
    rule = jax.jit(functools.partial(rule, side=16))
    together = rule(canvas, sizes)
    for i in range(2):
        np.testing.assert_array_equal(together[i], rule(canvas[i:][:1], sizes[i:][:1])[0])
