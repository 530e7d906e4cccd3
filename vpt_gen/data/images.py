"""Decoding of one image file, whatever its format, to uint8 RGB."""

import io
import pathlib

import numpy as np
from PIL import Image, ImageOps

EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"})


def decode(data: bytes | pathlib.Path) -> np.ndarray:
    """Encoded bytes, or a file -> uint8 (H, W, 3).

    EXIF orientation is applied, transparency goes on white, grey becomes RGB, 16-bit grey is
    scaled to 8 bits, and of an animation the first frame counts.

    Raises:
      OSError (or another of Pillow's errors): where the image is broken or no image at all.
    """
    with Image.open(io.BytesIO(data) if isinstance(data, bytes) else data) as image:
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I"):
            values = np.asarray(image, np.float64) / 257.0
            image = Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))
        if image.has_transparency_data:
            image = image.convert("RGBA")
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image)
        return np.asarray(image.convert("RGB"))


def encode_png(image: np.ndarray) -> bytes:
    """A uint8 (H, W, 3) or (H, W) array -> the bytes of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Images in [0, 1], clipped, -> uint8."""
    return (np.clip(np.asarray(images), 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
