"""Windows cover what is to be painted, lie in the image, and continue what is known."""

import time

import numpy as np
import pytest

from vpt_gen.images import masks, windows
from vpt_gen.images.windows import Window

SIZES = [(32, 32), (33, 70), (100, 41), (1, 1), (1, 9)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("seed", range(4))
def test_windows_cover_the_mask_and_lie_in_the_image(size, seed):
    rng = np.random.default_rng(seed)
    mask = rng.random(size) < 0.1
    mask[rng.integers(size[0]), rng.integers(size[1])] = True
    side = int(rng.integers(1, min(size) + 1))
    covered = np.zeros(size, bool)
    for window in windows.plan(mask, side):
        assert window.side == side
        assert 0 <= window.top <= size[0] - side and 0 <= window.left <= size[1] - side
        assert (window.of(mask) & ~window.of(covered)).any()  # None is in vain.
        window.of(covered)[:] = True
    assert (covered | ~mask).all()


def test_a_mask_that_fits_gets_one_window_around_it():
    mask = masks.from_box((50, 10, 60, 20), (40, 100))
    assert windows.plan(mask, 40) == [Window(0, 35, 40)]
    assert windows.plan(mask, 20) == [Window(5, 45, 20)]
    corner = masks.from_box((90, 30, 100, 40), (40, 100))
    assert windows.plan(corner, 20) == [Window(20, 80, 20)]


def test_nothing_to_paint_needs_no_window():
    assert windows.plan(np.zeros((5, 5), bool), 5) == []


def test_painting_grows_out_of_what_is_known():
    mask = np.ones((32, 160), bool)
    mask[:, 64:96] = False
    unknown = mask.copy()
    for window in windows.plan(mask, 32):
        assert window.of(unknown).mean() <= 2 / 3
        window.of(unknown)[:] = False


def test_a_window_changes_only_its_neighbors(monkeypatch):
    """Or else the plan of a large image takes longer than its painting."""
    looked, of = [], Window.of
    monkeypatch.setattr(Window, "of", lambda *given: looked.append(1) or of(*given))
    chosen = windows.plan(np.ones((160, 160), bool), 16)  # Of a lattice of 19 x 19.
    assert len(chosen) >= 100
    assert len(looked) <= 19 * 19 + 10 * len(chosen)


def plan_by_looking_at_all(mask, side):
    """The rule of `windows.plan` for what does not fit into one window, in plain words."""
    starts = [
        sorted({*range(0, length - side, max(side // 2, 1)), length - side})
        for length in mask.shape
    ]
    lattice = [Window(top, left, side) for top in starts[0] for left in starts[1]]
    unknown, chosen = mask.copy(), []
    while unknown.any():
        lacking = np.array([window.of(unknown).sum() for window in lattice])
        anchored = lacking * (lacking <= (1 - 1 / 3) * side * side)
        least = np.where(lacking > 0, lacking, side * side + 1)
        chosen.append(lattice[np.argmax(anchored) if anchored.any() else np.argmin(least)])
        chosen[-1].of(unknown)[:] = False
    return chosen


@pytest.mark.parametrize("side", [1, 2, 3, 7, 10])
@pytest.mark.parametrize("share", [0.05, 0.9, 1.0])
def test_the_next_window_is_the_best_of_all(side, share):
    mask = np.random.default_rng(side).random((11, 24)) < share
    mask[0, [0, -1]] = mask[-1, [0, -1]] = True  # Fits into no window.
    assert windows.plan(mask, side) == plan_by_looking_at_all(mask, side)


def test_four_times_the_windows_take_about_four_times_as_long():
    """Or else painting of a large image in small windows does not begin for minutes."""
    seconds = []
    for length in (256, 512):
        start = time.process_time()
        windows.plan(np.ones((length, length), bool), 8)
        seconds.append(time.process_time() - start)
    assert seconds[1] < 8 * seconds[0]


def test_resizing_keeps_flat_colors_and_the_range():
    image = np.random.default_rng(0).random((9, 9, 3), np.float32)
    assert windows.resized(image, 9) is image
    for side in (4, 20):
        resized = windows.resized(image, side)
        assert resized.shape == (side, side, 3) and 0 <= resized.min() <= resized.max() <= 1
        np.testing.assert_allclose(windows.resized(0 * image + 0.3, side), 0.3, atol=1e-6)
