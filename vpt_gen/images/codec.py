"""Decodes an image file of any supported format to uint8 RGB, as a viewer would show it."""

import contextlib
import functools
import io
import math
import pathlib
import threading
import warnings
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from PIL import Image, ImageChops, UnidentifiedImageError

from vpt_gen.images import boxes, png
from vpt_gen.images.color import to_srgb
from vpt_gen.images.color_spaces import to_icc
from vpt_gen.images.reasons import what_else

T = TypeVar("T")

EXTENSIONS = frozenset(
    (".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif", ".bmp", ".gif")
    + (".tif", ".tiff", ".jp2", ".j2k", ".jpf", ".jpx", ".pbm", ".pgm", ".ppm", ".pnm")
)
# Pillow's names. It has more formats, but some of them start other programs or accept any file.
_FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "BMP", "GIF", "TIFF", "JPEG2000", "PPM")
# Increase it with every change of what is read or refused, so that files are checked again.
DECODER = 3
# Larger images are shrunk to at most this, and decoded one at a time, to limit memory.
LARGE = 2**24

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_TIFF_BITS, _TIFF_PHOTOMETRIC, _TIFF_SAMPLE_FORMAT, _ORIENTATION = 258, 262, 339, 274
_IN_FRONT = b" \t\r\n\xef\xbb\xbf"  # White space, and the mark of UTF-8.

_one_at_a_time = threading.Lock()
# Pillow's warnings are about large images, which are handled here, and damaged metadata.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


def decode(data: bytes | pathlib.Path, ground: str = "white") -> np.ndarray:
    """Encoded bytes, or a file -> uint8 (H, W, 3), sRGB.

    EXIF orientation and color profiles are applied, transparency goes on white, gray becomes RGB,
    16 bits become 8, and an animation gives its first frame. Images of more than `LARGE` pixels
    are shrunk by a whole factor. `docs/images.md` has the whole list.

    Args:
      data: the bytes, or the file.
      ground: what is under transparent parts, "white" or "black".

    Raises:
      OSError (or another of Pillow's errors): the image is damaged, not an image, larger than
        Pillow's limit (179 million pixels), or has values without a defined black and white.
    """
    read = functools.partial(_decode, ground=ground)
    return _leniently(read, data if isinstance(data, bytes) else data.read_bytes())


def size_of(data: bytes) -> tuple[int, int]:
    """Returns an image's width and height as stored, without its pixels.

    Raises:
      OSError (or another of Pillow's errors): as `decode`, but for what only the pixels show.
    """
    return _leniently(_stored_size, data)


def is_transparent(data: bytes) -> bool:
    """Whether an image has transparent parts; raises what `decode` raises."""
    return _leniently(_has_transparent_parts, data)


def _leniently(read: Callable[[bytes], T], data: bytes) -> T:
    """Reads a file; if that fails, without what viewers overlook."""
    try:
        return read(data)
    except Exception:  # Pillow raises many kinds of errors, some of them for metadata.
        mended = _mended(data)
        if mended == data:
            raise
    return read(mended)


def _mended(data: bytes) -> bytes:
    """Returns a file without what viewers overlook: white space in front, a PNG's metadata."""
    data = data.lstrip(_IN_FRONT)
    return png.without_metadata(data) if data.startswith(png.SIGNATURE) else data


def _opened(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=_FORMATS)
    except UnidentifiedImageError:  # Pillow's message names an object in memory.
        raise OSError(what_else(data)) from None


def _stored_size(data: bytes) -> tuple[int, int]:
    with _opened(data) as image:
        return image.size


def _decode(data: bytes, ground: str) -> np.ndarray:
    with _opened(data) as image, _one_at_a_time if _excess(image) > 1 else contextlib.nullcontext():
        if _excess(image) > 1:  # A JPEG is decoded at a half, a quarter or an eighth.
            excess = _excess(image)
            image.draft(None, (image.width // excess or 1, image.height // excess or 1))
        return np.asarray(_as_shown(image, data, ground))


def _has_transparent_parts(data: bytes) -> bool:
    with _opened(data) as image:
        _load(image)
        if image.mode.startswith("I"):  # Pillow would lose the color that stands for transparent.
            return bool(np.any(np.asarray(image) == image.info.get("transparency")))
        return image.has_transparency_data and bool(_alpha(image).min() < 255)


def _excess(image: Image.Image) -> int:
    """Returns the integer factor by which the sides must shrink to leave at most `LARGE` pixels."""
    return math.ceil(math.sqrt(image.width * image.height / LARGE))


def _as_shown(image: Image.Image, data: bytes, ground: str) -> Image.Image:
    _load(image)
    # Read after the pixels: a PNG may store these behind them, and a TIFF is already rotated.
    profile, turn = _profile(image, data), _TURNS.get(_orientation(image) or 1)
    flat = to_srgb(_flat(_eight_bit(image, ground), ground), profile)
    if _excess(flat) > 1:
        flat = flat.reduce(_excess(flat))
    return flat if turn is None else flat.transpose(turn)


def _load(image: Image.Image) -> None:
    """Reads the pixels, with the transparency that is meant."""
    _mend_transparency(image)
    image.load()
    if image.format == "BMP" and image.mode == "RGBA" and not _alpha(image).any():
        image.putalpha(255)  # Many programs leave the fourth byte empty, and viewers ignore it.


def _profile(image: Image.Image, data: bytes) -> bytes | None:
    """Returns an image's ICC profile: embedded, or of a color space that it states by numbers."""
    profile = image.info.get("icc_profile")
    if image.format == "JPEG2000":
        return profile or boxes.jp2_profile(data)
    if image.format == "PNG":
        space = png.stated_space(data, image.info)
    else:
        space = boxes.avif_space(data) if image.format == "AVIF" and not profile else None
    return to_icc(space) if space else profile


def _orientation(image: Image.Image) -> int | None:
    try:
        return image.getexif().get(_ORIENTATION)
    except Exception:  # Metadata that cannot be parsed is ignored.
        return None


def _mend_transparency(image: Image.Image) -> None:
    """Scales a PNG's transparent color to 8 bits; Pillow scales only the pixels."""
    color = image.info.get("transparency")
    tiles = getattr(image, "tile", None)  # The image as opened has these attributes.
    depth = tiles[0].args if image.format == "PNG" and tiles else None
    if isinstance(color, int) and depth in ("L;2", "L;4"):
        image.info["transparency"] = color * {"L;2": 85, "L;4": 17}[depth]
    elif isinstance(color, tuple) and depth == "RGB;16B":
        image.info["transparency"] = tuple(value >> 8 for value in color)


def _eight_bit(image: Image.Image, ground: str) -> Image.Image:
    """Rounds gray of 12 or 16 bits, or of floats in [0, 1], to 8 bits; others are unchanged.

    The gray that stands for transparent becomes the ground.

    Raises:
      ValueError: values without a defined black and white.
    """
    tags = getattr(image, "tag_v2", {})
    if 2 in tags.get(_TIFF_SAMPLE_FORMAT, ()):
        raise ValueError("signed integers have no defined black and white")
    if image.mode == "F":
        values = np.asarray(image)
        low, high = values.min(), values.max()
        if not (low >= 0 and high <= 1):
            raise ValueError(
                f"float values go from {low:g} to {high:g}; only 0 (black) to 1 (white) are read"
            )
        gray = np.rint(values * 255).astype(np.uint8)
    elif image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        bits = tags.get(_TIFF_BITS, (16,))[0]
        values = np.asarray(image)
        gray = _to_8_bits(bits)[values]
    elif image.mode == "I":
        raise ValueError("32-bit integers have no defined white")
    else:
        return image
    if tags.get(_TIFF_PHOTOMETRIC) == 0:  # White is zero; Pillow inverts only 8 bits.
        gray = 255 - gray
    if "transparency" in image.info:
        under = np.uint8(255 if ground == "white" else 0)
        gray = np.where(values == image.info["transparency"], under, gray)
    return Image.fromarray(gray)


@functools.cache
def _to_8_bits(bits: int) -> np.ndarray:
    """Returns a table: value of `bits` bits -> value of 8 bits, rounded."""
    return np.rint(np.minimum(np.arange(2**16) / (2**bits - 1), 1) * 255).astype(np.uint8)


def _flat(image: Image.Image, ground: str) -> Image.Image:
    """Puts transparent parts on the ground; the result has mode L, RGB or CMYK."""
    is_grey = image.mode in ("1", "L", "LA", "La")
    if image.has_transparency_data:
        image = _with_alpha(image)
        image = Image.alpha_composite(Image.new("RGBA", image.size, ground), image)
    if is_grey:
        return image.convert("L")
    if image.format in ("JPEG", "MPO") and image.mode == "CMYK" and "adobe" not in image.info:
        return ImageChops.invert(image)  # Pillow takes every JPEG for one of Adobe's, inverted.
    return image if image.mode == "CMYK" else image.convert("RGB")


def _with_alpha(image: Image.Image) -> Image.Image:
    # "La" is premultiplied, and there is no direct way to RGBA.
    return (image.convert("LA") if image.mode == "La" else image).convert("RGBA")


def _alpha(image: Image.Image) -> np.ndarray:
    return np.asarray(_with_alpha(image).getchannel("A"))


def encode_png(image: np.ndarray) -> bytes:
    """A uint8 (H, W, 3) or (H, W) array -> the bytes of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Images in [0, 1], clipped, -> uint8."""
    return (np.clip(np.asarray(images), 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
