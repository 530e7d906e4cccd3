"""Pen drawings of silhouettes: a ring for an edge, a tree of lines for a skeleton."""

import numpy as np
from PIL import Image
from scipy import ndimage

from vpt_gen.packing import strokes


def silhouette():
    """A bar, 20 x 8 of 28 x 28 pixels: 160 x 64 of the canvas."""
    image = np.zeros((28, 28), np.uint8)
    image[10:18, 4:24] = 255
    return Image.fromarray(image)


def ink(image):
    return np.asarray(image) >= 127


def test_edge_is_a_closed_line_of_the_pens_width():
    drawn = ink(strokes.edge(silhouette(), 5.0))
    assert drawn.shape == (strokes.CANVAS, strokes.CANVAS)
    assert not drawn[112, 112] and not drawn[20, 20]  # empty inside and outside
    _, regions = ndimage.label(~drawn)
    assert regions == 2
    column = np.flatnonzero(np.diff(drawn[:, 112].astype(int)))
    top, top_end, bottom, bottom_end = column
    assert 10 <= top_end - top <= 12 and 10 <= bottom_end - bottom <= 12
    assert abs((bottom + bottom_end - top - top_end) / 2 - 64) <= 3


def test_skeleton_is_a_line_along_the_middle():
    drawn = ink(strokes.skeleton(silhouette(), 5.0))
    rows = np.flatnonzero(drawn[:, 112])
    assert abs(rows.mean() - 112) <= 2 and 10 <= len(rows) <= 12
    _, regions = ndimage.label(~drawn)
    assert regions == 1


def test_the_pen_is_antialiased():
    values = np.unique(np.asarray(strokes.skeleton(silhouette(), 5.0)))
    assert len(values) > 4


def test_nothing_gives_nothing():
    blank = Image.new("L", (28, 28))
    assert np.asarray(strokes.edge(blank, 5.0)).max() == 0
    assert np.asarray(strokes.skeleton(blank, 5.0)).max() == 0
