"""Colors that files state by numbers: PNG's and AVIF's, and profiles that Pillow does not read."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.images.test_codec import encode, png_chunk
from tests.images.test_color import SWAPPED
from vpt_gen.images.codec import decode
from vpt_gen.images.color_spaces import ColorSpace, of_cicp, to_icc

BT709, UNSPECIFIED, BT2020, DISPLAY_P3 = 1, 2, 9, 12
SRGB, LINEAR, PQ, HLG = 13, 8, 16, 18
COLOR = (200, 120, 60)
# Light of other primaries -> of sRGB's: CSS Color 4 (Display P3) and ITU-R BT.2087 (BT.2020).
TO_SRGB = {
    DISPLAY_P3: [[1.2249, -0.2247, 0], [-0.0420, 1.0419, 0], [-0.0197, -0.0786, 1.0979]],
    BT2020: [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]],
}


def in_srgb(primaries, color=COLOR):
    """The levels in sRGB of a color of other primaries."""
    values = np.array(color) / 255
    linear = TO_SRGB[primaries] @ ((values + 0.055) / 1.055) ** 2.4
    return 255 * (1.055 * linear ** (1 / 2.4) - 0.055)


def colored(color, size=(16, 16)):
    return Image.new("RGB" if isinstance(color, tuple) else "L", size, color)


def png_with(image, *chunks):
    """A PNG with chunks, each (kind, content), before its pixels."""
    data = encode(image, "PNG")
    at = data.index(b"IDAT") - 4
    return data[:at] + b"".join(png_chunk(*chunk) for chunk in chunks) + data[at:]


def png_cicp(image, primaries, transfer):
    return png_with(image, (b"cICP", bytes([primaries, transfer, 0, 1])))


def avif_nclx(image, primaries, transfer):
    data = encode(image, "AVIF", quality=100, subsampling="4:4:4")
    at = data.index(b"colrnclx") + 8
    return data[:at] + struct.pack(">2H", primaries, transfer) + data[at + 4 :]


def light(value, exponent):
    """sRGB's level of the light value ** exponent."""
    linear = (value / 255) ** exponent
    return 255 * (1.055 * linear ** (1 / 2.4) - 0.055 if linear > 0.0031 else 12.92 * linear)


@pytest.mark.parametrize("write", [png_cicp, avif_nclx])
@pytest.mark.parametrize("primaries", [DISPLAY_P3, BT2020])
def test_other_primaries_are_converted(write, primaries):
    decoded = decode(write(colored(COLOR), primaries, SRGB))
    np.testing.assert_allclose(decoded[0, 0], in_srgb(primaries), atol=3)


@pytest.mark.parametrize("write", [png_cicp, avif_nclx])
@pytest.mark.parametrize("transfer", [1, UNSPECIFIED, 6, SRGB, 14, 15])
@pytest.mark.parametrize("primaries", [BT709, UNSPECIFIED])
def test_usual_numbers_change_nothing(write, primaries, transfer):
    image = colored(COLOR)
    plain = encode(image, "PNG") if write is png_cicp else write(image, BT709, SRGB)
    np.testing.assert_array_equal(decode(write(image, primaries, transfer)), decode(plain))


@pytest.mark.parametrize("write", [png_cicp, avif_nclx])
@pytest.mark.parametrize(("transfer", "name"), [(PQ, "PQ"), (HLG, "HLG")])
def test_high_dynamic_range_is_refused(write, transfer, name):
    with pytest.raises(ValueError, match=rf"high dynamic range \({name}\).*; convert it to sRGB"):
        decode(write(colored(COLOR), BT2020, transfer))


@pytest.mark.parametrize(("primaries", "transfer"), [(10, SRGB), (BT709, 9), (BT709, 17)])
def test_rare_spaces_are_refused(primaries, transfer):
    with pytest.raises(ValueError, match="convert it to sRGB"):
        of_cicp(primaries, transfer)


@pytest.mark.parametrize("write", [png_cicp, avif_nclx])
def test_linear_light(write):
    decoded = decode(write(colored((55, 55, 55)), BT709, LINEAR))
    np.testing.assert_allclose(decoded, np.full((16, 16, 3), light(55, 1)), atol=3)


def test_png_numbers_come_before_its_profile():
    image = colored(COLOR)
    profile = (b"iCCP", b"x\0\0" + zlib.compress(SWAPPED))
    both = png_with(image, (b"cICP", bytes([BT709, SRGB, 0, 1])), profile)
    assert decode(both)[0, 0].tolist() == list(COLOR)
    assert decode(png_with(image, profile))[0, 0].tolist() != list(COLOR)


@pytest.mark.parametrize(
    ("gamma", "expected"), [(1.0, light(55, 1)), (1 / 1.8, light(55, 1.8)), (0.45455, 55), (0, 55)]
)
@pytest.mark.parametrize("color", [55, (55, 55, 55)])
def test_gamma_of_a_png(gamma, expected, color):
    chunk = (b"gAMA", struct.pack(">I", round(gamma * 100000)))
    decoded = decode(png_with(colored(color), chunk))
    np.testing.assert_allclose(decoded, np.full((16, 16, 3), expected), atol=1)
    stated = decode(png_with(colored(color), (b"sRGB", b"\0"), chunk))
    np.testing.assert_array_equal(stated, np.full((16, 16, 3), 55))


def chromaticities(*values):
    return b"cHRM", struct.pack(">8I", *(round(v * 100000) for v in values))


def test_primaries_of_a_png():
    p3 = (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
    decoded = decode(png_with(colored(COLOR), chromaticities(*p3)))
    np.testing.assert_allclose(decoded[0, 0], in_srgb(DISPLAY_P3), atol=1)
    usual = (0.31270, 0.32900, 0.64000, 0.33000, 0.30000, 0.60000, 0.15000, 0.06000)
    for values in (usual, (0.3127, 0, 0, 0, 0, 0, 0, 0), (0.3, 0.3) * 4):
        assert decode(png_with(colored(COLOR), chromaticities(*values)))[0, 0].tolist() == list(
            COLOR
        )


def test_profiles_of_known_spaces():
    """Against littlecms's own: a space's profile and sRGB's agree, and its white stays white."""
    assert to_icc(ColorSpace()) is None
    for number in (4, 5, 6, 8, 9, 11, 12, 22):
        icc = to_icc(of_cicp(number, SRGB))
        srgb = ImageCms.createProfile("sRGB")
        opened = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        white = ImageCms.profileToProfile(colored((255, 255, 255)), opened, srgb)
        np.testing.assert_allclose(white, np.full((16, 16, 3), 255), atol=1)
    linear = to_icc(ColorSpace(exponent=1.0))
    opened = ImageCms.ImageCmsProfile(io.BytesIO(linear))
    np.testing.assert_allclose(opened.profile.red_primary[1][:2], (0.648, 0.331), atol=1e-3)


def test_a_profile_in_jpeg_2000():
    data = encode(colored((255, 0, 0)), "JPEG2000")
    at = data.index(b"colr") - 4
    size = int.from_bytes(data[at : at + 4], "big")
    box = b"colr\x02\0\0" + SWAPPED
    box = struct.pack(">I", len(box) + 4) + box
    head = data.index(b"jp2h") - 4
    longer = int.from_bytes(data[head : head + 4], "big") + len(box) - size
    data = data[:head] + struct.pack(">I", longer) + data[head + 4 : at] + box + data[at + size :]
    np.testing.assert_allclose(decode(data)[0, 0], (0, 255, 0), atol=2)
