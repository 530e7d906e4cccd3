"""Preprocessing: how images become squares, and what augmentation does to which pixel."""

import numpy as np
import pytest
import tensorflow as tf

from vpt_gen.data import preprocess
from vpt_gen.data.preprocess import (
    Augmentation,
    augment,
    fit,
)

SIDE = 16
CENTER = (SIDE - 1) / 2
NOTHING = Augmentation()
STRONG = Augmentation(flip=True, rotation=45.0, min_scale=0.4, max_scale=1.6, shift=0.3)


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def coordinates():
    """An image (SIDE, SIDE, 3) that shows in each pixel its own x and y."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    return np.stack([x, y, np.zeros_like(x)], axis=-1)


def run(image, mode="crop", options=NOTHING, seed=(0, 0), size=SIDE):
    seed = tf.constant(seed, tf.int64)
    return preprocess.preprocess(tf.constant(image), size, mode, options, seed).numpy()


@pytest.fixture
def draw(monkeypatch):
    """Sets the draws in [-1, 1] of angle, log scale, x and y shift."""

    def set_draws(*values):
        draws = tf.constant(values, tf.float32)
        monkeypatch.setattr(tf.random, "stateless_uniform", lambda *args: draws)

    return set_draws


def change(image, options):
    return augment(tf.constant(image), options, tf.constant([0, 0], tf.int64)).numpy()


# How images become squares.


def test_crop_cuts_the_longer_side_evenly():
    wide = noise(4, 9, 3).astype(np.float32)
    np.testing.assert_allclose(fit(wide, 4, "crop"), wide[:, 2:6])
    np.testing.assert_allclose(fit(wide.transpose(1, 0, 2), 4, "crop"), wide[:, 2:6].swapaxes(0, 1))


@pytest.mark.slow
@pytest.mark.parametrize("transpose", [False, True])
def test_random_crop_keeps_any_part_of_the_longer_side(transpose):
    wide = noise(4, 7, 3)
    parts = [wide[:, x : x + 4] / np.float32(255) for x in range(4)]
    image = wide.transpose(1, 0, 2) if transpose else wide
    counts = np.zeros(4, int)
    for i in range(40):
        view = run(image, options=Augmentation(random_crop=True), seed=(0, i), size=4)
        view = view.swapaxes(0, 1) if transpose else view
        counts += [np.allclose(view, part, atol=1e-6) for part in parts]
    assert counts.sum() == 40
    assert counts.min() >= 3


def test_random_crop_of_a_square_is_the_square():
    image = noise(SIDE, SIDE, 3)
    for i in range(5):
        view = run(image, options=Augmentation(random_crop=True), seed=(0, i))
        np.testing.assert_allclose(view, image / np.float32(255), atol=1e-6)


def test_random_crop_never_leaves_the_image():
    image = tf.constant(noise(2, 9, 3), tf.float32)
    kept = fit(image, 2, "crop", tf.constant(np.nextafter(np.float32(1), np.float32(0))))
    np.testing.assert_allclose(kept, image[:, 7:])


def test_pad_repeats_the_edge_on_both_sides():
    wide = noise(2, 5, 3).astype(np.float32)
    np.testing.assert_allclose(fit(wide, 5, "pad"), wide[[0, 0, 1, 1, 1]])
    tall = wide.transpose(1, 0, 2)
    np.testing.assert_allclose(fit(tall, 5, "pad"), tall[:, [0, 0, 1, 1, 1]])


def test_stretch_scales_each_side_on_its_own():
    ramp = np.broadcast_to(np.arange(8.0, dtype=np.float32)[None, :, None], (2, 8, 3))
    np.testing.assert_allclose(fit(ramp, 8, "stretch"), np.broadcast_to(ramp[:1], (8, 8, 3)))


@pytest.mark.parametrize("mode", ["crop", "pad", "stretch"])
def test_square_of_the_right_size_stays_as_it_is(mode):
    image = noise(SIDE, SIDE, 3)
    np.testing.assert_allclose(run(image, mode), image / np.float32(255), atol=1e-7)


@pytest.mark.parametrize("mode", ["crop", "pad", "stretch"])
def test_shrinking_averages(mode):
    stripes = np.tile(np.array([255, 0, 0, 0], np.uint8), 32)
    image = np.broadcast_to(stripes[None, :, None], (128, 128, 3))
    np.testing.assert_allclose(run(image, mode, size=8), 0.25, atol=0.02)


@pytest.mark.parametrize("mode", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("options", [NOTHING, STRONG], ids=["plain", "augmented"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (13, 5), (3, 301), (301, 2), (31, 32)])
def test_any_shape_becomes_a_square_in_range(mode, options, shape):
    image = noise(*shape, 3)
    square = run(image, mode, options)
    assert square.shape == (SIDE, SIDE, 3)
    assert square.dtype == np.float32
    assert square.min() >= image.min() / 255 - 1e-6
    assert square.max() <= image.max() / 255 + 1e-6


@pytest.mark.parametrize("transpose", [False, True])
def test_a_thin_strip_does_not_grow(transpose):
    strip = np.zeros((1, 200_001, 3), np.uint8)
    strip[0, 100_000] = 255
    image = strip.transpose(1, 0, 2) if transpose else strip
    # At 64 pixels a side, resizing before cropping would take 10 GB.
    np.testing.assert_allclose(run(image, "crop", size=64), 1.0, atol=1e-6)
    assert run(image, "pad", size=64).max() < 0.01


# Augmentation.


def test_without_options_nothing_changes():
    image = noise(SIDE, SIDE, 3).astype(np.float32)
    np.testing.assert_array_equal(change(image, NOTHING), image)


def test_color_jitter_changes_colors_alone_and_by_its_strength():
    image = np.full((SIDE, SIDE, 3), (200, 120, 40), np.uint8)
    plain = run(image)[0, 0]
    changes = {}
    for strength in (0.1, 0.5):
        options = Augmentation(color_jitter=strength)
        views = np.stack([run(image, options=options, seed=(0, i)) for i in range(20)])
        assert np.ptp(views, axis=(1, 2)).max() < 1e-5  # An even image stays even.
        assert len(np.unique(views[:, 0, 0].round(4), axis=0)) == 20
        changes[strength] = np.abs(views[:, 0, 0] - plain).mean()
    assert 0 < changes[0.1] < changes[0.5] / 2


def test_negative_swaps_bright_and_dark_half_of_the_time():
    image = noise(SIDE, SIDE, 3)
    plain = run(image)
    views = [run(image, options=Augmentation(negative=True), seed=(0, i)) for i in range(40)]
    swapped = sum(np.allclose(view, 1 - plain, atol=1e-6) for view in views)
    assert swapped + sum(np.array_equal(view, plain) for view in views) == 40
    assert 10 < swapped < 30


def test_flip_mirrors_left_and_right_half_of_the_time():
    image = noise(SIDE, SIDE, 3)
    plain = run(image)
    views = [run(image, options=Augmentation(flip=True), seed=(0, i)) for i in range(40)]
    mirrored = [np.array_equal(view, plain[:, ::-1]) for view in views]
    kept = [np.array_equal(view, plain) for view in views]
    assert all(a != b for a, b in zip(mirrored, kept, strict=True))
    assert 10 < sum(mirrored) < 30


@pytest.mark.parametrize(("angle", "turns"), [(90.0, 1), (-90.0, -1), (180.0, 2)])
def test_rotation_is_counterclockwise_about_the_center(draw, angle, turns):
    draw(np.sign(angle), 0, 0, 0)
    image = noise(SIDE, SIDE, 3).astype(np.float32)
    turned = change(image, Augmentation(rotation=abs(angle)))
    np.testing.assert_allclose(turned, np.rot90(image, turns), atol=1e-2)


@pytest.mark.parametrize("scale", [2.0, 0.5])
def test_scale_above_one_zooms_in(draw, scale):
    draw(0, 0, 0, 0)
    zoomed = change(coordinates(), Augmentation(min_scale=scale, max_scale=scale))
    expected = np.clip(CENTER + (coordinates() - CENTER) / scale, 0, SIDE - 1)
    np.testing.assert_allclose(zoomed[..., :2], expected[..., :2], atol=1e-4)


@pytest.mark.parametrize(("share_drawn", "scale"), [(-1.0, 0.5), (0.0, 1.0), (1.0, 2.0)])
def test_scale_is_drawn_evenly_in_its_logarithm(draw, share_drawn, scale):
    draw(0, share_drawn, 0, 0)
    drawn = change(coordinates(), Augmentation(min_scale=0.5, max_scale=2.0))
    draw(0, 0, 0, 0)
    fixed = change(coordinates(), Augmentation(min_scale=scale, max_scale=scale))
    np.testing.assert_allclose(drawn, fixed, atol=1e-4)


def test_shift_moves_right_and_down_and_repeats_the_edge(draw):
    draw(0, 0, 1.0, 0.5)
    moved = change(coordinates(), Augmentation(shift=0.25))
    expected = np.clip(coordinates() - [4.0, 2.0, 0.0], 0, SIDE - 1)
    np.testing.assert_allclose(moved, expected, atol=1e-4)


def test_a_shift_alone_keeps_every_pixel_as_sharp():
    image = noise(SIDE, SIDE, 3)
    moves = set()
    for i in range(40):
        view = run(image, options=Augmentation(shift=0.2), seed=(0, i))
        found = [
            (x, y)
            for x in range(-3, 4)
            for y in range(-3, 4)
            if np.allclose(view[4:-4, 4:-4], np.roll(image / 255, (y, x), (0, 1))[4:-4, 4:-4])
        ]
        assert len(found) == 1
        moves.update(found)
    for axis in zip(*moves, strict=True):
        assert {min(axis), max(axis)} == {-3, 3}


@pytest.mark.parametrize(
    ("enlarged", "least"), [(1, 0.6), (1.5, 0.9), (2, 0.9), (3, 0.9), (4, 0.9)]
)
def test_a_view_between_pixels_keeps_its_edges(draw, enlarged, least):
    """Rings, moved by half a pixel of the view; bilinear kernels alone keep 0.35 of 32 pixels."""
    size = 32
    side = int(size * enlarged)
    rows, columns = np.mgrid[:side, :side] / enlarged
    drawn = ((np.hypot(rows - 16, columns - 16) % 8) < 4)[..., None] * np.full(3, 255)
    draw(0, 0, 0.5 / size, 0)
    view = run(drawn.astype(np.uint8), options=Augmentation(rotation=1e-4, shift=1.0), size=size)
    plain = run(drawn.astype(np.uint8), size=size)

    def sharpness(image):
        return np.square(np.diff(image, axis=0)).mean()

    assert least < sharpness(view) / sharpness(plain) < 1.35


def test_a_magnified_view_has_all_pixels_of_the_image(draw):
    """An image of 48 pixels magnified by 1.5: its middle at 32, pixel by pixel.

    Bilinear kernels alone correlate by 0.79, and by way of 32 pixels it is 0.59.
    """
    draw(0, 0, 0, 0)
    image = np.random.default_rng(0).integers(0, 256, (48, 48, 3), np.uint8)
    view = run(image, options=Augmentation(min_scale=1.5, max_scale=1.5), size=32)
    middle = image[8:40, 8:40] / np.float32(255)
    assert (
        np.corrcoef(view.ravel(), middle.ravel())[0, 1] > 0.88
    )  # 0.79 by bilinear kernels, 0.59 by way of 32


def test_all_at_once_is_turn_and_zoom_then_shift(draw):
    draw(0.5, 1.0, -0.5, 0.25)
    options = Augmentation(rotation=40.0, min_scale=1.0, max_scale=1.5, shift=0.2)
    origin = change(coordinates(), options)[..., :2] - CENTER
    angle, shift = np.deg2rad(20.0), np.array([-0.1, 0.05]) * SIDE
    # With y pointing down, this turns counterclockwise on the screen.
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    arrived = CENTER + 1.5 * origin @ turn.T + shift
    inside = np.abs(origin).max(axis=-1) < CENTER - 0.01
    assert inside.mean() > 0.5
    np.testing.assert_allclose(arrived[inside], coordinates()[inside][:, :2], atol=1e-3)


def test_augmentation_keeps_the_frame(draw):
    draw(0, 0, 0, 0)
    smooth = (coordinates() * 16).astype(np.uint8)
    turned_by_nothing = run(smooth, options=Augmentation(rotation=10.0))
    np.testing.assert_allclose(turned_by_nothing, run(smooth), atol=0.02)


@pytest.mark.parametrize("mode", ["crop", "pad", "stretch"])
def test_no_foreign_color_comes_in_at_the_edges(mode):
    color = np.array([250, 20, 130], np.uint8)
    image = np.broadcast_to(color, (11, 19, 3))
    for i in range(5):
        view = run(image, mode, STRONG, seed=(0, i))
        np.testing.assert_allclose(view, np.broadcast_to(color / 255, view.shape), atol=1e-5)


def test_draws_stay_within_their_bounds():
    options = Augmentation(min_scale=0.5, max_scale=2.0, shift=0.1)
    for i in range(20):
        view = augment(coordinates(), options, tf.constant([3, i], tf.int64)).numpy()
        scale = 1.0 / np.diff(view[..., 0], axis=1).max()
        assert 0.499 < scale < 2.001
        at_center = view[SIDE // 2 - 1 : SIDE // 2 + 1, SIDE // 2 - 1 : SIDE // 2 + 1, :2]
        assert np.abs(at_center.mean(axis=(0, 1)) - CENTER).max() <= 0.1 * SIDE / scale + 0.01


def test_same_seed_same_image_and_another_seed_another():
    image = noise(20, 24, 3)
    seeds = [(0, 0), (0, 0), (0, 1), (1, 0)]
    first, again, *others = [run(image, "crop", STRONG, seed) for seed in seeds]
    np.testing.assert_array_equal(first, again)
    assert all(np.abs(first - other).max() > 0.05 for other in others)
    assert np.abs(others[0] - others[1]).max() > 0.05


@pytest.mark.slow
def test_operations_of_one_run_do_not_share_their_draws_with_those_of_the_next():
    """Flips of seed 0 against rotations of seeds 0, 1 and 2, at the same positions."""
    positions = range(400)
    image = coordinates()

    def flips(seed):
        options = Augmentation(flip=True)
        keys = (tf.constant([seed, i], tf.int64) for i in positions)
        views = (np.asarray(augment(image, options, key)) for key in keys)
        return np.array([view[0, 0, 0] > CENTER for view in views], float)

    def angles(seed):
        options = Augmentation(rotation=20.0)
        keys = (tf.constant([seed, i], tf.int64) for i in positions)
        views = (np.asarray(augment(image, options, key)) for key in keys)
        # From left to right of the middle row, y changes by the sine of the angle.
        return np.array([view[8, 8, 1] - view[8, 7, 1] for view in views])

    flipped = flips(0)
    for seed in (0, 1, 2):
        turned = angles(seed)
        assert turned.std() > 0.1
        # Of independent draws: five standard deviations of a correlation of 400 pairs.
        assert abs(np.corrcoef(flipped, turned)[0, 1]) < 0.25


# Damage.


def test_a_blur_spreads_a_point_evenly_and_keeps_flat_parts():
    point = np.zeros((15, 15, 3), np.float32)
    point[7, 7] = 1.0
    spread = preprocess.blurred(tf.constant(point), tf.constant(1.0)).numpy()
    offsets = np.arange(15) - 7
    weights = spread[..., 1]
    np.testing.assert_allclose(weights.sum(), 1.0, rtol=1e-5)
    np.testing.assert_allclose(weights, weights.T, atol=1e-7)
    assert abs((weights.sum(axis=0) * offsets**2).sum() - 1.0) < 0.02
    flat = tf.fill([7, 9, 3], 0.4)
    np.testing.assert_allclose(preprocess.blurred(flat, tf.constant(1.5)), flat, rtol=1e-5)


def test_a_share_of_the_views_is_damaged_in_each_of_three_ways():
    image = np.kron(noise(4, 4, 3) // 2 + 60, np.ones((4, 4, 1), np.uint8))  # Tiles, no clipping.
    views = [run(image, options=Augmentation(damage=0.5), seed=(0, i)) for i in range(60)]
    plain = run(image)
    changed = [view for view in views if np.abs(view - plain).max() > 0]
    assert 15 < len(changed) < 45
    assert all(view.min() >= 0 and view.max() <= 1 for view in views)
    inner = np.s_[1:3, 1:3]  # Of a tile: a slight blur leaves it, noise does not.
    rough = [view for view in changed if view[inner].std(axis=(0, 1)).max() > 0.02]
    assert 0 < len(rough) < len(changed)
    np.testing.assert_array_equal(
        views[0], run(image, options=Augmentation(damage=0.5), seed=(0, 0))
    )
