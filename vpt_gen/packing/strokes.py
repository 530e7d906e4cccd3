"""Pen drawings of silhouettes: a line along their edge or middle.

Handwriting consists of strokes, but silhouettes are filled: a source model that has seen no strokes
fills everything that it is taught to write.
"""

import numpy as np
from PIL import Image
from scipy import ndimage
from skimage.morphology import skeletonize

CANVAS = 224  # side of the drawing, in pixels
BLUR = 5.0  # smooths the silhouette, in pixels of the canvas: a ragged edge gives false branches


def edge(silhouette: Image.Image, radius: float) -> Image.Image:
    """Draws the silhouette's edge with a round pen of this radius; see `_stroke`."""
    mask = _mask(silhouette)
    return _stroke(mask ^ ndimage.binary_erosion(mask), radius)


def skeleton(silhouette: Image.Image, radius: float) -> Image.Image:
    """Draws the silhouette's middle line with a round pen of this radius; see `_stroke`."""
    return _stroke(skeletonize(_mask(silhouette)), radius)


def _mask(silhouette):
    """Smooths a silhouette, a square mode L image bright on black: bool (CANVAS, CANVAS)."""
    large = silhouette.resize((CANVAS, CANVAS), Image.Resampling.BICUBIC)
    return ndimage.gaussian_filter(np.asarray(large, np.float32), BLUR) > 127


def _stroke(line, radius):
    """Moves an antialiased pen of `radius` (canvas pixels) along a bool line: a mode L image."""
    if not line.any():
        return Image.new("L", (CANVAS, CANVAS))
    distance = ndimage.distance_transform_edt(~line)
    return Image.fromarray(np.uint8(255 * np.clip(radius + 0.5 - distance, 0, 1)))
