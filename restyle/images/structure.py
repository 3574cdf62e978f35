"""Checks the structure of picture files: one that would keep a reader busy for hours is refused before it is opened.

A file's size alone does not bound the work. Pillow's readers loop over each segment, chunk, directory entry and block
in Python, and libjpeg passes over all pixels for each scan, so that a crafted file of 100 MB can take hours. Files of
cameras and programs are far below these bounds.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

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
#: Blocks of a GIF up to the end of its first frame, and bytes of its comments and other extensions.
MAX_BLOCKS, MAX_EXTENSIONS = 1_000_000, 1_000_000
#: Bytes of EXIF that are read.
MAX_EXIF = 1_000_000

# Markers of JPEG (ITU T.81, table B.1): frames that are decoded in one pass, and segments that may stand before a scan.
_MARK, _SCAN, _END = 0xFF, 0xDA, b"\xff\xd9"
_SEQUENTIAL_FRAMES = frozenset({0xC0, 0xC1})
_TABLES = frozenset({0xC4, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)})
#: Markers without a length (table B.1): TEM, RST0 to RST7, SOI; and what fills the room between segments.
_BARE = frozenset({0x00, 0x01, 0xFF, *range(0xD0, 0xD9)})
_EXIF, _PHOTOSHOP = 0xE1, 0xED
#: The first marker behind compressed pixels: neither a byte of theirs nor one of their restarts.
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
#: Rows of pixels from which on a part of a JPEG is worth making.
_TALL = 128

#: The beginning of a TIFF with 64-bit offsets, whose directories may have any number of entries.
_BIG_TIFF = (b"II+\x00\x08\x00\x00\x00", b"MM\x00+\x00\x08\x00\x00")
#: Bytes of a number in a TIFF, by its type; types of bytes and text are read at once.
_NUMBERS = frozenset({3, 4, 5, 8, 9, 10, 11, 12, 13, 16, 17, 18})


def check(kind: str, data: bytes) -> int:
    """Checks that reading a file takes bounded work.

    Returns:
        The offset at which the compressed pixels end, for a JPEG with one scan and nothing after it; else 0.

    Raises:
        InvalidImage: it has more parts than any program writes.
    """
    match kind:
        case "JPEG":
            return _check_jpeg(data)
        case "PNG":
            _at_most(sum(1 for _ in png_chunks(data)), MAX_CHUNKS, "chunks")
        case "TIFF":
            _check_tiff(data)
        case "GIF":
            _check_gif(data)
        case "AVIF" if any(start in data for start in _BIG_TIFF):
            raise InvalidImage("has EXIF of an unusual form; export it again")
    return 0


def part(data: bytes, share: float, end: int) -> bytes:
    """The beginning of a JPEG with a share of its compressed pixels, which decodes if the whole does; else empty.

    In a sequential JPEG with one scan, libjpeg refuses only errors before the pixels, and a scan without an end. It
    draws invalid codes, and what is missing, in gray with a warning (jdhuff.c). So where the picture ends with its only
    scan, a part shows whether the whole is damaged. Other JPEGs have no such part.

    Args:
        data: the file.
        share: of its compressed pixels.
        end: the offset at which these end, from `check`.
    """
    place, frame = 2, 0
    while place + 10 <= len(data) and data[place] == _MARK:
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4])
        if marker in _SEQUENTIAL_FRAMES and length > 7 and not frame:
            frame = place
        elif marker == _SCAN:
            scan = place + 2 + length
            # A frame has its height at byte 5 and its components at byte 9; four are inks.
            height, components = int.from_bytes(data[frame + 5 : frame + 7]), data[frame + 9]
            if not frame or height < _TALL or end < scan:
                return b""
            # The scan is of all components, and its own head is whole.
            if components not in {1, 3} or data[place + 4] != components or length != 6 + 2 * components:
                return b""
            return data[: scan + int(share * (end - scan))]
        elif marker not in _TABLES or length < 2:
            return b""
        place += 2 + length
    return b""


def png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """The chunks of a PNG (PNG 3, 5.3): name, place of its data, and bytes. They end where the bound is passed."""
    place = 8
    for _ in range(MAX_CHUNKS + 1):
        if place + 8 > len(data):
            return
        length, name = struct.unpack_from(">I4s", data, place)
        yield name, place + 8, length
        place += 12 + length


def _at_most(count: int, most: int, what: str) -> None:
    if count > most:
        raise InvalidImage(f"has more than {most:,} {what}, which no camera or program writes; export it again")


def _check_jpeg(data: bytes) -> int:
    place, segments, parsed, stray = 2, 0, 0, 0
    while place + 4 <= len(data):
        if data[place] != _MARK or data[place + 1] in _BARE:
            # Readers skip stray bytes one by one.
            place, stray = place + 1, stray + 1
        else:
            marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4])
            if marker == _SCAN:
                return _check_scans(data, place + 2 + length)
            segments += 1
            parsed += length if marker in {_EXIF, _PHOTOSHOP} and not data.startswith(b"http", place + 4) else 0
            place += 2 + length
        _at_most(segments, MAX_SEGMENTS, "segments")
        _at_most(parsed, MAX_PARSED, "bytes of metadata")
        _at_most(stray, MAX_STRAY, "stray bytes")
    return 0


def _check_scans(data: bytes, pixels: int) -> int:
    """The offset at which the pixels of a first and only scan end, by that of their beginning; 0 where more follows."""
    after = _AFTER_SCAN.search(data, pixels)
    if after is not None and after.group() == _END:
        return after.start()
    # Every scan has this marker, so that this quick count is never too low.
    if data.count(b"\xff\xda") > MAX_SCANS:
        _at_most(sum(1 for _ in _scans(data)), MAX_SCANS, "scans")
    return 0


def _scans(data: bytes) -> Iterator[int]:
    """The offsets of a JPEG's scans, up to its end, or to one more than allowed."""
    place, count = 2, 0
    for _ in range(20 * MAX_SEGMENTS):
        after = _AFTER_SCAN.search(data, place)
        if after is None or after.group() == _END or after.end() + 2 > len(data):
            return
        marker, place = data[after.start() + 1], after.end()
        if marker == _SCAN:
            count += 1
            yield after.start()
            if count > MAX_SCANS:
                return
        if marker not in _BARE:
            place += int.from_bytes(data[place : place + 2])
    raise InvalidImage("has more segments than any camera or program writes; export it again")


def _check_tiff(data: bytes) -> None:
    order = "<" if data[:2] == b"II" else ">"
    is_big = data[2:3] == b"+" or data[3:4] == b"+"
    count_form, entry_form, offset = ("Q", "HHQQ", data[8:16]) if is_big else ("H", "HHII", data[4:8])
    place = int.from_bytes(offset, "little" if order == "<" else "big")
    head = struct.Struct(order + count_form)
    if place + head.size > len(data):
        return  # its reader says what is wrong with it
    entries = head.unpack_from(data, place)[0]
    _at_most(entries, MAX_ENTRIES, "entries in its directory")
    entry = struct.Struct(order + entry_form)
    for number in range(entries):
        at = place + head.size + number * entry.size
        if at + entry.size > len(data):
            return
        _, kind, count, _ = entry.unpack_from(data, at)
        _at_most(count if kind in _NUMBERS else 0, MAX_NUMBERS, "numbers in one entry of its directory")


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
                _at_most(blocks, MAX_BLOCKS, "blocks")
                continue
        while place < len(data) and (size := data[place]):
            place, blocks = place + 1 + size, blocks + 1
            extensions += size if is_extension else 0
            _at_most(blocks, MAX_BLOCKS, "blocks")
            _at_most(extensions, MAX_EXTENSIONS, "bytes of extensions")
        place += 1


def _colours(data: bytes, place: int) -> int:
    """Bytes of a table of colours, by the flags at this place."""
    flags = data[place] if place < len(data) else 0
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0
