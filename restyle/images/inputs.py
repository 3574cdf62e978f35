"""What is sent for an input: its own pixels where they will do, else a JPEG that is made of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from restyle.fingerprint import Preparation
from restyle.images.bounds import check_rules
from restyle.images.colours import background, is_srgb
from restyle.images.formats import metadata
from restyle.images.formats.kinds import CONTENT_TYPES
from restyle.images.glance import Glance, glance
from restyle.images.missing import check_hole
from restyle.images.opening import MIN_SIDE, Source, check_whole, inspect, open_picture
from restyle.images.render import check_depth, encode, fit, render
from restyle.models import InputRules

#: Whatever can be opened.
ANY = InputRules(min_side=1, max_ratio=0, keep_metadata=False)
#: Names in steps for pixels other than 8-bit RGB, by Pillow's mode.
_PIXELS = {
    "1": "black and white",
    "L": "grayscale",
    "LA": "grayscale",
    "P": "palette",
    "PA": "palette",
    "CMYK": "CMYK",
    "YCbCr": "YCbCr",
    "LAB": "LAB",
}


@dataclass(frozen=True)
class Prepared:
    """The picture sent for an input. Sizes are upright, in pixels; without steps it is the input's own bytes."""

    data: bytes
    width: int
    height: int
    source_width: int
    source_height: int
    steps: tuple[str, ...]
    glance: Glance | None = field(default=None, compare=False, repr=False)
    source_bytes: int = field(default=0, compare=False)


def prepare(data: bytes, preparation: Preparation, rules: InputRules = ANY, *, look: bool = True) -> Prepared:
    """The picture as it is sent: upright, sRGB, without alpha, its longest side within the cap.

    The pixels of an 8-bit RGB JPEG or PNG that is all of this already are sent as they are stored, without metadata;
    any other becomes a JPEG of quality 95 without chroma subsampling. With `max_side` 0 no picture is resized, and
    every upright JPEG, PNG and WebP is sent as it is stored.

    Args:
        data: the input.
        preparation: what is made of it.
        rules: what is refused, and whether metadata leave with it.
        look: whether to look at what it shows.

    Raises:
        InvalidImage: the bytes are no picture, or a damaged, animated or oversized one, or a speck or a strip.
        ConfigurationError: the background is no colour.
    """
    colour = background(preparation.background)
    source = open_picture(data)
    size = fit(source.size, preparation.max_side, MIN_SIDE)
    check_rules(source.size, size, rules)
    if _is_sent_as_it_is(source, size, keep=preparation.max_side == 0):
        seen = inspect(source, look=look)
        sent, steps = metadata.removed(source.kind, data, source.layout, keep=rules.keep_metadata)
        return Prepared(sent, *size, *source.size, steps, seen, len(data))
    made = _conversions(source)
    picture = render(source, size, colour, made)
    if source.layout:
        check_hole(source.data, source.layout)
    sent = encode(picture, quality=95, subsampling=0)
    return Prepared(sent, *size, *source.size, tuple(made), glance(picture) if look else None, len(data))


def check(data: bytes, preparation: Preparation, rules: InputRules) -> tuple[int, int]:
    """The size of an input that `prepare` takes, upright, in pixels; it is looked at as closely, and not made.

    Raises:
        InvalidImage: `prepare` refuses it.
    """
    source = open_picture(data)
    check_rules(source.size, fit(source.size, preparation.max_side, MIN_SIDE), rules)
    check_whole(source)
    check_depth(source.image)
    is_srgb(source.profile)
    return source.size


def _is_sent_as_it_is(source: Source, size: tuple[int, int], *, keep: bool) -> bool:
    if source.turn is not None or source.size != size:
        return False
    if keep:
        return source.kind in CONTENT_TYPES
    return (
        source.kind in {"JPEG", "PNG"}
        and source.image.mode == "RGB"
        and not source.image.has_transparency_data
        and not source.is_deep_png
        and is_srgb(source.profile)
    )


def _conversions(source: Source) -> list[str]:
    """The first steps of a picture that is not sent as it is: the format that it is converted from."""
    steps = []
    if source.kind not in {"JPEG", "PNG"}:
        steps.append(f"converted from {source.kind}")
    if source.has_more:
        steps.append(f"page {source.page + 1} of several" if source.page else "first of several pages")
    if source.is_deep_png or source.image.mode.startswith("I;16"):
        steps.append("converted from 16 bits")
    elif pixels := _PIXELS.get(source.image.mode):
        steps.append(f"converted from {pixels}")
    return steps
