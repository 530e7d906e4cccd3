"""Why a file cannot be read as an image, in a user's words."""

import struct

from PIL import Image

# Part of an error of Pillow that users need not understand -> what it means.
_IN_WORDS = {
    "MAX_TEXT_": "its metadata is larger than 1 MB unpacked; save it again without",
    "decompression bomb": f"more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels; shrink it",
    "invalid literal for int": "its header is damaged",
    "Token too long": "its header is damaged",
}


def why(error: Exception) -> str:
    """Says in one line why an image cannot be decoded, in a user's words."""
    text = " ".join(str(error).split())
    if not text or isinstance(error, (LookupError, TypeError, AttributeError, struct.error)):
        return "damaged"  # Pillow expects another structure, which its text does not explain.
    return next((words for part, words in _IN_WORDS.items() if part in text), text)


def what_else(data: bytes) -> str:
    """Names the kind of a file that Pillow does not know but that often has an image's name."""
    if data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"hevc", b"mif1", b"msf1"):
        return "HEIC; convert it to JPEG"
    if data.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL ")):
        return "JPEG XL; convert it to PNG"
    if data.startswith(b"\xff\xd8"):
        return "a JPEG of 12 bits, without loss, or with a damaged header; only 8 bits are read"
    if data.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS; `git lfs pull` fetches the image"
    if data.lstrip().startswith(b"<"):
        return "text in HTML, SVG or XML"
    return "not an image of a supported format, or its header is damaged"
