"""Pictures of every kind, good and bad, made small and on the spot."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from functools import cache, lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

RED, GREEN, BLUE, YELLOW = (220, 30, 30), (30, 160, 60), (40, 70, 200), (240, 210, 40)


@lru_cache
def photo(name: str = "chelsea.webp") -> Image.Image:
    """A real photograph in RGB. Not to be changed: copy it first."""
    with Image.open(Path(__file__).with_name("photographs") / name) as image:
        plain = image.convert("RGB")
    plain.info = {}  # else its profile and comments would be written again with every picture made of it
    return plain


def corners(width: int = 64, height: int = 48) -> Image.Image:
    """Four flat quarters that tell up from down and left from right: red, green; blue, yellow."""
    image = Image.new("RGB", (width, height), RED)
    draw = ImageDraw.Draw(image)
    draw.rectangle((width // 2, 0, width, height // 2 - 1), GREEN)
    draw.rectangle((0, height // 2, width // 2 - 1, height), BLUE)
    draw.rectangle((width // 2, height // 2, width, height), YELLOW)
    return image


def encode(image: Image.Image, form: str = "JPEG", *, orientation: int | None = None, **options: Any) -> bytes:
    """The image in a format by Pillow's name for it; JPEGs of quality 95, PNGs barely packed, if not given."""
    if form == "JPEG":
        options = {"quality": 95} | options
    if form == "PNG":  # how small it is matters to no test, and how long it takes to all
        options = {"compress_level": 1} | options
    if orientation is not None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        options["exif"] = exif.tobytes()
    file = BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def decode(data: bytes) -> Image.Image:
    """The picture in these bytes, loaded, just as it is stored."""
    with Image.open(BytesIO(data)) as image:
        image.load()
        return image


def ghost(width: int = 64, height: int = 48) -> Image.Image:
    """RGBA: the left half opaque red, the right half wholly transparent (and green below, which must not show)."""
    image = Image.new("RGBA", (width, height), (*GREEN, 0))
    image.paste((*RED, 255), (0, 0, width // 2, height))
    return image


def deep_png(value: int = 32768, size: tuple[int, int] = (16, 16), colour_type: int = 2) -> bytes:
    """A 16-bit PNG of one grey, as RGB (2), grayscale (0) or RGBA (6, opaque); Pillow itself writes none in RGB."""
    pixel = struct.pack(">H", value) * {0: 1, 2: 3, 6: 3}[colour_type] + (b"\xff\xff" if colour_type == 6 else b"")
    rows = (b"\0" + pixel * size[0]) * size[1]
    return png_file(size, rows, depth=16, colour_type=colour_type)


def png_file(size: tuple[int, int], rows: bytes, *, depth: int = 8, colour_type: int = 2) -> bytes:
    """A PNG from its parts, so that its header may claim anything."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", *size, depth, colour_type, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def bomb_png(side: int = 30_000) -> bytes:
    """A hundred bytes that claim to be hundreds of megapixels."""
    return png_file((side, side), b"\0" * 100)


def animation(form: str = "GIF", frames: int = 3) -> bytes:
    """A moving picture."""
    shades = [Image.new("RGB", (32, 32), (80 * number, 40, 40)) for number in range(frames)]
    return encode(shades[0], form, save_all=True, append_images=shades[1:])


def wide_gamut_profile() -> bytes:
    """A minimal ICC profile of Adobe RGB (1998): its primaries under D50, gamma 2.2 (ICC.1:2001-04)."""

    def xyz(*values: float) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    def text(kind: bytes, content: bytes) -> bytes:
        body = struct.pack(">I", len(content) + 1) + content + b"\0" if kind == b"desc" else content + b"\0"
        return kind + b"\0\0\0\0" + body + (b"\0" * 78 if kind == b"desc" else b"")

    gamma = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.2 * 256))
    tags = {
        b"desc": text(b"desc", b"Wide gamut for tests"),
        b"cprt": text(b"text", b"No copyright"),
        b"wtpt": xyz(0.9642, 1.0, 0.8249),
        b"rXYZ": xyz(*ADOBE_RGB[0]),
        b"gXYZ": xyz(*ADOBE_RGB[1]),
        b"bXYZ": xyz(*ADOBE_RGB[2]),
        b"rTRC": gamma,
        b"gTRC": gamma,
        b"bTRC": gamma,
    }
    table, body, start = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(body), len(content))
        body += content + b"\0" * (-len(content) % 4)
    size = 128 + len(table) + len(body)
    kinds = b"\0\0\0\0\x02\x10\0\0mntrRGB XYZ "
    times = struct.pack(">6H", 2020, 1, 1, 0, 0, 0)
    white = struct.pack(">3i", 63190, 65536, 54061)
    header = struct.pack(">I", size) + kinds + times + b"acsp" + b"\0" * 28 + white
    return header.ljust(128, b"\0") + table + body


#: XYZ under D50 of Adobe RGB's red, green and blue (Adobe RGB (1998) Color Image Encoding, 4.3.6.1, adapted).
ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))


def without_adobe_marker(jpeg: bytes) -> bytes:
    """A CMYK JPEG as programs other than Adobe's write it: no APP14 segment, and so ink stored as it is."""
    start = jpeg.index(b"\xff\xee")
    length = int.from_bytes(jpeg[start + 2 : start + 4])
    return jpeg[:start] + jpeg[start + 2 + length :]


def with_broken_exif(orientation: int = 6) -> bytes:
    """A JPEG whose EXIF holds an orientation, then promises a directory that is not there."""
    entries = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0) + struct.pack(">HHII", 0x010F, 2, 5000, 9000)
    exif = b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">H", 2) + entries
    return encode(corners(), exif=exif)


def with_late_exif(orientation: int = 6) -> bytes:
    """A PNG that has its EXIF behind the pixels, as some tools write it."""
    early = encode(corners(320, 240), "PNG", orientation=orientation)
    start = early.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(early[start : start + 4])
    return early[:start] + early[end:-12] + early[start:end] + early[-12:]


def gray_alpha() -> Image.Image:
    """Half-transparent mid-grey."""
    return Image.merge("LA", (Image.new("L", (40, 30), 100), Image.new("L", (40, 30), 128)))


def see_through_palette() -> bytes:
    """A palette PNG whose colours have alpha of their own, in a tRNS chunk of bytes."""
    return encode(ghost().quantize(8), "PNG")


_GOOD: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: encode(photo()),
    "progressive jpeg": lambda: encode(photo(), progressive=True),
    "subsampled jpeg": lambda: encode(photo(), subsampling=2, quality=60),
    "grayscale jpeg": lambda: encode(photo().convert("L")),
    "cmyk jpeg": lambda: encode(photo().convert("CMYK")),
    "wide gamut jpeg": lambda: encode(photo(), icc_profile=wide_gamut_profile()),
    "rotated jpeg": lambda: encode(photo(), orientation=6),
    "png": lambda: encode(photo(), "PNG"),
    "grayscale png": lambda: encode(photo().convert("L"), "PNG"),
    "black and white png": lambda: encode(photo().convert("1"), "PNG"),
    "palette png": lambda: encode(photo().quantize(64), "PNG"),
    "see-through palette png": see_through_palette,
    "colour-key png": lambda: encode(corners(), "PNG", transparency=RED),
    "alpha png": lambda: encode(ghost(), "PNG"),
    "gray alpha png": lambda: encode(gray_alpha(), "PNG"),
    "16-bit png": deep_png,
    "16-bit grayscale png": lambda: deep_png(colour_type=0),
    "16-bit alpha png": lambda: deep_png(colour_type=6),
    "webp": lambda: encode(photo(), "WEBP"),
    "alpha webp": lambda: encode(ghost(), "WEBP", lossless=True),
    "tiff": lambda: encode(photo(), "TIFF", compression="tiff_lzw"),
    "cmyk tiff": lambda: encode(photo().convert("CMYK"), "TIFF"),
    "two-page tiff": lambda: encode(corners(), "TIFF", save_all=True, append_images=[corners(32, 32)]),
    "gif": lambda: encode(photo(), "GIF"),
    "bmp": lambda: encode(photo(), "BMP"),
    "avif": lambda: encode(photo(), "AVIF", speed=10),
}
#: Every kind of picture that must go through, by name; each is made once.
GOOD: dict[str, Callable[[], bytes]] = {name: cache(make) for name, make in _GOOD.items()}

#: Every kind of file that must fail, with a piece of the sentence that says why.
BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "is empty: 0 bytes"),
    "text": (lambda: b"Here should be a picture of a mug.", "begins with 'Here should be a picture of a mu'"),
    "noise": (lambda: bytes(range(150, 250)), "begins with the bytes 96 97 98"),
    "html": (lambda: b"\n<!DOCTYPE html><title>404</title>", "is an HTML page, not a picture"),
    "json": (lambda: b'{"error": "gone"}', "is JSON, not a picture"),
    "svg": (lambda: b'<?xml version="1.0"?><svg/>', "is an SVG drawing; export it as PNG"),
    "heic": (lambda: b"\0\0\0\x18ftypheic" + b"\0" * 50, "save it as JPEG or PNG"),
    "truncated jpeg": (lambda: encode(photo())[:-3000], "is a truncated JPEG file: it breaks off after"),
    "truncated progressive jpeg": (lambda: encode(photo(), progressive=True)[:9000], "is a truncated JPEG file"),
    "truncated png": (lambda: encode(photo(), "PNG")[:9000], "is a truncated PNG file"),
    "truncated webp": (lambda: encode(photo(), "WEBP")[:-500], "is a truncated WebP file"),
    "truncated tiff": (lambda: encode(photo(), "TIFF")[:9000], "TIFF file"),
    "truncated gif": (lambda: encode(photo(), "GIF")[:9000], "is a truncated GIF file"),
    "header only": (lambda: encode(photo())[:20], "JPEG file"),
    "damaged png": (lambda: encode(photo(), "PNG").replace(b"IDAT", b"IDAT\0", 1), "PNG file"),
    "no width": (lambda: png_file((0, 10), b"\0"), "is a damaged PNG file"),
    "animated gif": (animation, "is an animation; save one frame"),
    "animated webp": (lambda: animation("WEBP"), "is an animation"),
    "animated png": (lambda: animation("PNG"), "is an animation"),
    "bomb": (bomb_png, "is 30,000 x 30,000 pixels, and the limit is 100 megapixels"),
    "tiny": (lambda: encode(Image.new("RGB", (40, 4)), "PNG"), "is 40 x 4 pixels; both sides need 8 or more"),
    "strip": (lambda: encode(Image.new("RGB", (9000, 20)), "PNG"), "too narrow a strip"),
    "float tiff": (lambda: encode(Image.new("F", (20, 20)), "TIFF"), "signed or 32-bit pixels"),
}
