"""Color spaces that files state by numbers instead of a profile, as ICC profiles."""

import dataclasses
import functools
import struct

import numpy as np

_D65, _C, _D50 = (0.3127, 0.3290), (0.310, 0.316), (0.9642, 1.0, 0.8249)
# CICP's number of the primaries (ITU-T H.273) -> x, y of white, red, green and blue.
_P3 = (0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
_SMPTE_C = (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070)
_PRIMARIES = {
    1: (*_D65, 0.640, 0.330, 0.300, 0.600, 0.150, 0.060),
    4: (*_C, 0.670, 0.330, 0.210, 0.710, 0.140, 0.080),
    5: (*_D65, 0.640, 0.330, 0.290, 0.600, 0.150, 0.060),
    6: _SMPTE_C,
    7: _SMPTE_C,
    8: (*_C, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049),
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, *_P3),
    12: (*_D65, *_P3),
    22: (*_D65, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077),
}
SRGB_PRIMARIES = _PRIMARIES[1]
# CICP's number of the transfer -> exponent. As browsers do, all others of standard range are read
# as sRGB's curve, and so are reserved numbers and 2 (unspecified), here and above.
_EXPONENTS = {4: 2.2, 5: 2.8, 8: 1.0}
_HDR = {16: "PQ", 18: "HLG"}
_NOT_READ = {9: "logarithmic", 10: "logarithmic", 17: "of digital cinema"}
_XYZ_PRIMARIES = 10
_ENTRIES = 4096  # of a curve
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)


@dataclasses.dataclass(frozen=True)
class ColorSpace:
    """Primaries and a curve.

    Attributes:
      primaries: x and y of white, red, green and blue.
      exponent: light is value ** exponent; 0 for sRGB's curve.
    """

    primaries: tuple[float, ...] = SRGB_PRIMARIES
    exponent: float = 0.0


def of_cicp(primaries: int, transfer: int) -> ColorSpace:
    """Returns the color space of two of CICP's numbers.

    Raises:
      ValueError: high dynamic range, or a color space that is not read.
    """
    if transfer in _HDR:
        raise ValueError(
            f"high dynamic range ({_HDR[transfer]}), whose white is not defined; convert it to sRGB"
        )
    if transfer in _NOT_READ:
        raise ValueError(f"its curve of colors is {_NOT_READ[transfer]}; convert it to sRGB")
    if primaries == _XYZ_PRIMARIES:
        raise ValueError("its colors are XYZ; convert it to sRGB")
    known = _PRIMARIES.get(primaries, SRGB_PRIMARIES)
    return ColorSpace(known, _EXPONENTS.get(transfer, 0.0))


@functools.lru_cache(maxsize=16)
def to_icc(space: ColorSpace) -> bytes | None:
    """Returns the ICC profile of a color space; None for sRGB's, or an impossible one."""
    if space == ColorSpace():
        return None
    try:
        columns = _adapted(space.primaries)
    except (np.linalg.LinAlgError, ZeroDivisionError):
        return None
    x = np.linspace(0, 1, _ENTRIES)
    light = x**space.exponent if space.exponent else _srgb_curve(x)
    table = np.rint(light * 65535).astype(">u2").tobytes()
    curve = b"curv" + bytes(4) + struct.pack(">I", _ENTRIES) + table
    tags = {b"wtpt": _xyz(_D50)}
    for letter, column in zip(b"rgb", columns.T, strict=True):
        tags[bytes([letter]) + b"XYZ"] = _xyz(column)
        tags[bytes([letter]) + b"TRC"] = curve
    return _profile(tags)


def _srgb_curve(x: np.ndarray) -> np.ndarray:
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def _adapted(primaries: tuple[float, ...]) -> np.ndarray:
    """Returns XYZ (3, 3) of red, green and blue, in columns, adapted to the white D50."""
    white, *colors = (
        np.array([x / y, 1.0, (1 - x - y) / y])
        for x, y in zip(primaries[::2], primaries[1::2], strict=True)
    )
    matrix = np.stack(colors, axis=1)
    matrix = matrix * np.linalg.solve(matrix, white)
    cones = np.diag((_BRADFORD @ _D50) / (_BRADFORD @ white))
    return np.linalg.inv(_BRADFORD) @ cones @ _BRADFORD @ matrix


def _xyz(values) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(float(v) * 65536) for v in values))


def _profile(tags: dict[bytes, bytes]) -> bytes:
    """Returns a profile (version 2) of a display; equal content is stored once."""
    start, table, content = 132 + 12 * len(tags), b"", b""
    places: dict[bytes, int] = {}
    for name, value in tags.items():
        if value not in places:
            places[value] = start + len(content)
            content += value
        table += struct.pack(">4sII", name, places[value], len(value))
    size = struct.pack(">I", start + len(content))
    head = size + b"lcms" + bytes.fromhex("02400000") + b"mntrRGB XYZ "
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _xyz(_D50)[8:]
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + content
