"""The transparent colour of a PNG with 16 bits a channel, which Pillow compares with 8 of them (PNG 3, 11.3.1.1)."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from PIL import Image, ImageChops
from PIL.PngImagePlugin import PngImageFile

if TYPE_CHECKING:
    from restyle.images.opening import Source

#: Pillow's names for how pixels are stored, and those by which the low bytes of each channel are read for the high.
_LOW_BYTES = {"RGB;16B": "RGB;16L", "I;16B": "I;16"}


def applied(source: Source) -> Image.Image:
    """The loaded picture of a source of 16 bits, with alpha where a colour of it is transparent."""
    image = source.image
    key = image.info.pop("transparency", None)
    if key is None:
        return image
    if image.mode.startswith("I"):
        table = [255] * 65_536
        table[int(key) & 0xFFFF] = 0
        opaque = image.convert("I").point(table, "L")
        grey = image.convert("I").point(lambda value: value * (1 / 257)).convert("L")
        return Image.merge("LA", (grey, opaque))
    levels = [int(level) & 0xFFFF for level in key]
    high = _is_other(image, [level >> 8 for level in levels])
    low = _is_other(_low(source), [level & 0xFF for level in levels])
    whole = image.convert("RGB")
    whole.putalpha(ImageChops.lighter(high, low))
    return whole


def _low(source: Source) -> Image.Image:
    """The low bytes of each channel as a picture."""
    image = PngImageFile(BytesIO(source.data))
    image.tile = [
        tile._replace(args=(_LOW_BYTES.get(tile.args[0], tile.args[0]), *tile.args[1:]))
        if isinstance(tile.args, tuple) else tile._replace(args=_LOW_BYTES.get(str(tile.args), tile.args))
        for tile in image.tile
    ]  # fmt: skip
    image.load()
    return image


def _is_other(image: Image.Image, levels: list[int]) -> Image.Image:
    """White where a pixel differs from these levels in any channel, black where it is they."""
    channels = [
        channel.point([0 if value == level else 255 for value in range(256)])
        for channel, level in zip(image.split(), levels, strict=True)
    ]
    mask = channels[0]
    for channel in channels[1:]:
        mask = ImageChops.lighter(mask, channel)
    return mask
