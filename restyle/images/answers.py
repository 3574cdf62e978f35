"""What came back: checked for damage, and stored byte for byte, or as a PNG where it is of a format of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BytesIO

from PIL import Image

from restyle.errors import InvalidImage, MalformedResponse
from restyle.images.colours import to_srgb
from restyle.images.formats.kinds import CONTENT_TYPES, is_picture
from restyle.images.glance import Glance
from restyle.images.opening import Source, inspect, open_other, open_picture
from restyle.images.render import encode, fit, render, sample

_WHITE = (255, 255, 255)


@dataclass(frozen=True)
class Picture:
    """A verified answer, its size in pixels."""

    width: int
    height: int
    content_type: str
    glance: Glance | None = field(default=None, compare=False, repr=False)


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
        is_stored_so = source.kind in CONTENT_TYPES and not source.has_more
        stored = data if is_stored_so else _transcoded(source, CONTENT_TYPES["PNG"])
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
        if source.kind not in CONTENT_TYPES:
            raise InvalidImage(f"is a {source.kind} file; JPEG, PNG or WebP was expected")
        seen = inspect(source, look=look)
    except InvalidImage as error:
        raise _malformed(data, error) from error
    return Picture(*source.stored, CONTENT_TYPES[source.kind], seen)


def _malformed(data: bytes, error: InvalidImage) -> MalformedResponse:
    """The error of an answer that is no picture: one damaged on its way, or of a format that is not read here."""
    kind = "damaged picture" if is_picture(data) else f"format {data[:4].hex()}"
    return MalformedResponse(f"the answer {error.message}", kind=kind)


def transcode(data: bytes, content_type: str, quality: int) -> bytes:
    """The picture as a PNG, pixel by pixel the same, or as a WebP of this quality, 1 to 100; with profile and EXIF.

    Raises:
        InvalidImage: the bytes are no whole picture.
    """
    return _transcoded(open_picture(data, smallest=1), content_type, quality)


def _transcoded(source: Source, content_type: str, quality: int = 90) -> bytes:
    kept = {name: value for name in ("icc_profile", "exif") if (value := source.image.info.get(name))}
    picture = sample(source, source.image.size, detail=1)
    if picture.mode == "CMYK":  # which neither of them has
        picture = to_srgb(picture, kept.pop("icc_profile", None), [])
    picture.info = {}
    file = BytesIO()
    if content_type == CONTENT_TYPES["WebP"]:
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
    return encode(
        render(source, fit(source.size, side, smallest=1), _WHITE, [], detail=1), quality=quality, subsampling=2
    )


def size_of(data: bytes) -> tuple[int, int]:
    """Width and height of a picture of our own making, by its header."""
    with Image.open(BytesIO(data)) as picture:
        return picture.size
