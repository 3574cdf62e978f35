"""Colours that a file tells of in other ways than by an ICC profile, as a profile: gAMA and cHRM, cICP, nclx.

PNG 3, 11.3.2; ISO/IEC 23091-2 (H.273) for code points; ICC.1:2001 for the profile that is made.
"""

from __future__ import annotations

import struct
from functools import lru_cache

from restyle.errors import InvalidImage
from restyle.images.formats.structure import png_chunks

Point = tuple[float, float]
#: Red, green, blue, white.
Primaries = tuple[Point, Point, Point, Point]

_D65: Point = (0.3127, 0.3290)
_SRGB: Primaries = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), _D65)
#: Primaries by their code points; others are taken for sRGB's.
_PRIMARIES: dict[int, Primaries] = {
    4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), (0.310, 0.316)),
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), _D65),
    6: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    7: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65),
}  # fmt: skip
#: Exponents by the code points of transfers; others are taken for sRGB's curve, as browsers do.
_EXPONENTS = {4: 2.2, 5: 2.8, 8: 1.0}
_HDR = {16: "PQ", 18: "HLG"}
#: What gAMA is of a picture for screens; nearer than this it is taken for sRGB's curve.
_SCREEN, _NEAR = 1 / 2.2, 0.005
_CURVE = 1024


def profile_of(kind: str, data: bytes) -> bytes | None:
    """The profile that a file without one implies; None where that is sRGB, or nothing tells.

    Raises:
        InvalidImage: its colours are of a kind that cannot be brought to a screen's.
    """
    if kind == "AVIF":
        return _of_nclx(data)
    return _of_chunks(data) if kind == "PNG" else None


def overrides(kind: str, data: bytes) -> bool:
    """Whether what a file implies counts before its ICC profile (PNG 3, 4.3)."""
    return kind == "PNG" and any(name == b"cICP" for name, _, _ in _heads(data))


def _of_nclx(data: bytes) -> bytes | None:
    place = data.find(b"colrnclx", 0, 65_536)
    if place < 0 or place + 12 > len(data):
        return None
    primaries, transfer = struct.unpack_from(">HH", data, place + 8)
    return _of_points(primaries, transfer)


def _heads(data: bytes) -> list[tuple[bytes, int, int]]:
    """The chunks of a PNG before its pixels."""
    heads = []
    for chunk in png_chunks(data):
        if chunk[0] == b"IDAT":
            break
        heads.append(chunk)
    return heads


def _of_chunks(data: bytes) -> bytes | None:
    chunks = {name: data[place : place + length] for name, place, length in _heads(data)}
    if len(code := chunks.get(b"cICP", b"")) == 4:
        return _of_points(code[0], code[1])
    if b"sRGB" in chunks or len(gamma := chunks.get(b"gAMA", b"")) != 4:
        return None
    value = int.from_bytes(gamma) / 100_000
    if not 0.05 <= value <= 5:
        return None
    points = chunks.get(b"cHRM", b"")
    exponent = 0.0 if abs(value - _SCREEN) < _NEAR else 1 / value
    return _made(_read_primaries(points) if len(points) == 32 else _SRGB, exponent)


def _read_primaries(points: bytes) -> Primaries:
    white, red, green, blue = ((x / 1e5, y / 1e5) for x, y in struct.iter_unpack(">II", points))
    is_sound = all(y > 0.001 and x + y <= 1.01 for x, y in (white, red, green, blue))
    return (red, green, blue, white) if is_sound else _SRGB


def _of_points(primaries: int, transfer: int) -> bytes | None:
    if transfer in _HDR:
        raise InvalidImage(f"has the colours of an HDR picture ({_HDR[transfer]}); export it for screens, in sRGB")
    return _made(_PRIMARIES.get(primaries, _SRGB), _EXPONENTS.get(transfer, 0.0))


@lru_cache(maxsize=64)
def _made(primaries: Primaries, exponent: float) -> bytes | None:
    """An ICC profile of a matrix and a curve; exponent 0 is sRGB's curve. None: it would be sRGB's own."""
    is_srgb = max(
        abs(a - b) for one, other in zip(primaries, _SRGB, strict=True) for a, b in zip(one, other, strict=True)
    )
    if not exponent and is_srgb < 0.002:
        return None
    try:
        columns = _to_d50(primaries)
    except ZeroDivisionError:
        return None
    curve = _curve(exponent)
    tags = [
        (b"desc", b"desc\0\0\0\0" + struct.pack(">I", 8) + b"implied\0" + bytes(78)),
        (b"cprt", b"text\0\0\0\0none\0"),
        (b"wtpt", _xyz((0.9642, 1.0, 0.8249))),
        *((name, _xyz(column)) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)),
        *((name, curve) for name in (b"rTRC", b"gTRC", b"bTRC")),
    ]
    table, body, place = b"", b"", 128 + 4 + 12 * len(tags)
    for name, text in tags:
        padded = text + bytes(-len(text) % 4)
        table += name + struct.pack(">II", place + len(body), len(text))
        body += padded
    size = place + len(body)
    head = struct.pack(">I4sI4s4s4s", size, b"\0\0\0\0", 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    head += (
        struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp") + bytes(28) + struct.pack(">III", 0xF6D6, 0x10000, 0xD32D)
    )
    return head + bytes(128 - len(head)) + struct.pack(">I", len(tags)) + table + body


def _xyz(values: tuple[float, float, float]) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))


def _curve(exponent: float) -> bytes:
    if exponent:
        levels = [(level / (_CURVE - 1)) ** exponent for level in range(_CURVE)]
    else:
        levels = [_linear(level / (_CURVE - 1)) for level in range(_CURVE)]
    return b"curv\0\0\0\0" + struct.pack(f">I{_CURVE}H", _CURVE, *(round(65535 * level) for level in levels))


def _linear(level: float) -> float:
    return level / 12.92 if level <= 0.04045 else ((level + 0.055) / 1.055) ** 2.4


# -- matrices, three columns each ----------------------------------------------------------------------------

Triple = tuple[float, float, float]
#: Bradford's cone responses, by rows, and their inverse; the white of ICC's connection space.
_CONES = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))
_BACK = ((0.9869929, -0.1470543, 0.1599627), (0.4323053, 0.5183603, 0.0492912), (-0.0085287, 0.0400428, 0.9684867))
_D50: Triple = (0.9642, 1.0, 0.8249)


def _to_d50(primaries: Primaries) -> tuple[Triple, Triple, Triple]:
    """The colours of full red, green and blue in XYZ under D50."""
    *corners, white = (_as_xyz(point) for point in primaries)
    shares = _solved(corners, white)
    before, after = _times(_CONES, white), _times(_CONES, _D50)
    adapted = []
    for corner, share in zip(corners, shares, strict=True):
        cones = _times(_CONES, (corner[0] * share, corner[1] * share, corner[2] * share))
        scaled = tuple(cone * new / old for cone, new, old in zip(cones, after, before, strict=True))
        adapted.append(_times(_BACK, (scaled[0], scaled[1], scaled[2])))
    return adapted[0], adapted[1], adapted[2]


def _as_xyz(point: Point) -> Triple:
    x, y = point
    return x / y, 1.0, (1 - x - y) / y


def _times(rows: tuple[Triple, Triple, Triple], vector: Triple) -> Triple:
    first, second, third = (sum(a * b for a, b in zip(row, vector, strict=True)) for row in rows)
    return first, second, third


def _solved(columns: list[Triple], target: Triple) -> Triple:
    """How much of each column makes the target, by Cramer's rule."""
    whole = _determinant(*columns)
    first, second, third = columns
    return (
        _determinant(target, second, third) / whole,
        _determinant(first, target, third) / whole,
        _determinant(first, second, target) / whole,
    )


def _determinant(a: Triple, b: Triple, c: Triple) -> float:
    return a[0] * (b[1] * c[2] - b[2] * c[1]) - b[0] * (a[1] * c[2] - a[2] * c[1]) + c[0] * (a[1] * b[2] - a[2] * b[1])
