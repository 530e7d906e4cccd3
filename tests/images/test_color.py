"""Embedded color profiles: what they mean is what comes out."""

import io
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


def named(name, icc):
    """The profile with a description, in which it calls itself something."""
    text = b"desc" + bytes(4) + struct.pack(">I", len(name) + 1) + name.encode() + bytes(79)
    count = int.from_bytes(icc[128:132], "big")
    table, content = icc[132 : 132 + 12 * count], icc[132 + 12 * count :]
    moved = b"".join(
        struct.pack(">4sII", tag, start + 12, size)
        for tag, start, size in struct.iter_unpack(">4sII", table)
    )
    moved += struct.pack(">4sII", b"desc", len(icc) + 12, len(text))
    whole = icc[4:128] + struct.pack(">I", count + 1) + moved + content + text
    return struct.pack(">I", len(whole) + 4) + whole


@pytest.mark.parametrize(("mode", "base"), [("L", LINEAR_GREY), ("RGB", linear_rgb(*PRIMARIES))])
def test_a_profile_is_what_it_does_and_not_its_name(mode, base):
    icc = named("GIMP built-in Linear sRGB", base)
    opened = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    assert "sRGB" in opened.profile.profile_description
    color = 55 if mode == "L" else (55, 55, 55)
    np.testing.assert_allclose(pixel(mode, color, icc), [128] * 3, atol=2)


def test_profiles_of_srgb_by_other_makers_change_nothing():
    """Curves are tables of different lengths, and primaries are rounded differently."""
    rounded = [(0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.7141)]
    values = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    for entries in (26, 1024, 4096):
        x = np.linspace(0, 1, entries)
        light = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
        curve = b"curv" + bytes(4) + struct.pack(">I", entries)
        curve += np.rint(light * 65535).astype(">u2").tobytes()
        tags = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
        tags |= {b"%cXYZ" % c: xyz(*p) for c, p in zip(b"rgb", rounded, strict=True)}
        icc = named("A", profile(b"RGB ", tags))
        np.testing.assert_array_equal(to_srgb(Image.fromarray(values), icc), values)
