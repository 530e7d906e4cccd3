"""Which pixels of an image are repainted: masks from files and boxes, tokens, soft edges, fills.

A mask is bool (H, W), True where the image is repainted.
"""

from collections.abc import Sequence

import numpy as np

from vpt_gen.errors import UserError
from vpt_gen.machine import later

with later.imports(globals()):
    from scipy import ndimage

# A token is masked if any, or at least half, of its pixels are.
RULES = ("any", "most")


def from_picture(picture: np.ndarray, size: tuple[int, ...], name: str) -> np.ndarray:
    """Returns the mask that a picture shows: bright pixels are repainted.

    Args:
      picture: uint8 (h, w, 3).
      size: height and width of the image.
      name: of the picture, for messages.

    Raises:
      UserError: a picture of another size, or one that masks nothing.
    """
    height, width = size
    if picture.shape[:2] != size:
        h, w = picture.shape[:2]
        raise UserError(
            f"The mask {name} has {w} x {h} pixels, but its image has {width} x {height}: draw it "
            "on a copy of the image."
        )
    mask = picture.mean(axis=-1) >= 128
    if not mask.any():
        raise UserError(f"The mask {name} is black all over: paint white what is to change.")
    return mask


def from_box(box: Sequence[int], size: tuple[int, ...]) -> np.ndarray:
    """Returns the mask of a box x0, y0, x1, y1 in pixels, the last two exclusive.

    Raises:
      UserError: a box that is empty or not inside of the image.
    """
    x0, y0, x1, y1 = box
    height, width = size
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise UserError(
            f"The box {','.join(map(str, box))} does not lie in the image of {width} x {height} "
            "pixels: give x0,y0,x1,y1 with x0 < x1 and y0 < y1, counted from the top left."
        )
    mask = np.zeros((height, width), bool)
    mask[y0:y1, x0:x1] = True
    return mask


def of_tokens(mask: np.ndarray, grid: tuple[int, int], rule: str = "any") -> np.ndarray:
    """Returns which tokens (h, w) of an image are masked.

    Args:
      mask: (H, W); sides need not be multiples of the grid's.
      grid: h, w, of the tokens that cover the image evenly.
      rule: of `RULES`.
    """
    share = _mean_over(mask.astype(np.float64), grid)
    # A pixel that lies in several cells counts for each by its overlap.
    return share > 1e-9 if rule == "any" else share >= 0.5


def _mean_over(values: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Averages (H, W) over the cells of a grid, by exact overlaps."""
    rows, columns = (_overlaps(n, cells) for n, cells in zip(values.shape, grid, strict=True))
    return rows @ values @ columns.T


def _overlaps(pixels: int, cells: int) -> np.ndarray:
    """Returns the share (cells, pixels) of each pixel in the mean of each cell."""
    edges = np.arange(cells + 1) * pixels / cells
    pixel = np.arange(pixels)
    inside = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return np.clip(inside, 0.0, None) * cells / pixels


def soft(mask: np.ndarray, radius: float) -> np.ndarray:
    """Returns the weight (H, W) of repainted pixels: 0 outside of the mask, rising to 1 inside.

    Args:
      mask: (H, W).
      radius: pixels from the edge to full weight; 0 for a hard edge. The image's border is no edge.
    """
    if radius <= 0 or mask.all() or not mask.any():
        return mask.astype(np.float32)
    weight, around = np.zeros(mask.shape, np.float32), _around(mask)
    distance = ndimage.distance_transform_edt(mask[around])
    weight[around] = np.minimum(distance / (radius + 1), 1)
    return weight


def filled(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Returns a copy of an image (H, W, 3) whose masked pixels are hidden, see `hide`."""
    copy = image.copy()
    hide([copy], mask)
    return copy


def hide(images: Sequence[np.ndarray], mask: np.ndarray) -> None:
    """Replaces each masked pixel of some images by the nearest of the others, in place.

    A tokenizer sees beyond a token's own pixels: what is to be replaced must not be seen.

    Args:
      images: each (H, W, 3) in [0, 1].
      mask: (H, W); if all is masked, the result is mid-gray.
    """
    if mask.all():
        for image in images:
            image[:] = 0.5
    elif mask.any():
        around = _around(mask)
        masked = mask[around]
        to_nearest = ndimage.distance_transform_edt(
            masked, return_distances=False, return_indices=True
        )
        nearest = tuple(indices[masked] for indices in to_nearest)
        for image in images:
            pixels = image[around]
            pixels[masked] = pixels[nearest]


def _around(mask: np.ndarray) -> tuple[slice, slice]:
    """Returns the box of the masked pixels and one pixel more: every nearest other lies in it."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return _with_margin(rows), _with_margin(columns)


def _with_margin(numbers: np.ndarray) -> slice:
    return slice(max(numbers[0] - 1, 0), numbers[-1] + 2)
