"""The parts of a JPEG: where its compressed pixels end, whether all of them are there, and what of it is no picture.

libjpeg draws what is missing in one colour and only warns, and Pillow passes no warning on. So a JPEG is decoded
without the marker that ends it: then its reader asks for more where pixels are missing, and it is refused as cut
short. Markers: ITU T.81, table B.1.
"""

from __future__ import annotations

import io
import itertools
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple, cast

from restyle.errors import InvalidImage
from restyle.images.formats.structure import AFTER_SCAN, BARE, MAX_SCANS, MAX_SEGMENTS, at_most

END = b"\xff\xd9"
#: Bytes of a file that is copied with another end.
_SMALL = 1_000_000
#: Compressed pixels of no picture: what they change was not there.
NOISE = bytes(1 + (37 * place * place + 11 * place) % 253 for place in range(1024))
#: Bytes of ones, which no code has: what a decoder reads ahead of the last pixels.
_AHEAD = b"\xff\x00" * 16
_MARK, _SCAN, _END = 0xFF, 0xDA, 0xD9
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
#: Frames whose codes are Huffman's, decoded in one pass; and those that are refined scan by scan.
_SEQUENTIAL, _PROGRESSIVE = frozenset({0xC0, 0xC1}), frozenset({0xC2})
_JFIF, _ICC, _ADOBE, _COMMENT = 0xE0, 0xE2, 0xEE, 0xFE
#: Lossless and hierarchical frames.
_UNREAD = frozenset({0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF})
#: Zeros that a hole in a file leaves; pictures have as many in a row where they are of one colour.
_HOLE, _UNUSED = b"\0" * 256, 64
#: What says how many units lie between two restarts; and these themselves, numbered from 0 to 7 again and again.
_RESTART, _RESTARTS = 0xDD, re.compile(rb"\xff[\xd0-\xd7]")
_TOO_MANY = "has more segments than any camera or program writes; export it again"


class Segment(NamedTuple):
    """A part of the head: its marker, and the bytes from that to its end."""

    marker: int
    start: int
    end: int


@dataclass(frozen=True)
class Layout:
    """Where the parts of a JPEG are, as offsets."""

    heads: tuple[Segment, ...]
    """Before the first scan."""
    scans: tuple[int, ...]
    """Where each scan begins; none: there are no pixels."""
    ends: tuple[int, ...]
    """Where the compressed pixels of each scan end."""
    end: int
    """Where the pixels end."""
    is_closed: bool
    """Whether the marker is there that ends them."""

    @property
    def has_passes(self) -> bool:
        """Whether several scans, coded by Huffman, make the picture: each may lack pixels for itself."""
        frame = self.frame
        return len(self.scans) > 1 and frame is not None and frame.marker in _PROGRESSIVE | _SEQUENTIAL

    @property
    def frame(self) -> Segment | None:
        """What says how the pixels are stored."""
        return next((head for head in self.heads if head.marker in _FRAMES), None)


class _Extended(io.RawIOBase):
    """The beginning of a file in memory with another end; nothing of it is copied."""

    def __init__(self, data: bytes, end: int, tail: bytes) -> None:
        """Begins at the beginning."""
        self._data, self._end, self._tail, self._place = memoryview(data)[:end], end, tail, 0

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes."""
        last = self._end + len(self._tail)
        stop = last if size < 0 else min(last, self._place + size)
        start, self._place = self._place, max(self._place, stop)
        return bytes(self._data[start:stop]) + self._tail[max(0, start - self._end) : max(0, stop - self._end)]

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Goes to a place."""
        base = {0: 0, 1: self._place, 2: self._end + len(self._tail)}[whence]
        self._place = max(0, base + offset)
        return self._place

    def tell(self) -> int:
        """The place."""
        return self._place

    def seekable(self) -> bool:
        """It can go anywhere."""
        return True

    def readable(self) -> bool:
        """It can be read."""
        return True


def extended(data: bytes, end: int, tail: bytes) -> BinaryIO:
    """The beginning of a file with another end, to be read."""
    if end <= _SMALL:  # a copy of it costs less than reads in Python
        return io.BytesIO(data[:end] + tail)
    return cast("BinaryIO", _Extended(data, end, tail))


def read(data: bytes) -> Layout:
    """The parts of a JPEG, whose segments and scans have been counted (structure.py)."""
    place, heads = 2, list[Segment]()
    while place + 4 <= len(data):
        marker = data[place + 1]
        if data[place] != _MARK or marker in BARE:
            place += 1
            continue
        if marker == _SCAN:
            return _scans(data, place, tuple(heads))
        following = place + 2 + int.from_bytes(data[place + 2 : place + 4])
        heads.append(Segment(marker, place, following))
        place = following
    return Layout(tuple(heads), (), (), len(data), is_closed=False)


def _without_fill(data: bytes, end: int) -> int:
    """Where the compressed pixels before this offset end: any number of 0xFF may stand before a marker (B.1.1.2)."""
    while part := data[max(0, end - 4096) : end]:
        kept = len(part.rstrip(b"\xff"))
        end -= len(part) - kept
        if kept:
            break
    return end


def _scans(data: bytes, place: int, heads: tuple[Segment, ...]) -> Layout:
    """The scans from the first one on, behind these heads."""
    starts, ends = [place], list[int]()
    place += 2 + int.from_bytes(data[place + 2 : place + 4])
    for _ in range(20 * MAX_SEGMENTS):
        after = AFTER_SCAN.search(data, place)
        end = _without_fill(data, after.start() if after else len(data))
        if len(ends) < len(starts):
            ends.append(end)
        if after is None:
            return Layout(heads, tuple(starts), tuple(ends), end, is_closed=False)
        marker, place = data[after.start() + 1], after.end()
        if marker == _END:
            return Layout(heads, tuple(starts), tuple(ends), end, is_closed=True)
        if marker == _SCAN:
            starts.append(after.start())
            at_most(len(starts), MAX_SCANS, "scans")
        if marker not in BARE:
            place += int.from_bytes(data[place : place + 2])
    raise InvalidImage(_TOO_MANY)


def to_decode(data: bytes, layout: Layout) -> BinaryIO:
    """The file as it is decoded, so that its reader raises where pixels are missing.

    Raises:
        InvalidImage: it lacks whole scans.
    """
    frame = layout.frame
    if not layout.scans or frame is None:
        return extended(data, len(data), b"")
    if frame.marker in _UNREAD:
        raise InvalidImage(
            "is a lossless or hierarchical JPEG, which cannot be read here; save it as a usual JPEG or PNG"
        )
    if len(layout.scans) == 1 and frame.marker in _SEQUENTIAL and _is_of_all(data, layout.scans[0], frame):
        if _lacks_restarts(data, layout, frame):
            raise InvalidImage("is a damaged JPEG file (some of its pixels are missing); export or upload it again")
        return extended(data, layout.end, _AHEAD)
    if frame.marker in _PROGRESSIVE | _SEQUENTIAL and not _has_all_scans(data, layout, frame):
        raise InvalidImage("is a truncated JPEG file: some of its scans are missing; export or upload it again")
    return extended(data, layout.end, END if layout.is_closed else b"")


def _lacks_restarts(data: bytes, layout: Layout, frame: Segment) -> bool:
    """Whether restarts are missing, and with them the pixels between two: its reader goes on behind them (E.1.4)."""
    height, width = struct.unpack_from(">HH", data, frame.start + 5)
    factors = data[frame.start + 11 : frame.end : 3] if data[frame.start + 9] > 1 else b"\x11"
    interval = next(
        (int.from_bytes(data[one.start + 4 : one.end]) for one in layout.heads if one.marker == _RESTART), 0
    )
    across, down = max(factor >> 4 for factor in factors), max(factor & 0x0F for factor in factors)
    if not (interval and across and down and height):  # a height of 0 is told behind the pixels
        return False
    units = -(-width // (8 * across)) * -(-height // (8 * down))
    restarts = [mark[1] & 7 for mark in _RESTARTS.findall(data, layout.scans[0], layout.end)]
    return len(restarts) < -(-units // interval) - 1 or any(one != place % 8 for place, one in enumerate(restarts))


def may_have_hole(data: bytes, layout: Layout) -> BinaryIO | None:
    """Where a file may have a hole: its beginning, whose reader must ask for more; else there are bytes of no picture.

    None: it has no hole, or none that can be recognised.
    """
    frame = layout.frame
    if len(layout.scans) != 1 or frame is None or frame.marker not in _SEQUENTIAL:
        return None
    is_hole = data.find(_HOLE, layout.scans[0], layout.end) >= 0
    return extended(data, layout.end - _UNUSED, b"") if is_hole else None


def with_noise(data: bytes, layout: Layout) -> BinaryIO:
    """The picture with noise behind the pixels of each scan: the same picture, if no scan lacks any."""
    places = [0, *layout.ends]
    parts = [data[start:end] for start, end in itertools.pairwise(places)]
    return io.BytesIO(b"".join(part + NOISE for part in parts) + data[places[-1] : layout.end] + END)


def _components(data: bytes, frame: Segment) -> bytes:
    """The names of a frame's components."""
    count = data[frame.start + 9] if frame.start + 9 < len(data) else 0
    return data[frame.start + 10 : frame.start + 10 + 3 * count : 3]


def _is_of_all(data: bytes, scan: int, frame: Segment) -> bool:
    """Whether a scan has all components."""
    count = data[scan + 4]
    return bytes(sorted(data[scan + 5 : scan + 5 + 2 * count : 2])) == bytes(sorted(_components(data, frame)))


def _has_all_scans(data: bytes, layout: Layout, frame: Segment) -> bool:
    """Whether scans bring each coefficient of each component to its last bit (ITU T.81, G.1.1.1)."""
    left = {name: set(range(64)) for name in _components(data, frame)}
    for scan in layout.scans:
        count = data[scan + 4] if scan + 4 < len(data) else 0
        names = data[scan + 5 : scan + 5 + 2 * count : 2]
        first, last, bits = (*data[scan + 5 + 2 * count : scan + 8 + 2 * count], 0, 0, 0)[:3]
        if frame.marker in _SEQUENTIAL:
            first, last, bits = 0, 63, 0
        if bits & 0x0F == 0:
            for name in names:
                left.get(name, set()).difference_update(range(first, last + 1))
    return not any(left.values())


def without_metadata(data: bytes, layout: Layout) -> bytes:
    """The picture alone: without EXIF, XMP, Photoshop's data, comments, further pictures, and whatever follows.

    Its colours stay: JFIF, Adobe's marker and the ICC profile. The same bytes where there is nothing else.
    """
    parts: list[bytes | memoryview] = [
        data[:2],
        *(data[head.start : head.end] for head in layout.heads if _is_picture(data, head)),
    ]
    for start, end, following in zip(layout.scans, layout.ends, [*layout.scans[1:], layout.end], strict=True):
        parts.append(memoryview(data)[start:end])
        parts += (data[one.start : one.end] for one in _segments(data, end, following) if _is_picture(data, one))
    parts.append(END)
    return data if layout.is_closed and sum(map(len, parts)) == len(data) else b"".join(parts)


def _segments(data: bytes, place: int, end: int) -> Iterator[Segment]:
    """The segments between two scans, or behind the last."""
    while (after := AFTER_SCAN.search(data, place, end)) is not None:
        marker, place = data[after.start() + 1], after.end()
        if marker not in BARE:
            place += int.from_bytes(data[place : place + 2])
            yield Segment(marker, after.start(), min(place, end))


_THUMBNAIL = re.compile(rb"JFIF\0.{7}(..)", re.DOTALL)


def _is_picture(data: bytes, head: Segment) -> bool:
    """Whether a segment is needed for the picture."""
    text = data[head.start + 4 : head.start + 18]
    if head.marker == _JFIF:
        thumbnail = _THUMBNAIL.match(text)
        return bool(thumbnail and thumbnail[1] == b"\0\0")
    if head.marker == _ICC:
        return text.startswith(b"ICC_PROFILE\0")
    if head.marker == _ADOBE:
        return text.startswith(b"Adobe")
    return head.marker != _COMMENT and not 0xE0 <= head.marker <= 0xEF
