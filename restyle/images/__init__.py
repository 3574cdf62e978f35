"""Pictures: prepares what is sent, verifies what comes back, and makes thumbnails for reports.

The pipeline calls `prepare` before the call and `received` after it. Every function takes bytes, keeps no state and
may run in many threads. Messages are sentences without their subject, since only the caller knows the name of the
picture: "is a truncated JPEG file: ...".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BytesIO

from PIL import Image, ImageChops

from restyle.errors import InvalidImage, MalformedResponse
from restyle.fingerprint import Preparation
from restyle.images import deep_alpha, metadata
from restyle.images.bounds import MAX_PIXELS, check_rules
from restyle.images.colours import background, is_srgb, lab_to_rgb, to_srgb
from restyle.images.glance import Glance, glance
from restyle.images.opening import (
    MIN_SIDE,
    Source,
    check_hole,
    check_whole,
    decoding,
    is_picture,
    may_be_picture,
    open_other,
    open_picture,
)
from restyle.models import InputRules

__all__ = [
    "MAX_INPUT_BYTES",
    "MAX_PIXELS",
    "Glance",
    "Picture",
    "Prepared",
    "check",
    "may_be_picture",
    "prepare",
    "received",
    "thumbnail",
    "transcode",
    "verify",
]

#: The largest file that is fetched.
MAX_INPUT_BYTES = 100_000_000

_WHITE = (255, 255, 255)
_CONTENT_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WebP": "image/webp"}
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


#: Whatever can be opened.
ANY = InputRules(min_side=1, max_ratio=0, keep_metadata=False)

#: Pixels above which a picture leaves little of the memory that decoding may take (restyle/images/bounds.py).
_HUGE = 48_000_000


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


@dataclass(frozen=True)
class Picture:
    """A verified answer, its size in pixels."""

    width: int
    height: int
    content_type: str
    glance: Glance | None = field(default=None, compare=False, repr=False)


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
    size = _fit(source.size, preparation.max_side, MIN_SIDE)
    check_rules(source.size, size, rules)
    if _is_sent_as_it_is(source, size, keep=preparation.max_side == 0):
        seen = _read(source, look=look)
        sent, steps = metadata.removed(source.kind, data, source.layout, keep=rules.keep_metadata)
        return Prepared(sent, *size, *source.size, steps, seen, len(data))
    made = _conversions(source)
    picture = _render(source, size, colour, made)
    check_hole(source)
    sent = _encode(picture, quality=95, subsampling=0)
    return Prepared(sent, *size, *source.size, tuple(made), glance(picture) if look else None, len(data))


def check(data: bytes, preparation: Preparation, rules: InputRules) -> tuple[int, int]:
    """The size of an input that `prepare` takes, upright, in pixels; it is looked at as closely, and not made.

    Raises:
        InvalidImage: `prepare` refuses it.
    """
    source = open_picture(data)
    check_rules(source.size, _fit(source.size, preparation.max_side, MIN_SIDE), rules)
    check_whole(source)
    _check_depth(source.image)
    is_srgb(source.profile)
    return source.size


def received(data: bytes, *, look: bool = True) -> tuple[bytes, Picture]:
    """An answer's picture as it is stored, verified: byte for byte, or as a PNG where it is of another format.

    Of an animation the first frame is taken.

    Raises:
        MalformedResponse: no whole picture of any format that can be read; the message says what came instead.
    """
    if data.startswith(b"\xff\xd8\xff"):  # as nearly all are: opened once
        return data, verify(data, look=look)
    try:
        source = open_picture(data, smallest=1, still=False)
        is_stored_so = source.kind in _CONTENT_TYPES and not source.has_more
        stored = data if is_stored_so else _as_png(source)
    except InvalidImage as error:
        if is_picture(data):
            raise _malformed(data, error) from error
        stored = _from_other(data)
    return stored, verify(stored, look=look)


def _from_other(data: bytes) -> bytes:
    try:
        picture, file = open_other(data), BytesIO()
    except InvalidImage as error:
        raise _malformed(data, error) from error
    picture.save(file, "PNG")
    return file.getvalue()


def verify(data: bytes, *, look: bool = True) -> Picture:
    """The API's picture, once every byte of it has been read.

    Raises:
        MalformedResponse: no whole JPEG, PNG or WebP picture; the message says what came instead.
    """
    try:
        source = open_picture(data, smallest=1)
        if source.kind not in _CONTENT_TYPES:
            raise InvalidImage(f"is a {source.kind} file; JPEG, PNG or WebP was expected")
        seen = _read(source, look=look)
    except InvalidImage as error:
        raise _malformed(data, error) from error
    return Picture(*source.stored, _CONTENT_TYPES[source.kind], seen)


def _malformed(data: bytes, error: InvalidImage) -> MalformedResponse:
    """The error of an answer that is no picture: one damaged on its way, or of a format that is not read here."""
    kind = "damaged picture" if is_picture(data) else f"format {data[:4].hex()}"
    return MalformedResponse(f"the answer {error.message}", kind=kind)


def _read(source: Source, *, look: bool) -> Glance | None:
    """Checks the whole picture for damage, and looks at what it shows; None where that is not wanted.

    Raises:
        InvalidImage: it is damaged.
    """
    image = check_whole(source)
    return glance(image) if look else None


def transcode(data: bytes, content_type: str, quality: int) -> bytes:
    """The picture as a PNG, pixel by pixel the same, or as a WebP of this quality, 1 to 100; with profile and EXIF.

    Raises:
        InvalidImage: the bytes are no whole picture.
    """
    return _transcoded(open_picture(data, smallest=1), content_type, quality)


def _as_png(source: Source) -> bytes:
    return _transcoded(source, _CONTENT_TYPES["PNG"])


def _transcoded(source: Source, content_type: str, quality: int = 90) -> bytes:
    kept = {name: value for name in ("icc_profile", "exif") if (value := source.image.info.get(name))}
    picture = _sample(source, source.image.size, detail=1)
    if picture.mode == "CMYK":  # which neither of them has
        picture = to_srgb(picture, kept.pop("icc_profile", None), [])
    picture.info = {}
    file = BytesIO()
    if content_type == _CONTENT_TYPES["WebP"]:
        picture.save(file, "WEBP", quality=quality, method=4, **kept)
    else:
        picture.save(file, "PNG", **kept)
    return file.getvalue()


def thumbnail(data: bytes, side: int, *, quality: int = 80) -> bytes:
    """The picture as a small upright JPEG on white, its longest side at most `side` pixels.

    A JPEG is decoded at the scale next above that size, which is quick, and fine enough to look at.

    Raises:
        InvalidImage: the bytes are no picture.
    """
    source = open_picture(data, smallest=1)
    return _encode(
        _render(source, _fit(source.size, side, smallest=1), _WHITE, [], detail=1), quality=quality, subsampling=2
    )


def size_of(data: bytes) -> tuple[int, int]:
    """Width and height of a picture of our own making, by its header."""
    with Image.open(BytesIO(data)) as picture:
        return picture.size


def _fit(size: tuple[int, int], longest: int, smallest: int) -> tuple[int, int]:
    """The size once its longest side is at most `longest`; 0 is no limit."""
    if not longest or max(size) <= longest:
        return size
    width, height = (max(1, round(side * longest / max(size))) for side in size)
    if min(width, height) < smallest:
        left = f"resized to {width:,} x {height:,} nothing would be left of it"
        raise InvalidImage(f"is {size[0]:,} x {size[1]:,} pixels, too narrow a strip: {left}")
    return width, height


def _is_sent_as_it_is(source: Source, size: tuple[int, int], *, keep: bool) -> bool:
    if source.turn is not None or source.size != size:
        return False
    if keep:
        return source.kind in _CONTENT_TYPES
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


def _render(
    source: Source, size: tuple[int, int], colour: tuple[int, int, int], steps: list[str], *, detail: int = 2
) -> Image.Image:
    """The picture in RGB, upright and of this size, alpha laid on the colour; what was done is added to `steps`."""
    picture = _sample(source, size[::-1] if source.lies else size, detail)
    alpha = picture.getchannel("A") if picture.mode in {"LA", "RGBA"} else None
    colours = picture.convert(picture.mode.removesuffix("A")) if alpha else picture
    picture = to_srgb(colours, source.profile, steps)
    if source.turn is not None:
        steps.append("rotated")
    if size != source.size:
        steps.append("resized {}x{}->{}x{}".format(*source.size, *size))
    if alpha:
        steps.append("flattened")
        picture = Image.composite(picture, Image.new("RGB", picture.size, colour), alpha)
    if source.turn is not None and source.kind != "TIFF":  # which its reader has turned while loading
        picture = picture.transpose(source.turn)
    return picture


def _sample(source: Source, size: tuple[int, int], detail: int) -> Image.Image:
    """The pixels at this size, not yet turned, as L, LA, RGB, RGBA or CMYK."""
    image = source.image
    if image.size != size:
        # A JPEG is decoded at the scale next above twice the size: what the resampling needs, and no more.
        image.draft(None, (detail * size[0], detail * size[1]))
    with decoding(source):
        image.load()
        picture = _resampling_mode(deep_alpha.applied(source) if source.is_deep_png else image)
        if source.kind == "JPEG" and image.mode == "CMYK" and "adobe" not in image.info:
            picture = ImageChops.invert(picture)  # Pillow takes every CMYK JPEG for Adobe's, which store ink inverted
        if picture.size != size:
            # Pillow averages first, to so many times the size, in memory beside the picture's own.
            gap = 2.0 if picture.size[0] * picture.size[1] > _HUGE else 3.0
            picture = picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=gap)
            image.close()  # frees the large pixels before the next thread's turn
        return picture


def _resampling_mode(image: Image.Image) -> Image.Image:
    """The picture in a mode that can be resampled, without loss of colours or alpha."""
    if image.mode.startswith("I;16"):
        return image.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    if image.mode == "LAB":
        return lab_to_rgb(image)
    _check_depth(image)
    if image.mode in {"CMYK", "LA"} or (image.mode == "L" and not image.has_transparency_data):
        return image
    mode = "RGBA" if image.has_transparency_data else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _check_depth(image: Image.Image) -> None:
    if image.mode in {"I", "F"}:
        raise InvalidImage(
            "has signed or 32-bit pixels and does not say which value is white; save it with 8 or 16 bits"
        )


def _encode(picture: Image.Image, *, quality: int, subsampling: int) -> bytes:
    picture.info = {}  # else the source's comment would be written again
    file = BytesIO()
    picture.save(file, "JPEG", quality=quality, subsampling=subsampling)
    return file.getvalue()
