"""Opening pictures that anybody may have uploaded: what they are, whether they may be decoded, what is wrong with them.

Messages are sentences without their subject, since only the caller knows the name of the picture.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from io import BytesIO
from typing import IO

from PIL import Image
from PIL.ExifTags import Base
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from restyle.errors import InvalidImage
from restyle.images.bounds import MAX_PIXELS, check_memory, check_size, one_at_a_time
from restyle.images.formats import implied, jpeg, png, structure, tiff
from restyle.images.formats.kinds import FORMATS, OTHERS, what_it_is
from restyle.images.glance import Glance, glance
from restyle.images.missing import check_hole, closed

#: The shortest side, in pixels, of a picture that is worth a call.
MIN_SIDE = 8

# Pillow warns of broken metadata and of large sizes. Both are decided here, for each picture, so its warnings would
# be noise in the log. Set once for the process, because switching filters around a call is not thread-safe.
warnings.filterwarnings("ignore", module=r"PIL\.")

# The readers are opened directly: Image.open would try formats beyond these, and has limits of its own for sizes. There
# from the start are those of answers, which are paid for by then, and TIFF's, which reads EXIF.
_READERS: dict[str, type[ImageFile]] = {
    "JPEG": JpegImageFile, "PNG": PngImageFile, "WebP": WebPImageFile, "TIFF": TiffImageFile,
}  # fmt: skip

#: What brings a picture upright, by its EXIF orientation.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = frozenset(_TURNS[orientation] for orientation in (5, 6, 7, 8))


#: What Pillow's readers call XMP.
_XMP = ("xmp", "XML:com.adobe.xmp", "Raw profile type xmp")
#: What Pillow's readers say of files that are well, and of a kind that they do not know.
_UNSUPPORTED = re.compile(
    r"unsupported (?:bmp|compression)|unknown pixel mode|not supported|invalid palette size", re.IGNORECASE
)


@dataclass(frozen=True)
class Source:
    """An opened picture that may be decoded: its header is read, its pixels are not yet."""

    data: bytes
    kind: str
    image: ImageFile
    stored: tuple[int, int]
    """Width and height as the header has them; `image.size` may be a reduced scale, once set."""
    turn: Image.Transpose | None
    page: int = 0
    """Of a TIFF: which page it is, from 0 on."""
    layout: jpeg.Layout | None = None
    """Of a JPEG."""

    @property
    def lies(self) -> bool:
        """Whether width and height change places when it is turned; a TIFF's reader tells its size turned already."""
        return self.turn in _SIDEWAYS and self.kind != "TIFF"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height when upright."""
        width, height = self.stored
        return (height, width) if self.lies else (width, height)

    @property
    def has_more(self) -> bool:
        """Whether other frames or pages follow the first. They are not counted, which takes as long as a file likes."""
        return bool(getattr(self.image, "is_animated", False))

    @cached_property
    def profile(self) -> bytes | None:
        """What tells its colours: its ICC profile, or one that says what the file says otherwise; None: sRGB.

        Raises:
            InvalidImage: they cannot be brought to a screen's.
        """
        own: bytes | None = self.image.info.get("icc_profile")
        if own and not implied.overrides(self.kind, self.data):
            return own
        return implied.profile_of(self.kind, self.data)

    @property
    def is_deep_png(self) -> bool:
        """Whether channels have 16 bits, which Pillow reads as 8: byte 24 of a PNG is its depth (PNG 3, 11.2.1)."""
        return self.kind == "PNG" and self.data[24] == 16


def open_other(data: bytes) -> Image.Image:
    """The pixels of a picture in a format that only answers may have, as RGB or RGBA.

    Raises:
        InvalidImage: it is none that can be read, or too large.
    """
    names = [name for name, sign in OTHERS.items() if re.match(sign, data, re.DOTALL)]
    if names:
        Image.init()  # imports every reader, once a process
    for name in names:
        if name not in Image.OPEN:
            continue
        with _reading(name, data), Image.open(BytesIO(data), formats=[name]) as image:
            check_size(image.size, smallest=1)
            check_memory(name, image, image.size)
            with one_at_a_time(image.size[0] * image.size[1]):
                return image.convert("RGBA" if image.has_transparency_data else "RGB")
    raise InvalidImage(what_it_is(data))


def _reader(kind: str) -> type[ImageFile]:
    """The reader of a format; those of rare inputs are imported with the first of them."""
    if kind not in _READERS:
        name = kind.capitalize()
        _READERS[kind] = getattr(import_module(f"PIL.{name}ImagePlugin"), f"{name}ImageFile")
    return _READERS[kind]


def open_picture(data: bytes, smallest: int = MIN_SIDE, *, still: bool = True) -> Source:
    """The picture, known to be still and of a size that may be decoded.

    Args:
        data: the file.
        smallest: pixels that its shorter side needs.
        still: whether an animation is refused; else its first frame counts.

    Raises:
        InvalidImage: it is neither, or no picture at all.
    """
    for kind, signature in FORMATS:
        if re.match(signature, data, re.DOTALL):
            reader = _reader(kind)
            with _reading(kind, data):
                structure.check(kind, data)
                if structure.is_hollow(kind, data):
                    raise InvalidImage(f"is a damaged {kind} file (it has a hole of zeros); export or upload it again")
                layout, page = jpeg.read(data) if kind == "JPEG" else None, tiff.page_of(data) if kind == "TIFF" else 0
                image = reader(_to_decode(kind, data, layout))
                if page:
                    image.seek(page)
                check_size(image.size, smallest)
                turn = _TURNS.get(_orientation(kind, image, data))
                source = Source(data, kind, image, image.size, turn, page, layout)
                if still and source.has_more and kind != "TIFF":  # which has pages, not frames
                    raise InvalidImage("is an animation; save one frame as JPEG or PNG")
                return source
    raise InvalidImage(what_it_is(data))


def _to_decode(kind: str, data: bytes, layout: jpeg.Layout | None) -> IO[bytes]:
    """The file as its reader gets it."""
    if layout is not None:
        return jpeg.to_decode(data, closed(data, layout))
    if kind == "PNG" and (end := structure.png_end(data)):
        return jpeg.extended(data, end, structure.PNG_END)
    if kind == "AVIF" and (size := structure.avif_size(data)):
        check_size(size, 1)  # its reader says only that it cannot
    return BytesIO(data)


@contextmanager
def decoding(source: Source) -> Iterator[None]:
    """Goes around all that needs the whole picture in memory, at 4 bytes a pixel.

    Raises:
        InvalidImage: the picture is damaged or cut short.
    """
    # A progressive JPEG takes its full size in coefficients, at whatever scale it is decoded.
    width, height = source.stored if "progressive" in source.image.info else source.image.size
    with _reading(source.kind, source.data):  # it reads more of the head
        check_memory(source.kind, source.image, source.stored)
        if source.kind == "PNG":
            png.check_pixels(source.data)
    with one_at_a_time(width * height), _reading(source.kind, source.data):
        yield


def check_whole(source: Source) -> ImageFile:
    """Finds damage wherever it is in a picture: the picture, decoded; a JPEG at an eighth of its size.

    Raises:
        InvalidImage: the picture is damaged or cut short.
    """
    source.image.draft(None, (1, 1))
    with decoding(source):
        source.image.load()
    if source.layout:
        check_hole(source.data, source.layout)
    return source.image


def inspect(source: Source, *, look: bool) -> Glance | None:
    """Checks the whole picture for damage, and looks at what it shows; None where that is not wanted.

    Raises:
        InvalidImage: it is damaged.
    """
    image = check_whole(source)
    return glance(image) if look else None


@contextmanager
def _reading(kind: str, data: bytes) -> Iterator[None]:
    """Turns whatever a reader raises at damaged bytes, which is nearly anything, into the sentence for its cause."""
    try:
        yield
    except (InvalidImage, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise InvalidImage(f"is larger than {MAX_PIXELS // 1_000_000} megapixels; save it smaller") from error
    except Exception as error:
        if _is_unsupported(kind, data, error):
            raise InvalidImage(
                f"is a {kind} file of a kind that cannot be read here; save it as JPEG or PNG"
            ) from error
        if "MAX_TEXT" in str(error):
            raise InvalidImage("has comments that unpack to more than any program writes; export it again") from error
        if _is_cut_short(kind, data, error):
            reason = f"is a truncated {kind} file: it breaks off after {len(data):,} bytes"
        else:
            reason = f"is a damaged {kind} file ({str(error).strip() or type(error).__name__})"
        raise InvalidImage(f"{reason}; export or upload it again") from error


def _is_unsupported(kind: str, data: bytes, error: Exception) -> bool:
    """Whether a file is whole, as far as is known, and of a kind that its reader does not know."""
    return _UNSUPPORTED.search(str(error)) is not None or (
        kind == "TIFF" and "decoder error" in str(error) and tiff.is_compressed_rarely(data)
    )


def _is_cut_short(kind: str, data: bytes, error: Exception) -> bool:
    if kind == "WebP":  # its reader gives no reason; the file tells its own length after RIFF
        return len(data) < int.from_bytes(data[4:8], "little") + 8
    return isinstance(error, EOFError) or _says_truncated(error)


def _says_truncated(error: Exception) -> bool:
    return "truncated" in str(error).lower()


def _orientation(kind: str, image: ImageFile, data: bytes) -> int:
    try:
        if kind == "PNG" and (exif := _png_exif(data)):
            image.info["exif"] = exif
        if len(image.info.get("exif", b"")) > structure.MAX_EXIF:
            return 1
        for name in _XMP:  # which says it, too, and no browser goes by that
            image.info.pop(name, None)
        # The PNG reader's own getexif would decode the whole picture in search of a chunk behind the pixels.
        return int(Image.Image.getexif(image).get(Base.Orientation, 1))
    except Exception:  # noqa: BLE001 - broken EXIF raises nearly anything, and says nothing about the pixels
        return 1


def _png_exif(data: bytes) -> bytes:
    """The eXIf chunk of a PNG, which may stand before or behind the pixels (PNG 3, 5.6); empty where there is none."""
    for name, place, length in structure.png_chunks(data):
        if name == b"eXIf":
            return data[place : place + length]
    return b""
