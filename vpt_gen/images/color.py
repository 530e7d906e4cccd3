"""Converts colors from an image's embedded profile to sRGB."""

import functools
import io
from typing import cast

from PIL import Image, ImageCms

# Color space of a profile -> Pillow's mode.
_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Converts an image of mode L, RGB or CMYK with its ICC profile to mode RGB in sRGB.

    A profile that is damaged, or for another kind of image, is ignored, and so is one that calls
    itself sRGB. Without a profile, CMYK is read as ideal inks.
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
        if mode is None or "sRGB" in (opened.profile.profile_description or ""):
            return None, None
        return mode, ImageCms.buildTransform(opened, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (OSError, ImageCms.PyCMSError):
        return None, None
