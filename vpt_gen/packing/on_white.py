"""Pictures on a transparent background -> squares on white."""

import io

from PIL import Image, ImageChops

FAINT = 8  # pixels that differ from white by at most this (of 255) count as background


def on_white(picture: bytes) -> Image.Image:
    """Puts a picture on white, as RGB.

    Raises OSError, ValueError or SyntaxError for a damaged file.
    """
    rgba = Image.open(io.BytesIO(picture)).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")


def fit_square(image: Image.Image, size: int, content: int) -> Image.Image | None:
    """Crops what is not white and scales its longest side to `content`, on a white square.

    Args:
      image: RGB.
      size: side of the square, pixels.
      content: longest side of the content, pixels.

    Returns:
      None if all is white.
    """
    white = Image.new("RGB", image.size, "white")
    differs = ImageChops.difference(image, white).convert("L")
    box = differs.point(lambda value: 255 * (value > FAINT)).getbbox()
    if box is None:
        return None
    shown = image.crop(box)
    scale = content / max(shown.size)
    sides = [max(1, round(side * scale)) for side in shown.size]
    shown = shown.resize(sides, Image.Resampling.LANCZOS)
    square = Image.new("RGB", (size, size), "white")
    square.paste(shown, ((size - shown.width) // 2, (size - shown.height) // 2))
    return square
