"""Colors as an image's embedded profile means them, in sRGB."""

import functools
import io
from typing import cast

from PIL import Image, ImageCms

# Color space of a profile -> Pillow's mode.
_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """An image of mode L, RGB or CMYK and its ICC profile -> mode RGB, in sRGB.

    A profile that is damaged, or for another kind of image, counts as none, and so does one that
    calls itself sRGB; without one, CMYK is taken as ideal inks.
    """
    mode, transform = _transform(profile) if profile else (None, None)
    fits = mode == image.mode or (mode, image.mode) == ("RGB", "L")
    if transform is None or not fits:
        return image.convert("RGB")
    # It gives None only where it changes the image itself.
    return cast(Image.Image, ImageCms.applyTransform(image.convert(mode), transform))


@functools.lru_cache(maxsize=16)  # A data set has few, and a CMYK one takes a while to build.
def _transform(profile: bytes):
    """The mode that a profile is for and the transform to sRGB; (None, None) for no change."""
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = _MODES.get(opened.profile.xcolor_space.strip())
        if mode is None or "sRGB" in (opened.profile.profile_description or ""):
            return None, None
        return mode, ImageCms.buildTransform(opened, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (OSError, ImageCms.PyCMSError):
        return None, None
