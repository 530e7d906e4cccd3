"""Parts of canvases: those of one mask share what depends on it, and are painted as alone."""

import numpy as np

from vpt_gen.images import masks
from vpt_gen.images.windows import Window
from vpt_gen.runs.canvases import Part, hide, paste

WINDOW = Window(2, 0, 12)


def part_of(seed, unknown):
    canvas = np.random.default_rng(seed).random((16, 12, 3), np.float32)
    return Part(canvas, unknown, WINDOW)


def unknown_of(*box):
    return masks.from_box(box, (16, 12))


def test_parts_of_one_mask_are_painted_as_alone():
    boxes = (3, 4, 9, 11), (0, 8, 12, 16)
    shared, other = (unknown_of(*box) for box in boxes)
    together = [part_of(0, shared), part_of(1, other), part_of(2, shared)]
    alone = [part_of(i, unknown_of(*boxes[i % 2])) for i in range(3)]
    painted = np.random.default_rng(5).random((3, 8, 8, 3), np.float32)
    hide(together)
    paste(together, painted, [2.0, 1.0, 2.0])
    for row, part in enumerate(alone):
        hide([part])
        paste([part], painted[row : row + 1], [[2.0, 1.0][row % 2]])
        np.testing.assert_array_equal(together[row].canvas, part.canvas)
        np.testing.assert_array_equal(together[row].unknown, part.unknown)
    assert not shared.any() and other[14:].all()  # Only what lies in the window is painted.


def test_a_mask_is_searched_once_for_all_that_share_it(monkeypatch):
    searched, hide_all = [], masks.hide
    soft = masks.soft
    monkeypatch.setattr(
        masks, "hide", lambda images, mask: searched.append("hide") or hide_all(images, mask)
    )
    monkeypatch.setattr(
        masks, "soft", lambda mask, radius: searched.append("soft") or soft(mask, radius)
    )
    shared = unknown_of(3, 4, 9, 11)
    parts = [part_of(i, shared) for i in range(5)]
    hide(parts)
    paste(parts, np.zeros((5, 8, 8, 3), np.float32), [1.0] * 5)
    assert searched == ["hide", "soft"]
