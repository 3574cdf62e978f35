"""The pictures of the benchmark: whole JPEG files of a given size, 1024 x 1024 pixels, the same at every run."""

from __future__ import annotations

import random
from io import BytesIO

from PIL import Image, ImageFilter

SIDE = 1024


def picture(kilobytes: int, seed: int = 1) -> bytes:
    """A JPEG of about that many kB: detail at every scale, as in a photograph, at the quality that comes nearest."""
    source = random.Random(seed)
    canvas = Image.new("RGB", (SIDE, SIDE), (128, 128, 128))
    for side in (8, 32, 128, 512):
        layer = Image.frombytes("RGB", (side, side), source.randbytes(side * side * 3))
        canvas = Image.blend(canvas, layer.resize((SIDE, SIDE), Image.Resampling.BICUBIC), 0.35)
    canvas = canvas.filter(ImageFilter.GaussianBlur(1))
    sizes = {quality: len(encoded(canvas, quality)) for quality in range(10, 97, 2)}
    return encoded(canvas, min(sizes, key=lambda quality: abs(sizes[quality] - kilobytes * 1000)))


def encoded(canvas: Image.Image, quality: int) -> bytes:
    """The picture as a JPEG."""
    file = BytesIO()
    canvas.save(file, "JPEG", quality=quality)
    return file.getvalue()
