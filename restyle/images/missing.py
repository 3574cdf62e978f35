"""Pixels of a JPEG that are missing although its end is there; its reader draws something in their place."""

from __future__ import annotations

from dataclasses import replace

from PIL import ImageChops
from PIL.JpegImagePlugin import JpegImageFile

from restyle.errors import InvalidImage
from restyle.images.bounds import LARGE, one_at_a_time
from restyle.images.formats import jpeg

#: Pictures with more pixels than this are compared with themselves one at a time; and the most scans of one that is.
_TWICE, _PASSES = 2_000_000, 20


def closed(data: bytes, layout: jpeg.Layout) -> jpeg.Layout:
    """A JPEG of several scans that lacks its end alone, as one that has it.

    Raises:
        InvalidImage: some of its pixels are missing, and its end is there.
    """
    if not layout.has_passes or len(layout.scans) > _PASSES:
        return layout
    plain = JpegImageFile(jpeg.extended(data, layout.end, jpeg.END))
    pixels = plain.size[0] * plain.size[1]
    if pixels > LARGE:
        return layout
    with one_at_a_time(pixels, _TWICE):
        if ImageChops.difference(plain, JpegImageFile(jpeg.with_noise(data, layout))).getbbox() is None:
            return replace(layout, is_closed=True)
    if layout.is_closed:
        raise InvalidImage("is a damaged JPEG file (some of its pixels are missing); export or upload it again")
    return layout


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
