"""Bounds for the size of a picture: its pixels, its sides, and the memory that decoding it takes.

The header has all of it, before any memory is taken. A worker has some 512 MB; a picture that takes too much of it
would end the process, and with it the paid calls in flight.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from restyle.errors import InvalidImage
from restyle.models import InputRules

#: Pictures that take more pixels than this to decode are decoded one at a time, whatever the number of threads.
LARGE = 16_000_000
_large = threading.Lock()
#: The largest picture that is decoded.
MAX_PIXELS = 100_000_000
#: The longest side of a picture, in pixels: what a JPEG can have at most.
MAX_SIDE = 65_535
#: Bytes that decoding one picture may take.
MAX_DECODED = 290_000_000

#: Bytes of a pixel while a picture is decoded and brought to its size, by Pillow's mode. Pillow stores each mode of
#: more than one channel with 4 bytes a pixel (Storage.c), and has a second copy where alpha is taken into account.
_BYTES = {
    "1": 5, "L": 1, "P": 5, "PA": 8, "LA": 8, "RGB": 4, "RGBA": 8, "RGBX": 4, "CMYK": 8, "YCbCr": 8, "LAB": 8,
    "I;16": 5, "I;16B": 5, "I;16L": 5,
}  # fmt: skip
#: Bytes of a pixel for a mode that is not known here.
_MOST_BYTES = 8
#: Bytes of a pixel that the libraries under Pillow take in addition: libwebp has two canvases, libavif its planes and a
#: canvas, and Pillow gets one more copy of each. Measured with pictures of 25 and 64 megapixels.
_BESIDE = {"WebP": 11, "AVIF": 11}
#: Bytes of a pixel and channel of a progressive JPEG, which is kept whole as coefficients (jdcoefct.c).
_COEFFICIENT = 2


def check_size(size: tuple[int, int], smallest: int) -> None:
    """Checks that a picture of this size may be decoded at all.

    Raises:
        InvalidImage: it has too many pixels, or a side is too short or too long.
    """
    width, height = size
    if width * height > MAX_PIXELS:
        limit = f"{MAX_PIXELS // 1_000_000} megapixels"
        raise InvalidImage(f"is {width:,} x {height:,} pixels, and the limit is {limit}; save it smaller")
    if max(size) > MAX_SIDE:
        raise InvalidImage(f"is {width:,} x {height:,} pixels, and a side may have {MAX_SIDE:,}; save it smaller")
    if min(size) < smallest:
        raise InvalidImage(f"is {width:,} x {height:,} pixels; both sides need {smallest} or more")


def check_rules(source: tuple[int, int], sent: tuple[int, int], rules: InputRules) -> None:
    """Checks that something can be recognised of a picture as it is sent.

    Args:
        source: its size, in pixels.
        sent: its size as it is sent.
        rules: what is refused.

    Raises:
        InvalidImage: it is a speck or a strip.
    """
    (width, height), least, ratio = source, min(sent), max(sent) / min(sent)
    is_size = f"is {width:,} x {height:,} pixels"
    if rules.max_ratio and ratio > rules.max_ratio + 0.01:
        raise InvalidImage(f"{is_size}, a strip of 1:{ratio:.1f}; 1:{rules.max_ratio:g} at most (RESTYLE_MAX_RATIO)")
    if least < rules.min_side:
        resized = "" if sent == source else f", {sent[0]:,} x {sent[1]:,} as it is sent"
        raise InvalidImage(f"{is_size}{resized}; both sides need {rules.min_side} or more (RESTYLE_MIN_SIDE)")


def decoded_bytes(kind: str, image: ImageFile, stored: tuple[int, int]) -> int:
    """Bytes of memory that decoding a picture takes, at its present scale.

    Args:
        kind: its format.
        image: opened; its size is the scale at which it is decoded.
        stored: width and height as the header has them.
    """
    width, height = image.size
    pixel = _BYTES.get(image.mode, _MOST_BYTES)
    if image.mode == "RGB" and image.has_transparency_data:
        pixel = _MOST_BYTES  # it becomes RGBA
    pixels = width * height * (pixel + _BESIDE.get(kind, 0))
    if isinstance(image, TiffImageFile):
        pixels += _strip_bytes(image)
    if kind == "JPEG" and "progressive" in image.info:
        channels = 1 if image.mode == "L" else 4 if image.mode == "CMYK" else 3
        pixels += stored[0] * stored[1] * channels * _COEFFICIENT
    return pixels


def _strip_bytes(image: TiffImageFile) -> int:
    """Bytes that libtiff decodes at once: a strip or a tile (TIFF 6.0, sections 3 and 15)."""
    width, height = image.size
    wide, high = _tag(image, 322, width), _tag(image, 323, min(_tag(image, 278, height), height))
    return wide * high * _tag(image, 277, 1) * _tag(image, 258, 8) // 8


def _tag(image: TiffImageFile, number: int, default: int) -> int:
    """The first number of a tag."""
    value = image.tag_v2.get(number, default)
    first = value[0] if isinstance(value, tuple) and value else value
    return first if isinstance(first, int) else default


def check_memory(kind: str, image: ImageFile, stored: tuple[int, int]) -> None:
    """Checks that decoding a picture takes no more memory than allowed.

    Raises:
        InvalidImage: it takes more.
    """
    needed = decoded_bytes(kind, image, stored)
    if needed > MAX_DECODED:
        width, height = stored
        how = "as a baseline JPEG or smaller" if "progressive" in image.info else "as JPEG or smaller"
        raise InvalidImage(
            f"is {width:,} x {height:,} pixels, and decoding this {kind} takes {needed / 1e6:,.0f} MB of at most"
            f" {MAX_DECODED // 1_000_000} MB; save it {how}"
        )


@contextmanager
def one_at_a_time(pixels: int, most: int = 0) -> Iterator[None]:
    """Goes around decoding: of pictures with more pixels than `most` (0: LARGE) one is decoded at a time."""
    with _large if pixels > (most or LARGE) else nullcontext():
        yield
