"""Masks: from pictures and boxes, of tokens, soft edges, and what hides the masked pixels."""

import numpy as np
import pytest
from scipy import ndimage

from vpt_gen.errors import UserError
from vpt_gen.images import masks


def box(height, width, x0, y0, x1, y1):
    return masks.from_box((x0, y0, x1, y1), (height, width))


def test_a_box_is_counted_from_the_top_left():
    mask = box(3, 4, 1, 0, 3, 2)
    assert mask.astype(int).tolist() == [[0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize("given", [(0, 0, 5, 2), (1, 1, 1, 2), (2, 1, 1, 2), (0, -1, 2, 2)])
def test_a_box_outside_of_the_image_is_refused(given):
    with pytest.raises(UserError, match="does not lie in the image of 4 x 3 pixels"):
        masks.from_box(given, (3, 4))


def test_bright_pixels_of_a_picture_are_masked():
    picture = np.zeros((2, 3, 3), np.uint8)
    picture[1, 1:] = (200, 255, 130)
    assert masks.from_picture(picture, (2, 3), "m.png").astype(int).tolist() == [[0] * 3, [0, 1, 1]]
    with pytest.raises(UserError, match=r"m.png has 3 x 2 pixels, but its image has 4 x 2"):
        masks.from_picture(picture, (2, 4), "m.png")
    with pytest.raises(UserError, match="m.png is black all over"):
        masks.from_picture(0 * picture, (2, 3), "m.png")


def test_a_token_is_masked_if_any_or_most_of_its_pixels_are():
    mask = box(8, 8, 0, 0, 5, 4)
    assert masks.of_tokens(mask, (2, 2)).astype(int).tolist() == [[1, 1], [0, 0]]
    assert masks.of_tokens(mask, (2, 2), "most").astype(int).tolist() == [[1, 0], [0, 0]]
    assert masks.of_tokens(box(8, 8, 0, 0, 4, 2), (2, 2), "most").sum() == 1  # A half is most.


@pytest.mark.parametrize("size", [(7, 5), (100, 33), (3, 3), (1, 1)])
@pytest.mark.parametrize("grid", [(4, 4), (8, 8)])
def test_every_masked_pixel_is_in_a_masked_token_of_any_grid(size, grid):
    for y, x in np.ndindex(min(size[0], 12), min(size[1], 12)):
        tokens = masks.of_tokens(box(*size, x, y, x + 1, y + 1), grid)
        # The tokens whose area [i / h, (i + 1) / h) overlaps the pixel's.
        rows = [
            i
            for i in range(grid[0])
            if i * size[0] < (y + 1) * grid[0] and (i + 1) * size[0] > y * grid[0]
        ]
        columns = [
            j
            for j in range(grid[1])
            if j * size[1] < (x + 1) * grid[1] and (j + 1) * size[1] > x * grid[1]
        ]
        expected = np.zeros(grid, bool)
        expected[np.ix_(rows, columns)] = True
        np.testing.assert_array_equal(tokens, expected)


def test_soft_edges_rise_inside_of_the_mask_and_not_at_the_images_border():
    mask = box(9, 9, 0, 3, 9, 9)
    weight = masks.soft(mask, 2)
    assert (weight[~mask] == 0).all()
    np.testing.assert_allclose(weight[3:, 4], [1 / 3, 2 / 3, 1, 1, 1, 1], rtol=1e-6)
    assert (weight == weight[:, :1]).all()
    np.testing.assert_array_equal(masks.soft(mask, 0), mask)
    assert (masks.soft(np.ones((4, 4), bool), 2) == 1).all()


def test_hidden_pixels_show_through_nowhere():
    rng = np.random.default_rng(0)
    image = rng.random((8, 8, 3), np.float32)
    mask = box(8, 8, 2, 2, 6, 6)
    other = np.where(mask[..., None], rng.random((8, 8, 3), np.float32), image)
    a, b = masks.filled(image, mask), masks.filled(other, mask)
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(a[~mask], image[~mask])
    assert a[2, 3].tolist() == image[1, 3].tolist()
    assert (masks.filled(image, np.ones((8, 8), bool)) == 0.5).all()


def any_masks(size):
    """Boxes at the border and inside, discs and scattered pixels; none is all of the image."""
    height, width = size
    yield box(*size, 0, 0, width, height - 1)
    yield box(*size, 2, 3, width, height)
    yield box(*size, 3, 2, 5, 4)
    yield ~box(*size, 3, 2, 5, 4)
    yield np.hypot(*np.mgrid[-4 : height - 4, -5 : width - 5]) < 4
    for share in (0.03, 0.5, 0.97):
        mask = np.random.default_rng(0).random(size) < share
        mask[0, 0] = False
        yield mask


@pytest.mark.parametrize("size", [(9, 12), (16, 16), (31, 8)])
def test_hidden_pixels_and_soft_edges_are_those_of_the_whole_image(size):
    """They are computed around the mask only, which is a small part of a large image."""
    image = np.random.default_rng(1).random((*size, 3), np.float32)
    for mask in any_masks(size):
        distance, nearest = ndimage.distance_transform_edt(mask, return_indices=True)
        np.testing.assert_array_equal(masks.filled(image, mask), image[tuple(nearest)])
        soft = np.minimum(distance / 2.5, 1).astype(np.float32)
        np.testing.assert_array_equal(masks.soft(mask, 1.5), soft)


def test_a_large_image_is_searched_around_its_mask_only(monkeypatch):
    searched, transform = [], ndimage.distance_transform_edt
    monkeypatch.setattr(
        ndimage,
        "distance_transform_edt",
        lambda mask, **given: searched.append(mask.shape) or transform(mask, **given),
    )
    mask = box(200, 300, 290, 10, 300, 30)
    masks.hide([np.zeros((200, 300, 3), np.float32)] * 3, mask)
    masks.soft(mask, 2)
    assert searched == [(22, 11)] * 2
