"""Decoding: every kind of image that a user's folder may hold becomes the right uint8 RGB."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageChops, UnidentifiedImageError

from vpt_gen.images import codec as images
from vpt_gen.images.codec import (
    decode,
    encode_png,
    is_transparent,
    to_uint8,
)
from vpt_gen.images.reasons import why

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


def png_row(width, bits, color_type, row, transparent=None):
    """One row of a PNG as Pillow itself does not write them."""
    header = struct.pack(">IIBBBBB", width, 1, bits, color_type, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" + row)), (b"IEND", b"")]
    if transparent is not None:
        chunks.insert(1, (b"tRNS", transparent))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)


def png_16_bit(color_type, *values):
    """One pixel with 16 bits a channel."""
    return png_row(1, 16, color_type, struct.pack(f">{len(values)}H", *values))


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


@pytest.mark.parametrize(
    "data",
    [
        encode(Image.new("RGBA", (1, 1), (255, 255, 255, 0)), "PNG"),
        encode(Image.new("L", (1, 1), 255), "PNG", transparency=255),
        png_row(1, 16, 0, b"\xff\xff", b"\xff\xff"),
    ],
)
def test_transparent_parts_go_on_black_where_a_mask_is_read(data):
    assert decode(data).tolist() == [[[255] * 3]]
    assert decode(data, "black").tolist() == [[[0] * 3]]


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
    ids=["rgb", "rgba", "gray with alpha"],
)
def test_16_bit_color_and_alpha(data, expected):
    assert decode(data).tolist() == [[expected]]


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk(kind):
    decoded = decode(encode(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), kind))
    np.testing.assert_allclose(decoded, np.broadcast_to(RED, (8, 8, 3)), atol=3)


def test_16_bit_grey_is_rounded():
    values = np.arange(0, 65536, 97, np.uint16)[None]
    decoded = decode(encode(Image.fromarray(values), "PNG"))
    np.testing.assert_array_equal(decoded[..., 0], np.rint(values / 257.0))


def test_16_bit_color_is_at_most_one_level_off():
    values = np.arange(0, 65536, 97, np.uint16)
    row = np.repeat(values[:, None], 3, axis=1).astype(">u2").tobytes()
    decoded = decode(png_row(len(values), 16, 2, row))[0, :, 0]
    assert np.abs(decoded - np.rint(values / 257.0)).max() == 1
    np.testing.assert_array_equal(decoded, values >> 8)


@pytest.mark.parametrize(
    ("bits", "row", "transparent"),
    [
        (1, b"\x40", b"\0\x01"),
        (2, b"\x30", b"\0\x03"),
        (4, b"\x0f", b"\0\x0f"),
        (8, b"\0\x50", b"\0\x50"),
        (16, b"\0\0\x50\x51", b"\x50\x51"),
    ],
)
def test_transparent_grey_of_any_depth(bits, row, transparent):
    assert decode(png_row(2, bits, 0, row, transparent)).tolist() == [[[0, 0, 0], WHITE]]
    opaque = decode(png_row(2, bits, 0, row)).tolist()[0][1]
    assert opaque == ([80, 80, 80] if bits >= 8 else WHITE)


def test_transparent_color_of_16_bits():
    row = struct.pack(">6H", 0x1234, 0x5678, 0x9ABC, 0, 0, 0)
    data = png_row(2, 16, 2, row, transparent=row[:6])
    assert decode(data).tolist() == [[WHITE, [0, 0, 0]]]


def tiff(shape, pixels, **tags):
    """An uncompressed little-endian TIFF of one strip; tags are numbers by their names."""
    numbers = {
        "width": 256, "height": 257, "bits": 258, "compression": 259, "photometric": 262,
        "offset": 273, "samples": 277, "rows": 278, "length": 279, "extra": 338, "format": 339,
    }  # fmt: skip
    height, width = shape
    tags = {"width": width, "height": height, "compression": 1, "photometric": 1, "samples": 1,
            "rows": height, "length": len(pixels), "offset": 0, **tags}  # fmt: skip
    tags["offset"] = 8 + 2 + 12 * len(tags) + 4
    entries = b""
    for name, value in sorted(tags.items(), key=lambda item: numbers[item[0]]):
        value = (value,) if isinstance(value, int) else value  # One number, or two 16-bit ones.
        content = struct.pack(f"<{len(value)}H", *value).ljust(4, b"\0")
        entries += struct.pack("<HHI", numbers[name], 3, len(value)) + content
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + b"\0\0\0\0" + pixels


def test_12_bit_grey_tiff():
    # Two values in three bytes: 0xFFF and 0x800.
    decoded = decode(tiff((1, 2), b"\xff\xf8\x00", bits=12))
    assert decoded[0, :, 0].tolist() == [255, round(0x800 / 4095 * 255)]


def test_16_bit_grey_tiff_where_white_is_zero():
    pixels = struct.pack("<2H", 0, 65535)
    assert decode(tiff((1, 2), pixels, bits=16, photometric=0))[0, :, 0].tolist() == [255, 0]


def test_premultiplied_grey_tiff():
    data = tiff((1, 2), bytes([64, 128, 0, 0]), bits=(8, 8), samples=2, extra=1)
    try:
        assert Image.open(io.BytesIO(data)).mode == "La"
    except UnidentifiedImageError:
        pytest.skip("this Pillow does not read it")
    np.testing.assert_allclose(decode(data)[0, :, 0], [64 + 127, 255], atol=1)


def test_float_tiff_from_0_to_1():
    values = np.array([[0.0, 0.5, 1.0]], np.float32)
    assert decode(encode(Image.fromarray(values), "TIFF"))[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize("values", [[0.0, 200.0], [-0.1, 1.0], [0.0, np.nan], [0.0, np.inf]])
def test_floats_of_unknown_white_are_refused(values):
    data = encode(Image.fromarray(np.array([values], np.float32)), "TIFF")
    with pytest.raises(ValueError, match=r"only 0 \(black\) to 1 \(white\) are read"):
        decode(data)


def test_integers_of_unknown_white_are_refused():
    with pytest.raises(ValueError, match="32-bit integers have no defined white"):
        decode(tiff((1, 1), b"\x07" * 4, bits=32))
    for bits in (8, 16, 32):
        with pytest.raises(ValueError, match="signed integers have no defined black and white"):
            decode(tiff((1, 1), b"\x07" * (bits // 8), bits=bits, format=2))


@pytest.mark.parametrize("largest", [100, 1023, 65535])
def test_grey_map_of_any_maximum(largest):
    value = struct.pack(">2H", largest, largest // 2) if largest > 255 else b"\x64\x32"
    decoded = decode(b"P5 2 1 %d\n" % largest + value)[0, :, 0].tolist()
    assert decoded[0] == 255
    assert abs(decoded[1] - largest // 2 / largest * 255) <= 0.51


@pytest.mark.parametrize("kind", ["PPM", "JPEG2000", "AVIF"])
def test_further_formats(kind):
    pixels = np.repeat(np.repeat(noise(4, 4, 3), 8, axis=0), 8, axis=1)
    options = {"AVIF": {"quality": 100, "subsampling": "4:4:4"}}.get(kind, {})
    decoded = decode(encode(Image.fromarray(pixels), kind, **options))
    assert np.abs(decoded.astype(int) - pixels).max() <= (4 if kind == "AVIF" else 0)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "TIFF", "WEBP", "JPEG"])
def test_one_pixel(kind):
    np.testing.assert_allclose(
        decode(encode(Image.new("RGB", (1, 1), (200, 200, 200)), kind)), [[[200] * 3]], atol=2
    )


def test_cmyk_of_either_sense_and_ycck():
    """Adobe stores inks inverted and says so in a marker, of which the last byte says YCCK."""
    red = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    data = encode(red, "JPEG", quality=100)
    start = data.index(b"\xff\xee\x00\x0eAdobe")
    np.testing.assert_allclose(decode(data), np.broadcast_to(RED, (8, 8, 3)), atol=2)
    unmarked = encode(ImageChops.invert(red), "JPEG", quality=100)
    unmarked = unmarked[:start] + unmarked[start + 16 :]
    np.testing.assert_allclose(decode(unmarked), np.broadcast_to(RED, (8, 8, 3)), atol=2)
    # Red's inks as light (cyan) in YCbCr, and no black; stored as they are.
    cyan = Image.new("RGB", (8, 8), (0, 255, 255)).convert("YCbCr").getpixel((0, 0))
    planes = Image.new("CMYK", (8, 8), tuple(255 - v for v in cyan) + (0,))
    data = bytearray(encode(planes, "JPEG", quality=100))
    data[start + 15] = 2
    np.testing.assert_allclose(decode(bytes(data)), np.broadcast_to(RED, (8, 8, 3)), atol=3)


TURNS = [
    (1, lambda x: x),
    (2, np.fliplr),
    (3, lambda x: np.rot90(x, 2)),
    (4, np.flipud),
    (5, np.transpose),
    (6, lambda x: np.rot90(x, -1)),
    (7, lambda x: np.rot90(x, 2).T),
    (8, np.rot90),
]


@pytest.mark.parametrize(("orientation", "turn"), TURNS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_exif_orientation(orientation, turn, dtype):
    stored = np.arange(6).reshape(2, 3).astype(dtype) * (np.iinfo(dtype).max // 255)
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = decode(encode(Image.fromarray(stored), "PNG", exif=exif))
    np.testing.assert_array_equal(decoded[..., 0], turn(np.arange(6).reshape(2, 3)))


@pytest.mark.parametrize(("orientation", "turn"), TURNS)
@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "WEBP", "AVIF"])
def test_orientation_in_other_formats(orientation, turn, kind):
    corners = np.kron([[0, 80, 160], [240, 40, 120]], np.ones((16, 16))).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = decode(encode(Image.fromarray(corners), kind, quality=100, exif=exif))
    np.testing.assert_allclose(decoded[..., 0], turn(corners), atol=6)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_broken_metadata_do_not_matter(kind):
    image = Image.new("RGB", (4, 2), (9, 9, 9))
    decoded = decode(encode(image, kind, exif=b"Exif\0\0junkjunk", icc_profile=b"junk"))
    np.testing.assert_allclose(decoded, np.full((2, 4, 3), 9), atol=2)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_first_frame_of_an_animation(kind):
    later = Image.new("RGB", (4, 4), "blue")
    options = {"save_all": True, "append_images": [later], "lossless": True}
    decoded = decode(encode(Image.new("RGB", (4, 4), "red"), kind, **options))
    np.testing.assert_array_equal(decoded, np.broadcast_to(RED, (4, 4, 3)))


@pytest.mark.parametrize(
    "kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "JPEG2000", "PPM"]
)
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9, 0.97])
def test_truncated_file_raises(kind, share):
    data = encode(Image.fromarray(noise(40, 40, 3)), kind)
    with pytest.raises((OSError, SyntaxError, ValueError)):
        decode(data[: int(share * len(data))])


def test_flipped_bit_in_a_png_raises():
    data = bytearray(encode(Image.fromarray(noise(40, 40, 3)), "PNG"))
    data[len(data) // 2] ^= 1
    with pytest.raises(OSError):
        decode(bytes(data))


def test_programs_are_not_started_for_what_is_no_image():
    postscript = encode(Image.new("RGB", (4, 4)), "EPS")
    with pytest.raises(OSError, match="not an image of a supported format"):
        decode(postscript)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF"])
def test_large_images_are_shrunk_by_a_whole_factor(kind, monkeypatch):
    monkeypatch.setattr(images, "LARGE", 1000)
    ramp = np.add.outer(np.arange(120), np.arange(100)).astype(np.uint8)
    decoded = decode(encode(Image.fromarray(ramp), kind, quality=100))
    assert decoded.shape == (30, 25, 3), "the smallest factor that leaves 1000 pixels is 4"
    means = ramp.reshape(30, 4, 25, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(decoded[..., 0], means, atol=2)


def test_bomb_is_refused_before_it_goes_off():
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 1, 0, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", b"")
    with pytest.raises(Image.DecompressionBombError, match="10000000000 pixels"):
        decode(data)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC; convert"),
        (b"\xff\x0a\xfa\x1f", "JPEG XL"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "`git lfs pull`"),
        (b"\n<!DOCTYPE html><title>404</title>", "text in HTML"),
    ],
)
def test_what_often_stands_under_an_image_s_name_is_told(data, kind, tmp_path):
    for source in (data, tmp_path / "image.jpg"):
        (tmp_path / "image.jpg").write_bytes(data)
        with pytest.raises(OSError, match=kind):
            decode(source)


def test_a_jpeg_of_12_bits_is_told():
    data = encode(Image.new("RGB", (8, 8)), "JPEG")
    start = data.index(b"\xff\xc0")
    with pytest.raises(OSError, match="a JPEG of 12 bits"):
        decode(data[: start + 4] + b"\x0c" + data[start + 5 :])


@pytest.mark.parametrize("data", [b"", b"no image"])
def test_what_is_no_image_raises(data):
    with pytest.raises(OSError):
        decode(data)


def bmp_32(color, alpha):
    """A BMP of one pixel with four channels and the header of version 5."""
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"BGRs"
    header = struct.pack("<IiiHHIIiiII", 124, 1, 1, 1, 32, 3, 4, 0, 0, 0, 0) + masks
    header = header.ljust(124, b"\0")
    content = header + bytes([*color[::-1], alpha])
    return b"BM" + struct.pack("<IHHI", 14 + len(content), 0, 0, 14 + len(header)) + content


@pytest.mark.parametrize(("alpha", "expected"), [(0, RED), (255, RED), (128, PINK)])
def test_bmp_without_any_alpha_is_opaque(alpha, expected):
    assert decode(bmp_32(RED, alpha)).tolist() == [[expected]]


@pytest.mark.parametrize(
    ("data", "transparent"),
    [
        (encode(Image.new("RGBA", (1, 1), (9, 9, 9, 254)), "PNG"), True),
        (encode(Image.new("RGBA", (1, 1), (9, 9, 9, 255)), "PNG"), False),
        (encode(Image.new("L", (1, 1), 9), "PNG", transparency=9), True),
        (png_row(1, 16, 0, b"\x50\x51", b"\x50\x51"), True),
        (encode(Image.new("RGB", (1, 1), "white"), "PNG"), False),
        (bmp_32(RED, 0), False),
        (tiff((1, 1), bytes([64, 128]), bits=(8, 8), samples=2, extra=1), True),
    ],
)
def test_transparent_parts_are_found(data, transparent):
    assert is_transparent(data) == transparent


WORKFLOW = b"workflow\0" + b"\0" + zlib.compress(bytes(2**21))


def with_chunk(chunk, place, image=None):
    """A PNG with a chunk before or behind its pixels."""
    data = encode(image or Image.new("RGB", (1, 1), "red"), "PNG")
    at = data.index({"before": b"IDAT", "behind": b"IEND"}[place]) - 4
    return data[:at] + chunk + data[at:]


@pytest.mark.parametrize(
    "chunk",
    [
        png_chunk(b"zTXt", WORKFLOW),
        png_chunk(b"iTXt", b"workflow\0\1\0\0\0" + zlib.compress(bytes(2**21))),
        png_chunk(b"iTXt", b"workflow\0\0\0\0\0" + b"x" * 2**21),
        3 * png_chunk(b"tEXt", b"workflow\0" + b"x" * 2**12),
        png_chunk(b"tEXt", b"author\0me")[:-4] + b"oops",
        png_chunk(b"zTXt", WORKFLOW)[:-4] + b"oops",
        png_chunk(b"pHYs", b"cut"),
        png_chunk(b"gAMA", b"\0"),
        png_chunk(b"tIME", b"now")[:-4] + b"oops",
        png_chunk(b"acTL", b"\0"),
    ],
    ids=["zTXt", "compressed iTXt", "plain iTXt", "many tEXt", "CRC of tEXt", "CRC of zTXt",
         "pHYs", "gAMA", "CRC of tIME", "acTL"],
)  # fmt: skip
@pytest.mark.parametrize("place", ["before", "behind"])
def test_png_with_metadata_that_pillow_refuses(chunk, place, monkeypatch):
    monkeypatch.setattr("PIL.PngImagePlugin.MAX_TEXT_MEMORY", 2**13)  # Is 64 MB.
    if place == "before":
        with pytest.raises((OSError, SyntaxError, ValueError)):
            Image.open(io.BytesIO(with_chunk(chunk, place))).load()
    assert decode(with_chunk(chunk, place)).tolist() == [[RED]]


def test_what_decides_about_pixels_outlasts_refused_metadata():
    """The orientation, a transparent color and the gamma."""
    chunk = png_chunk(b"zTXt", WORKFLOW)
    stored = Image.fromarray(np.array([[7, 55, 55]], np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    xmp = b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="6"/>'
    for turned in (png_chunk(b"eXIf", exif.tobytes()[6:]), png_chunk(b"iTXt", xmp)):
        gamma = png_chunk(b"gAMA", struct.pack(">I", 10**5))
        extra = turned + png_chunk(b"tRNS", b"\0\x07") + gamma
        decoded = decode(with_chunk(chunk + extra, "before", stored))
        assert decoded[..., 0].tolist() == [[255], [128], [128]]


def test_a_color_profile_beyond_all_measure_is_told_in_a_user_s_words():
    data = with_chunk(png_chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(2**21))), "before")
    with pytest.raises(ValueError) as error:
        decode(data)
    assert why(error.value) == "its metadata is larger than 1 MB unpacked; save it again without"


def test_a_damaged_pixel_chunk_stays_an_error():
    data = with_chunk(png_chunk(b"tEXt", b"author\0me")[:-4] + b"oops", "before")
    at = data.index(b"IDAT") + 6
    with pytest.raises((OSError, SyntaxError)):
        decode(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])


@pytest.mark.parametrize("front", [b"\n", b"\r\n\r\n", b"\xef\xbb\xbf\n", b" \t"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP"])
def test_white_space_in_front_is_overlooked(front, kind):
    image = encode(Image.new("RGB", (2, 2), (250, 0, 0)), kind)
    np.testing.assert_array_equal(decode(front + image), decode(image))


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError("broken\n data"), "broken data"),
        (KeyError(34676), "damaged"),
        (struct.error("unpack requires a buffer of 4 bytes"), "damaged"),
        (ValueError(), "damaged"),
        (Image.DecompressionBombError("could be decompression bomb"), "more than 178,956,970"),
    ],
)
def test_reasons_are_in_a_user_s_words(error, text):
    assert why(error).startswith(text)


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 3)])
def test_encode_png_loses_nothing(shape):
    pixels = noise(*shape)
    expected = np.broadcast_to(pixels.reshape(3, 5, -1), (3, 5, 3))
    np.testing.assert_array_equal(decode(encode_png(pixels)), expected)


def test_to_uint8_rounds_and_clips():
    values = np.array([-0.5, 0.0, 0.4 / 255, 0.6 / 255, 1.0, 1.5])
    assert to_uint8(values).tolist() == [0, 0, 0, 1, 255, 255]
    np.testing.assert_array_equal(to_uint8(np.arange(256) / np.float32(255)), np.arange(256))
