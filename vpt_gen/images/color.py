"""Converts colors from an image's embedded profile to sRGB."""

import functools
import io
from typing import cast

import numpy as np
from PIL import Image, ImageCms

# Color space of a profile -> Pillow's mode.
_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
# Levels of 255 by which profiles of sRGB differ from one another.
_ROUNDING = 2


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Converts an image of mode L, RGB or CMYK with its ICC profile to mode RGB in sRGB.

    A profile that is damaged, or for another kind of image, is ignored, and so is one whose curves
    and primaries are sRGB's. Without a profile, CMYK is read as ideal inks.
    """
    mode, transform = _transform(profile) if profile else (None, None)
    fits = mode == image.mode or (mode, image.mode) == ("RGB", "L")
    if transform is None or not fits:
        return image.convert("RGB")
    # It returns None only if it changes the image in place.
    return cast(Image.Image, ImageCms.applyTransform(image.convert(mode), transform))


@functools.lru_cache(maxsize=16)  # Few per data set; one for CMYK is slow to build.
def _transform(profile: bytes):
    """Returns a profile's mode and its transform to sRGB; (None, None) for no change."""
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = _MODES.get(opened.profile.xcolor_space.strip())
        if mode is None:
            return None, None
        transform = ImageCms.buildTransform(opened, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (OSError, ImageCms.PyCMSError):
        return None, None
    return (None, None) if _changes_nothing(mode, transform) else (mode, transform)


def _changes_nothing(mode: str, transform: ImageCms.ImageCmsTransform) -> bool:
    """Whether a transform leaves colors as they are, up to the rounding of a profile."""
    if mode == "CMYK":
        return False
    colors = np.stack(np.meshgrid(*[np.arange(0, 256, 15, dtype=np.uint8)] * 3), axis=-1)
    grays = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    tried = np.concatenate([colors.reshape(-1, 3), grays])[None]
    image = Image.fromarray(tried).convert(mode)
    changed = np.asarray(cast(Image.Image, ImageCms.applyTransform(image, transform)))
    return np.abs(changed - np.asarray(image.convert("RGB"), int)).max() <= _ROUNDING
