"""Pictures made to keep a reader busy, or to take its memory: small files, each of one trick, at several strengths."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO

from PIL import Image, ImageCms

from tests.support import pictures

#: A name for each picture, and what makes it.
Crafted = Iterator[tuple[str, Callable[[], bytes]]]


def jpeg(size: tuple[int, int] = (64, 64), **options: object) -> bytes:
    """A plain JPEG, to be spoiled."""
    file = BytesIO()
    Image.new("RGB", size, (90, 120, 30)).save(file, "JPEG", **options)
    return file.getvalue()


def segment(marker: int, content: bytes) -> bytes:
    """A segment of a JPEG."""
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def with_segments(*segments: bytes) -> bytes:
    """A JPEG with these segments at its beginning."""
    plain = jpeg()
    return plain[:2] + b"".join(segments) + plain[2:]


def scans(count: int, size: tuple[int, int], *, payload: int = 1) -> bytes:
    """A progressive JPEG that says nothing in many scans: refinements of one coefficient (ITU T.81, G.1)."""
    plain = jpeg((16, 16), progressive=True)
    frame = plain.index(b"\xff\xc2")
    height_at = frame + 5
    plain = plain[:height_at] + struct.pack(">HH", size[1], size[0]) + plain[height_at + 4 :]
    first = plain.index(b"\xff\xda")
    # One component, band 1 to 1, Ah 0, Al 0, and an end-of-band run: no more than a byte of pixels.
    scan = segment(0xDA, bytes([1, 1, 0, 1, 1, 0])) + b"\x00" * payload
    return plain[:first] + scan * count + b"\xff\xd9"


def between_scans(count: int) -> bytes:
    """A progressive JPEG with many comments between two scans."""
    plain = jpeg((64, 64), progressive=True)
    second = plain.index(b"\xff\xda", plain.index(b"\xff\xda") + 2)
    return plain[:second] + segment(0xFE, b"") * count + plain[second:]


def tiff(entries: list[tuple[int, int, int, bytes]], tail: bytes = b"", *, big: bool = False, following: int = 0
         ) -> bytes:  # fmt: skip
    """A TIFF of one directory: tag, type, count, value or offset as it stands."""
    if big:
        head = b"II+\0" + struct.pack("<HHQ", 8, 0, 16) + struct.pack("<Q", len(entries))
        lines = b"".join(
            struct.pack("<HHQ", tag, kind, count) + value.ljust(8, b"\0") for tag, kind, count, value in entries
        )
        return head + lines + struct.pack("<Q", following) + tail
    head = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(entries))
    lines = b"".join(
        struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0") for tag, kind, count, value in entries
    )
    return head + lines + struct.pack("<I", following) + tail


def _short(value: int) -> bytes:
    return struct.pack("<I", value)


def plain_tiff(width: int, height: int, *, rows: int = 0, extra: tuple[tuple[int, int, int, bytes], ...] = (),
               following: int = 0, strips: int = 1, at: int = 8) -> bytes:  # fmt: skip
    """Gray, uncompressed, its strips wherever they are said to be."""
    entries = [
        (256, 4, 1, _short(width)), (257, 4, 1, _short(height)), (258, 3, 1, _short(8)), (259, 3, 1, _short(1)),
        (262, 3, 1, _short(1)), (273, 4, strips, _short(at)), (277, 3, 1, _short(1)),
        (278, 4, 1, _short(rows or height)), (279, 4, strips, _short(at)), *extra,
    ]  # fmt: skip
    return tiff(sorted(entries), b"\0" * min(width * height, 1_000_000), following=following)


def pages(count: int) -> bytes:
    """A TIFF of many pages of 8 x 8 pixels."""
    directory = 2 + 9 * 12 + 4
    pixels = 8 + count * directory
    file = [b"II*\0" + _short(8)]
    for number in range(count):
        entries = [
            (256, 4, 1, 8), (257, 4, 1, 8), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, pixels),
            (277, 3, 1, 1), (278, 4, 1, 8), (279, 4, 1, 64),
        ]  # fmt: skip
        after = 8 + (number + 1) * directory if number + 1 < count else 0
        file.append(struct.pack("<H", 9) + b"".join(struct.pack("<HHII", *entry) for entry in entries) + _short(after))
    return b"".join(file) + b"\x40" * 64


def deflated_tiff(width: int, height: int, channels: int, kind: int = 8) -> bytes:
    """Zeros under a good compression."""
    packed = zeros(width * height * channels)
    bits = struct.pack("<I", 8) if channels == 1 else None
    entries = [
        (256, 4, 1, _short(width)), (257, 4, 1, _short(height)), (259, 3, 1, _short(kind)),
        (262, 3, 1, _short(1 if channels == 1 else 2)), (277, 3, 1, _short(channels)), (278, 4, 1, _short(height)),
        (279, 4, 1, _short(len(packed))),
    ]  # fmt: skip
    count = len(entries) + 2
    data_at = 8 + 2 + count * 12 + 4
    bits_entry = (258, 3, channels, bits or _short(data_at))
    strip_at = data_at + (0 if bits else 2 * channels)
    tail = (b"" if bits else struct.pack(f"<{channels}H", *[8] * channels)) + packed
    return tiff(sorted([*entries, bits_entry, (273, 4, 1, _short(strip_at))]), tail)


def zeros(size: int) -> bytes:
    """So many zeros, compressed, without ever having them."""
    packer, block = zlib.compressobj(1), bytes(1_000_000)
    parts = [packer.compress(block[: min(len(block), size - at)]) for at in range(0, size, len(block))]
    return b"".join([*parts, packer.flush()])


def png(width: int, height: int, *, depth: int = 8, colour: int = 2, interlaced: int = 0,
        before: bytes = b"", after: bytes = b"", pixels: bool = True) -> bytes:  # fmt: skip
    """A PNG of zeros, with chunks before and behind them."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    rows = ((width * channels * depth + 7) // 8 + 1) * height
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    palette = chunk(b"PLTE", bytes(768)) if colour == 3 else b""
    body = chunk(b"IDAT", zeros(rows)) if pixels else b""
    parts = chunk(b"IHDR", header) + palette + before + body + after
    return b"\x89PNG\r\n\x1a\n" + parts + chunk(b"IEND", b"")


def chunk(name: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def gif(width: int, height: int, *, extensions: bytes = b"", frames: int = 1, block: int = 255) -> bytes:
    """A GIF; its pixels are one LZW code and then nothing, in sub-blocks of this size."""
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    body = b"".join(
        b"\x2c" + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02"
        + (bytes([block]) + bytes(block)) * (1 if frames > 1 else 4) + b"\0"
        for _ in range(frames)
    )  # fmt: skip
    return head + extensions + body + b";"


def big_exif(entries: int) -> bytes:
    """EXIF as a TIFF with 64-bit offsets and many entries."""
    lines = b"".join(struct.pack("<HHQQ", 0x8000 + number % 1000, 4, 1, number) for number in range(entries))
    return b"II+\0" + struct.pack("<HHQ", 8, 0, 16) + struct.pack("<Q", entries) + lines + bytes(8)


def exif(entries: int) -> bytes:
    """EXIF with many entries."""
    lines = b"".join(struct.pack("<HHII", 0x8000 + number % 1000, 4, 1, number) for number in range(entries))
    return b"II*\0" + _short(8) + struct.pack("<H", entries % 65536) + lines + bytes(4)


def saved(form: str, size: tuple[int, int], mode: str = "RGB", **options: object) -> bytes:
    """A flat picture by Pillow's own writer."""
    file = BytesIO()
    Image.new(mode, size).save(file, form, **options)
    return file.getvalue()


def profile(size: int) -> bytes:
    """A profile of sRGB, padded."""
    plain = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return struct.pack(">I", size) + plain[4:] + bytes(max(0, size - len(plain)))


def noise(size: int, start: bytes) -> bytes:
    """Bytes of no meaning behind a good beginning; the same ones each time."""
    state, parts = 12345, []
    for _ in range(size // 4):
        state = (1103515245 * state + 12345) % 2**31
        parts.append(struct.pack("<I", state))
    return start + b"".join(parts)


#: How many of a thing a picture has.
_MANY = (100, 1000, 10_000, 1_000_000)


def all_of_them() -> Crafted:
    """Over two hundred, the strongest last of each kind."""
    for count in _MANY:
        yield from _jpegs(count)
        yield from _pngs(count)
        yield from _gifs(count)
        yield from _tiffs(count)
    yield from _scanned()
    for side in (5000, 8000, 10_000):
        yield from _large(side)
    yield from _strange()
    yield "a good one", partial(pictures.encode, pictures.corners())


def _scanned() -> Crafted:
    for size in ((64, 64), (1000, 1000), (4000, 4000), (10000, 9900)):
        for count in (90, 101, 1000, 10_000, 100_000):
            yield f"jpeg {count} scans {size[0]}x{size[1]}", partial(scans, count, size)
        yield f"jpeg 90 long scans {size[0]}x{size[1]}", partial(scans, 90, size, payload=20_000)


def _jpegs(count: int) -> Crafted:
    parts = {
        "comments": segment(0xFE, b""),
        "restarts": segment(0xDD, b"\0\0"),
        "stray bytes": b"\x01",
        "fill bytes": b"\xff",
        "bare markers": b"\xff\xd0",
    }
    large = {
        "tables": segment(0xDB, bytes(65)),
        "exifs": segment(0xE1, b"Exif\0\0" + exif(5000)),
        "photoshops": segment(0xED, b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0\0\0\0\0" * 5000),
        "profiles": segment(0xE2, b"ICC_PROFILE\0\x01\xff" + bytes(65_000)),
    }
    for name, one in parts.items():
        yield f"jpeg {count} {name}", partial(_spoiled, one, count)
    for name, one in large.items():
        yield f"jpeg {count} {name}", partial(_spoiled, one, min(count, 800))
    yield f"jpeg {count} comments between scans", partial(between_scans, count)
    yield f"jpeg icc {count}", partial(_profiled, min(count * 10, 10_000_000))


def _spoiled(one: bytes, count: int) -> bytes:
    return with_segments(one * count)


def _profiled(size: int) -> bytes:
    return saved("JPEG", (64, 64), icc_profile=profile(size))


def _pngs(count: int) -> Crafted:
    empty, text = chunk(b"abCd", b""), chunk(b"tEXt", b"a\0b")
    animation = chunk(b"acTL", struct.pack(">II", count, 0)) + chunk(b"fcTL", bytes(26)) * min(count, 1000)
    packed = zeros(min(count * 100, 100_000_000))
    icc = zlib.compress(profile(min(count * 20, 20_000_000)))
    yield f"png {count} empty chunks", lambda: png(64, 64, before=empty * count)
    yield f"png {count} chunks behind", lambda: png(64, 64, after=empty * count)
    yield f"png {count} texts", lambda: png(64, 64, before=text * count)
    yield f"png {count} frames", lambda: png(64, 64, before=animation)
    yield f"png exif {count}", lambda: png(64, 64, before=chunk(b"eXIf", big_exif(min(count, 500_000))))
    yield f"png icc {count}", lambda: png(64, 64, before=chunk(b"iCCP", b"p\0\0" + icc))
    yield f"png packed text {count}", lambda: png(64, 64, before=chunk(b"zTXt", b"a\0\0" + packed))
    yield f"png international text {count}", lambda: png(64, 64, before=chunk(b"iTXt", b"a\0\1\0\0\0" + packed))


def _gifs(count: int) -> Crafted:
    few, block = min(count, 100_000), b"\xff" + bytes(255)
    yield f"gif {count} frames", lambda: gif(64, 64, frames=min(count, 300_000))
    yield f"gif {count} blocks of comment", lambda: gif(64, 64, extensions=b"\x21\xfe" + block * few + b"\0")
    yield f"gif {count} small blocks", lambda: gif(64, 64, extensions=b"\x21\xfe" + b"\1\0" * count + b"\0")
    yield f"gif {count} extensions", lambda: gif(64, 64, extensions=b"\x21\xfe\0" * count)
    yield f"gif {count} stray bytes", lambda: gif(64, 64, extensions=b"\1" * count)


def _tiffs(count: int) -> Crafted:
    line, few = (256, 3, 1, b"\x40"), min(count, 200_000)
    yield f"tiff {count} pages", lambda: pages(min(count, 40_000))
    yield f"tiff {count} strips", lambda: plain_tiff(100, 1000, rows=1, strips=min(count * 20, 20_000_000))
    yield f"tiff {count} entries", lambda: tiff([line] * min(count, 65_535))
    yield f"big tiff {count} entries", lambda: tiff([line] * min(count, 2_000_000), big=True)
    yield f"webp exif {count}", lambda: saved("WEBP", (64, 64), exif=b"Exif\0\0" + big_exif(few))
    yield f"avif exif {count}", lambda: saved("AVIF", (64, 64)) + big_exif(few)


def _large(side: int) -> Crafted:
    for depth, colour in ((1, 0), (8, 0), (16, 0), (8, 2), (16, 2), (8, 3), (8, 4), (8, 6), (16, 6)):
        yield f"png {side} depth {depth} colour {colour}", partial(png, side, side, depth=depth, colour=colour)
    yield f"png {side} interlaced", partial(png, side, side, interlaced=1)
    yield f"tiff {side} gray", partial(deflated_tiff, side, side, 1)
    yield f"tiff {side} colour", partial(deflated_tiff, side, side, 3)
    yield f"gif {side}", partial(gif, side, side)
    yield f"jpeg {side}", partial(saved, "JPEG", (side, side))
    yield f"progressive {side}", partial(saved, "JPEG", (side, side), progressive=True)
    yield f"progressive gray {side}", partial(saved, "JPEG", (side, side), "L", progressive=True)
    yield f"cmyk {side}", partial(saved, "JPEG", (side, side), "CMYK")
    yield f"bmp {side}", partial(saved, "BMP", (side, side), "1")
    yield f"webp {side}", partial(saved, "WEBP", (side, side), lossless=True, method=0)
    yield f"avif {side}", partial(saved, "AVIF", (side // 2, side // 2), speed=10)


def _strange() -> Crafted:
    yield "tiff that leads to itself", partial(plain_tiff, 64, 64, following=8)
    yield "tiff of a directory beyond its end", lambda: b"II*\0" + _short(2**31)
    yield "tiff of endless numbers", partial(plain_tiff, 64, 64, extra=((700, 4, 2**28, _short(8)),))
    yield "tiff of endless fractions", partial(plain_tiff, 64, 64, extra=((33434, 5, 2**25, _short(8)),))
    for width, height in ((8, 12_000_000), (12_000_000, 8), (65_535, 1500), (65_536, 16), (2**31 - 1, 2**31 - 1)):
        yield f"png {width}x{height}", partial(png, width, height, depth=1, colour=0, pixels=height < 2000)
    starts = {
        "jpeg": b"\xff\xd8\xff\xe0", "png": b"\x89PNG\r\n\x1a\n", "gif": b"GIF89a", "tiff": b"II*\0",
        "webp": b"RIFF\xff\xff\xff\x00WEBP", "avif": b"\0\0\0\x20ftypavif",
    }  # fmt: skip
    for form, start in starts.items():
        yield f"{form} of noise", partial(noise, 2_000_000, start)
        yield f"{form} of nothing", partial(bytes.__add__, start, bytes(2_000_000))
