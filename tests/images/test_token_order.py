"""Pictures of the order of tokens that form a grid, or one row."""

import numpy as np

from vpt_gen.images import grids


def test_tokens_of_a_sequence_are_bars():
    colors = grids.order_colors(np.array([[2, 0, 1]]), 4, 8, (1, 3))
    assert colors.shape == (1, 4, 8, 3)
    assert (colors == colors[:, :1]).all()
    brightness = colors[0, 0].sum(axis=-1)
    # Pixels of the three tokens: the first was fixed last.
    assert brightness[0] > brightness[7] > brightness[3]


def test_more_tokens_than_pixels_fit():
    assert grids.order_colors(np.arange(32)[None], 8, 16, (1, 32)).shape == (1, 8, 16, 3)
