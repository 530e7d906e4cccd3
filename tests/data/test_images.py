"""Decoding: every kind of image that a user's folder may hold becomes the right uint8 RGB."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from vpt_gen.data.images import decode, encode_png, to_uint8

RED, WHITE, PINK = [255, 0, 0], [255, 255, 255], [255, 127, 127]


def encode(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def png_chunk(kind, content):
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def png_16_bit(color_type, *values):
    """One pixel with 16 bits a channel, which Pillow itself does not write."""
    header = struct.pack(">IIBBBBB", 1, 1, 16, color_type, 0, 0, 0)
    pixels = zlib.compress(b"\0" + struct.pack(f">{len(values)}H", *values))
    chunks = [(b"IHDR", header), (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP"])
def test_lossless_formats(kind):
    pixels = noise(5, 7, 3)
    decoded = decode(encode(Image.fromarray(pixels), kind, lossless=True))
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, pixels)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_lossy_formats(kind):
    ramp = np.add.outer(np.arange(32), np.arange(48))[..., None] * [2, 3, 1] + [3, 2, 1]
    decoded = decode(encode(Image.fromarray(ramp.astype(np.uint8)), kind, quality=95))
    assert np.abs(decoded - ramp).max() < 8


def test_file_and_bytes_decode_alike(tmp_path):
    data = encode(Image.fromarray(noise(4, 4, 3)), "PNG")
    path = tmp_path / "image.png"
    path.write_bytes(data)
    np.testing.assert_array_equal(decode(path), decode(data))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF"])
def test_grey_has_three_equal_channels(kind):
    decoded = decode(encode(Image.new("L", (8, 8), 90), kind))
    np.testing.assert_array_equal(decoded, np.full((8, 8, 3), 90))


def test_black_and_white():
    image = Image.fromarray(np.array([[False, True]]))
    assert decode(encode(image, "PNG")).tolist() == [[[0, 0, 0], WHITE]]


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("RGBA", (1, 1), (255, 0, 0, 128)), PINK),
        (Image.new("RGBA", (1, 1), (255, 0, 0, 0)), WHITE),
        (Image.new("LA", (1, 1), (0, 128)), [127, 127, 127]),
    ],
)
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_alpha_goes_on_white(image, expected, kind):
    assert decode(encode(image, kind)).tolist() == [[expected]]


@pytest.mark.parametrize(("mode", "color"), [("L", 7), ("RGB", (7, 8, 9))])
def test_a_color_that_stands_for_transparent_is_white(mode, color):
    data = encode(Image.new(mode, (1, 1), color), "PNG", transparency=color)
    assert decode(data).tolist() == [[WHITE]]


@pytest.mark.parametrize(
    ("kind", "transparency", "expected"),
    [
        ("PNG", None, [RED, [0, 255, 0]]),
        ("GIF", None, [RED, [0, 255, 0]]),
        ("PNG", 1, [RED, WHITE]),
        ("GIF", 1, [RED, WHITE]),
        ("PNG", bytes([128, 0]), [PINK, WHITE]),
    ],
)
def test_palette(kind, transparency, expected):
    image = Image.fromarray(np.array([[0, 1]], np.uint8), "L").convert("P")
    image.putpalette(RED + [0, 255, 0] + [0] * 762)
    image.info.clear()
    options = {} if transparency is None else {"transparency": transparency}
    assert decode(encode(image, kind, **options)).tolist() == [expected]


@pytest.mark.parametrize("mode", ["I;16", "I;16B"])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled(mode, kind):
    values = np.array([[0, 257, 128 * 257, 65535]], ">u2" if mode.endswith("B") else "<u2")
    image = Image.frombytes(mode, (4, 1), values.tobytes())
    assert decode(encode(image, kind))[0, :, 1].tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (png_16_bit(2, 65535, 100 * 257, 0), [255, 100, 0]),
        (png_16_bit(6, 65535, 0, 0, 128 * 257), PINK),
        (png_16_bit(4, 0, 128 * 257), [127, 127, 127]),
    ],
    ids=["rgb", "rgba", "grey with alpha"],
)
def test_16_bit_color_and_alpha(data, expected):
    assert decode(data).tolist() == [[expected]]


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk(kind):
    decoded = decode(encode(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), kind))
    np.testing.assert_allclose(decoded, np.broadcast_to(RED, (8, 8, 3)), atol=3)


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        (1, lambda x: x),
        (2, np.fliplr),
        (3, lambda x: np.rot90(x, 2)),
        (4, np.flipud),
        (5, np.transpose),
        (6, lambda x: np.rot90(x, -1)),
        (7, lambda x: np.rot90(x, 2).T),
        (8, np.rot90),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_exif_orientation(orientation, turn, dtype):
    stored = np.arange(6).reshape(2, 3).astype(dtype) * (np.iinfo(dtype).max // 255)
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = decode(encode(Image.fromarray(stored), "PNG", exif=exif))
    np.testing.assert_array_equal(decoded[..., 0], turn(np.arange(6).reshape(2, 3)))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_first_frame_of_an_animation(kind):
    later = Image.new("RGB", (4, 4), "blue")
    options = {"save_all": True, "append_images": [later], "lossless": True}
    decoded = decode(encode(Image.new("RGB", (4, 4), "red"), kind, **options))
    np.testing.assert_array_equal(decoded, np.broadcast_to(RED, (4, 4, 3)))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
def test_truncated_file_raises(kind):
    data = encode(Image.fromarray(noise(40, 40, 3)), kind)
    with pytest.raises(OSError):
        decode(data[: len(data) // 2])


@pytest.mark.parametrize("data", [b"", b"no image"])
def test_what_is_no_image_raises(data):
    with pytest.raises(OSError):
        decode(data)


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 3)])
def test_encode_png_loses_nothing(shape):
    pixels = noise(*shape)
    expected = np.broadcast_to(pixels.reshape(3, 5, -1), (3, 5, 3))
    np.testing.assert_array_equal(decode(encode_png(pixels)), expected)


def test_to_uint8_rounds_and_clips():
    values = np.array([-0.5, 0.0, 0.4 / 255, 0.6 / 255, 1.0, 1.5])
    assert to_uint8(values).tolist() == [0, 0, 0, 1, 255, 255]
    np.testing.assert_array_equal(to_uint8(np.arange(256) / np.float32(255)), np.arange(256))
