"""Grids: every image where it belongs."""

import numpy as np

from vpt_gen.images import grids


def plain(values, side=64):
    return np.ones((len(values), side, side, 3)) * np.array(values)[:, None, None, None]


def test_images_fill_the_grid_row_by_row():
    grid = grids.image_grid(plain([0.0, 1.0, 0.2], side=4), columns=2)
    assert grid.shape == (14, 14, 3)
    assert (grid[2:6, 2:6] == 0).all()
    assert (grid[2:6, 8:12] == 255).all()
    assert (grid[8:12, 2:6] == 51).all()
    assert (grid[8:12, 8:12] == 96).all()


def test_small_images_are_magnified_without_smoothing():
    images = np.random.default_rng(0).random((1, 16, 16, 3))
    large = grids.magnify(images)
    assert large.shape == (1, 64, 64, 3)
    np.testing.assert_array_equal(large[:, ::4, ::4], images)
    assert grids.magnify(plain([0.5], side=256)).shape == (1, 256, 256, 3)


def test_a_row_a_class_with_its_name():
    images, ids = plain([0.1, 0.9, 0.1, 0.9]), np.array([0, 1, 0, 1])
    grid = grids.class_grid(images, ids, ["dark", "a much longer name"])
    grid = grid[:, -134:]  # Without the names.
    top, bottom = grid[: len(grid) // 2], grid[len(grid) // 2 :]
    assert (top == 26).any() and not (top == 230).any()
    assert (bottom == 230).any() and not (bottom == 26).any()


def test_the_trace_shows_early_dark_and_late_bright():
    revealed = np.array([[0, 3, -1, 1]])
    grid = grids.trace_grid(plain([0.5]), revealed, (2, 2))
    trace = grid[2:66, 68:132].astype(int)
    first, last, given = trace[5, 5], trace[5, 60], trace[60, 5]
    assert first.sum() < last.sum()
    assert given.sum() == 0


def test_saving_makes_the_folder(tmp_path):
    grids.save_png(tmp_path / "a" / "b.png", np.zeros((4, 4, 3), np.uint8))
    assert (tmp_path / "a" / "b.png").is_file()
