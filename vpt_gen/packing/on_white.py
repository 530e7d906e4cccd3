"""Pictures cut out on a transparent ground -> squares on white."""

import io

from PIL import Image, ImageChops

FAINT = 8  # what differs from white by no more (of 255) counts as empty ground


def on_white(picture: bytes) -> Image.Image:
    """The RGB picture on white paper.

    Raises OSError, ValueError or SyntaxError for a broken file.
    """
    rgba = Image.open(io.BytesIO(picture)).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")


def fit_square(image: Image.Image, size: int, content: int) -> Image.Image | None:
    """What is not white, cropped, scaled so that its longest side is `content`, on a white square.

    Args:
      image: RGB.
      size: side of the square, pixels.
      content: longest side of what is shown, pixels.

    Returns:
      None where all is white.
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
