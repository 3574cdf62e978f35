"""Pixels of a JPEG that are missing although its end is there; its reader draws something in their place."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import BinaryIO

from PIL.JpegImagePlugin import JpegImageFile

from restyle.errors import InvalidImage
from restyle.images.bounds import LARGE, one_at_a_time
from restyle.images.formats import jpeg

#: Pictures with more pixels than this are compared with themselves one at a time; and the most scans of one that is.
_TWICE, _PASSES = 2_000_000, 20


def closed(data: bytes, layout: jpeg.Layout) -> jpeg.Layout:
    """The layout of a JPEG whose scans have all of their pixels: one that lacks its end alone counts as closed.

    Each scan may lack pixels for itself. So the picture is decoded once as it is, and once with noise behind each scan,
    which only changes pixels that are missing. One picture is in memory at a time.

    Raises:
        InvalidImage: some of its pixels are missing, and its end is there.
    """
    if not layout.has_passes or len(layout.scans) > _PASSES:
        return layout
    width, height = JpegImageFile(jpeg.extended(data, layout.end, jpeg.END)).size
    pixels = width * height
    if pixels > LARGE:
        return layout
    with one_at_a_time(pixels, _TWICE):
        if _drawn(jpeg.extended(data, layout.end, jpeg.END)) == _drawn(jpeg.with_noise(data, layout)):
            return replace(layout, is_closed=True)
    if layout.is_closed:
        raise InvalidImage("is a damaged JPEG file (some of its pixels are missing); export or upload it again")
    return layout


def _drawn(file: BinaryIO) -> bytes:
    """The digest of a picture's pixels."""
    with JpegImageFile(file) as image:
        return hashlib.blake2b(image.tobytes()).digest()


def check_hole(data: bytes, layout: jpeg.Layout) -> None:
    """Finds a JPEG with bytes that no pixel needs, as a hole in its file leaves them.

    Raises:
        InvalidImage: it has one.
    """
    beginning = jpeg.may_have_hole(data, layout)
    if beginning is None:
        return
    image = JpegImageFile(beginning)
    image.draft(None, (1, 1))
    try:
        image.load()
    except OSError:
        return  # the bytes that were left out are needed
    raise InvalidImage("is a damaged JPEG file (it has a hole of zeros); export or upload it again")
