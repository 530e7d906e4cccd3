"""Pen drawings of silhouettes: a line along their edge, or along their middle.

Handwriting is strokes where silhouettes are filled: a source model that has seen no strokes fills
whatever it is taught to write.
"""

import numpy as np
from PIL import Image
from scipy import ndimage
from skimage.morphology import skeletonize

CANVAS = 224  # side of the drawing, in pixels
BLUR = 5.0  # smooths the silhouette, in pixels of the canvas: a ragged edge grows false branches


def edge(silhouette: Image.Image, radius: float) -> Image.Image:
    """The silhouette's edge, drawn with a round pen of this radius; see `_stroke`."""
    mask = _mask(silhouette)
    return _stroke(mask ^ ndimage.binary_erosion(mask), radius)


def skeleton(silhouette: Image.Image, radius: float) -> Image.Image:
    """The silhouette's middle line, drawn with a round pen of this radius; see `_stroke`."""
    return _stroke(skeletonize(_mask(silhouette)), radius)


def _mask(silhouette):
    """The smoothed silhouette, a square mode L image bright on black: bool (CANVAS, CANVAS)."""
    large = silhouette.resize((CANVAS, CANVAS), Image.Resampling.BICUBIC)
    return ndimage.gaussian_filter(np.asarray(large, np.float32), BLUR) > 127


def _stroke(line, radius):
    """Mode L image with an antialiased pen of `radius` (canvas pixels) moved along a bool line."""
    if not line.any():
        return Image.new("L", (CANVAS, CANVAS))
    distance = ndimage.distance_transform_edt(~line)
    return Image.fromarray(np.uint8(255 * np.clip(radius + 0.5 - distance, 0, 1)))
