"""Embedded color profiles: what they mean is what comes out."""

import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from vpt_gen.images.color import to_srgb

# The primaries of sRGB as XYZ under D50.
PRIMARIES = [(0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)]


def profile(space, tags):
    """A minimal ICC profile (version 2), of curves that are linear."""
    curve = b"curv" + bytes(8)
    white = xyz(0.9642, 1.0, 0.8249)
    tags = {b"wtpt": white, **{name: value or curve for name, value in tags.items()}}
    start, table, content = 132 + 12 * len(tags), b"", b""
    for name, value in tags.items():
        table += struct.pack(">4sII", name, start + len(content), len(value))
        content += value
    head = struct.pack(">I4sI4s4s4s", start + len(content), b"lcms", 0x02400000, b"mntr", space,
                       b"XYZ ")  # fmt: skip
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + white[8:]
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + content


def xyz(*values):
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(v * 65536) for v in values))


def linear_rgb(first, second, third):
    curves = {b"rTRC": None, b"gTRC": None, b"bTRC": None}
    colors = {b"rXYZ": xyz(*first), b"gXYZ": xyz(*second), b"bXYZ": xyz(*third)}
    return profile(b"RGB ", {**colors, **curves})


SWAPPED = linear_rgb(PRIMARIES[1], PRIMARIES[0], PRIMARIES[2])
LINEAR_GREY = profile(b"GRAY", {b"kTRC": None})


def pixel(mode, color, icc):
    return to_srgb(Image.new(mode, (1, 1), color), icc).getpixel((0, 0))


def test_colors_are_those_of_the_profile():
    np.testing.assert_allclose(pixel("RGB", (255, 0, 0), SWAPPED), (0, 255, 0), atol=2)
    assert pixel("RGB", (255, 0, 0), None) == (255, 0, 0)


@pytest.mark.parametrize(("mode", "icc"), [("L", LINEAR_GREY), ("L", SWAPPED)])
def test_grey_of_a_linear_profile(mode, icc):
    # sRGB's curve at 55/255 of the light.
    expected = 255 * (1.055 * (55 / 255) ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(pixel(mode, 55, icc), [expected] * 3, atol=2)


def test_srgb_stays_as_it_is():
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    values = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    np.testing.assert_array_equal(to_srgb(Image.fromarray(values), srgb), values)


@pytest.mark.parametrize(
    ("mode", "color", "icc"),
    [
        ("RGB", (255, 0, 0), LINEAR_GREY),
        ("CMYK", (0, 255, 255, 0), SWAPPED),
        ("RGB", (255, 0, 0), SWAPPED[:200]),
        ("RGB", (255, 0, 0), b"junk"),
    ],
)
def test_a_profile_that_is_damaged_or_of_another_kind_counts_as_none(mode, color, icc):
    assert pixel(mode, color, icc) == (255, 0, 0)
