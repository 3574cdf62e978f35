"""A picture at a glance: what tells a black one, a flat one and an unchanged one, at next to no cost."""

from __future__ import annotations

from PIL import Image

#: Parts a side.
SIDE = 32
#: A picture with this many pixels a part or more is first thinned out, which takes a tenth of the time.
_THIN = 4


def glance(image: Image.Image) -> bytes:
    """The mean colours of 32 x 32 parts of a loaded picture, three bytes each; a JPEG may be loaded at an eighth."""
    factor = (max(1, image.width // (SIDE * _THIN)), max(1, image.height // (SIDE * _THIN)))
    if factor != (1, 1) and image.mode in {"RGB", "L", "CMYK"}:
        image = image.reduce(factor)
    if image.mode != "RGB":
        image = image.convert("RGB")
    return image.resize((SIDE, SIDE), Image.Resampling.BOX).tobytes()
