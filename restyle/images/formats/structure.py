"""Checks the structure of picture files: one that would keep a reader busy for hours is refused before it is opened.

A file's size alone does not bound the work. Pillow's readers loop over each segment, chunk, directory entry and block
in Python, and libjpeg passes over all pixels for each scan, so that a crafted file of 100 MB can take hours. Files of
cameras and programs are far below these bounds.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from zlib import crc32

from restyle.errors import InvalidImage

#: Most scans of a JPEG. Programs write 1 to 17; libjpeg passes over all pixels for each.
MAX_SCANS = 100
#: Most segments of a JPEG before its first scan, and bytes of those that are parsed: EXIF and Photoshop's.
MAX_SEGMENTS, MAX_PARSED = 2_000, 4_000_000
#: Most bytes between the segments of a JPEG that belong to none.
MAX_STRAY = 65_536
#: Chunks of a PNG.
MAX_CHUNKS = 250_000
#: Entries of a TIFF's first directory, and numbers in one of them: a 100-megapixel picture in tiles of 16 x 16 has
#: 390,625.
MAX_ENTRIES, MAX_NUMBERS = 4_096, 500_000
#: Pages of a TIFF that are looked at, and the directories below them.
MAX_PAGES = 200
#: Blocks of a GIF up to the end of its first frame, and bytes of its comments and other extensions.
MAX_BLOCKS, MAX_EXTENSIONS = 1_000_000, 1_000_000
#: The chunk that ends a PNG.
PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
#: Bytes of EXIF that are read.
MAX_EXIF = 1_000_000

# Markers of JPEG (ITU T.81, table B.1).
_MARK, _SCAN = 0xFF, 0xDA
#: Markers without a length (table B.1): TEM, RST0 to RST7, SOI; and what fills the room between segments.
BARE = frozenset({0x00, 0x01, 0xFF, *range(0xD0, 0xD9)})
_PAGE = bytes(4096)
_EXIF, _PHOTOSHOP = 0xE1, 0xED
#: The first marker behind compressed pixels: neither a byte of theirs nor one of their restarts.
AFTER_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")

#: The beginning of a TIFF with 64-bit offsets, whose directories may have any number of entries.
_BIG_TIFF = (b"II+\x00\x08\x00\x00\x00", b"MM\x00+\x00\x08\x00\x00")
#: Bytes of a number in a TIFF, by its type; types of bytes and text are read at once.
_NUMBERS = frozenset({3, 4, 5, 8, 9, 10, 11, 12, 13, 16, 17, 18})


def check(kind: str, data: bytes) -> None:
    """Checks that reading a file takes bounded work; the scans of a JPEG are counted as they are found (jpeg.py).

    Raises:
        InvalidImage: it has more parts than any program writes.
    """
    match kind:
        case "JPEG":
            _check_jpeg(data)
        case "PNG":
            _check_png(data)
        case "TIFF":
            _check_tiff(data)
        case "GIF":
            _check_gif(data)
        case "AVIF" if any(start in data for start in _BIG_TIFF):
            raise InvalidImage("has EXIF of an unusual form; export it again")


def avif_size(data: bytes) -> tuple[int, int] | None:
    """Width and height by an AVIF's first `ispe` (ISO/IEC 23008-12, 6.5.3); None: it has none."""
    place = data.find(b"ispe", 0, 65_536)
    if place < 0 or place + 16 > len(data):
        return None
    width, height = struct.unpack_from(">II", data, place + 8)
    return width, height


def is_hollow(kind: str, data: bytes) -> bool:
    """Whether a file has a hole of zeros, of which its reader makes something: at its end, or among its pixels.

    A WebP of one colour has up to 2,000 zeros in a row for 19 megapixels, an AVIF 16; a page of a file has 4,096.
    """
    if kind not in {"AVIF", "WebP"}:
        return False
    start, end = data.find(b"mdat"), len(data)
    if kind == "WebP":
        start = data.find(b"VP8 ", 12)
        end = start + 8 + int.from_bytes(data[start + 4 : start + 8], "little")
    return data.endswith(bytes(256)) or (start > 0 and data.find(_PAGE, start, end) > 0)


def png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """The chunks of a PNG (PNG 3, 5.3): name, place of its data, and bytes. They end where the bound is passed."""
    place = 8
    for _ in range(MAX_CHUNKS + 1):
        if place + 8 > len(data):
            return
        length, name = struct.unpack_from(">I4s", data, place)
        yield name, place + 8, length
        place += 12 + length


def png_end(data: bytes) -> int:
    """Where a PNG ends that lacks no more than the end of its last chunk, which has no pixels; 0 for any other."""
    whole, last = 8, b""
    for name, place, length in png_chunks(data):
        last = name
        if place + length + 4 > len(data) or name == b"IEND":
            break
        whole = place + length + 4
    is_cut = last == b"IEND" and whole + 12 > len(data)
    return whole if is_cut or (last == b"IDAT" and whole < len(data) < whole + 8) or whole == len(data) else 0


def at_most(count: int, most: int, what: str) -> None:
    """Raises InvalidImage where a file has more of something than programs write."""
    if count > most:
        raise InvalidImage(f"has more than {most:,} {what}, which no camera or program writes; export it again")


def _check_jpeg(data: bytes) -> None:
    place, segments, parsed, stray = 2, 0, 0, 0
    while place + 4 <= len(data):
        if data[place] != _MARK or data[place + 1] in BARE:
            # Readers skip stray bytes one by one.
            place, stray = place + 1, stray + 1
        else:
            marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4])
            if marker == _SCAN:
                return
            segments += 1
            parsed += length if marker in {_EXIF, _PHOTOSHOP} and not data.startswith(b"http", place + 4) else 0
            place += 2 + length
        at_most(segments, MAX_SEGMENTS, "segments")
        at_most(parsed, MAX_PARSED, "bytes of metadata")
        at_most(stray, MAX_STRAY, "stray bytes")


def _check_png(data: bytes) -> None:
    count, view = 0, memoryview(data)
    for name, place, length in png_chunks(data):
        count += 1
        end = place + length
        # Its reader takes pixels for right whose checksum says that they are not.
        if (
            name == b"IDAT"
            and end + 4 <= len(data)
            and crc32(view[place - 4 : end]) != int.from_bytes(view[end : end + 4])
        ):
            raise InvalidImage(
                "is a damaged PNG file (its pixels do not match their checksum); export or upload it again"
            )
    at_most(count, MAX_CHUNKS, "chunks")


def _check_tiff(data: bytes) -> None:
    order = "<" if data[:2] == b"II" else ">"
    is_big = data[2:3] == b"+" or data[3:4] == b"+"
    count_form, entry_form, offset = ("Q", "HHQQ", data[8:16]) if is_big else ("H", "HHII", data[4:8])
    place = int.from_bytes(offset, "little" if order == "<" else "big")
    head, entry = struct.Struct(order + count_form), struct.Struct(order + entry_form)
    link = struct.Struct(order + ("Q" if is_big else "I"))
    seen: set[int] = set()
    # Its first pages, of which a later one may be the picture (tiff.py).
    while place and place not in seen and len(seen) < MAX_PAGES and place + head.size <= len(data):
        seen.add(place)
        entries = head.unpack_from(data, place)[0]
        at_most(entries, MAX_ENTRIES, "entries in its directory")
        for at in range(place + head.size, place + head.size + entries * entry.size, entry.size):
            if at + entry.size > len(data):
                return
            _, kind, count, _ = entry.unpack_from(data, at)
            at_most(count if kind in _NUMBERS else 0, MAX_NUMBERS, "numbers in one entry of its directory")
        following = place + head.size + entries * entry.size
        place = link.unpack_from(data, following)[0] if following + link.size <= len(data) else 0


def _check_gif(data: bytes) -> None:
    """Walks to the end of the second frame, as far as its reader does (GIF89a, 18 to 26)."""
    place, frames, blocks, extensions = 13 + _colours(data, 10), 0, 0, 0
    while place < len(data) and frames < 2:
        match data[place]:
            case 0x21:
                place, is_extension = place + 2, True
            case 0x2C:
                frames, is_extension = frames + 1, False
                place += 11 + _colours(data, place + 9)
            case _:
                place += 1  # which its reader skips, too
                blocks += 1
                at_most(blocks, MAX_BLOCKS, "blocks")
                continue
        while place < len(data) and (size := data[place]):
            place, blocks = place + 1 + size, blocks + 1
            extensions += size if is_extension else 0
            at_most(blocks, MAX_BLOCKS, "blocks")
            at_most(extensions, MAX_EXTENSIONS, "bytes of extensions")
        place += 1


def _colours(data: bytes, place: int) -> int:
    """Bytes of a table of colours, by the flags at this place."""
    flags = data[place] if place < len(data) else 0
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0
