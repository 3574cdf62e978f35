"""The directories of a TIFF: which page is the picture, and whether it is a camera's raw file. TIFF 6.0; DNG 1.7."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from restyle.errors import InvalidImage
from restyle.images.formats.structure import MAX_PAGES

_SUBFILE, _WIDTH, _HEIGHT, _COMPRESSION, _PHOTOMETRIC, _BELOW, _DNG = 254, 256, 257, 259, 262, 330, 50706
_TAGS = frozenset({_SUBFILE, _WIDTH, _HEIGHT, _COMPRESSION, _PHOTOMETRIC, _BELOW, _DNG})
#: JPEG 2000, LERC, LZMA, Zstandard, WebP, JPEG XL: not every libtiff has them.
_RARE = frozenset({34712, 34887, 34925, 50000, 50001, 50002})
#: Pixels of a sensor: below its colour filters, or linear.
_SENSOR = frozenset({32803, 34892})
_REDUCED, _MASK = 1, 4
_FORMS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_RAW = "is a camera's raw file, whose preview is not the picture; export it as JPEG"


@dataclass(frozen=True)
class Directory:
    """A page, or what lies below one."""

    values: dict[int, tuple[int, ...]] = field(default_factory=dict)

    def first(self, tag: int) -> int:
        """The first number of a tag; 0 where it has none."""
        return next(iter(self.values.get(tag, ())), 0)

    @property
    def pixels(self) -> int:
        """How many it has."""
        return self.first(_WIDTH) * self.first(_HEIGHT)

    @property
    def is_whole(self) -> bool:
        """Whether it is a picture of its own: no reduced copy, and no mask."""
        return not self.first(_SUBFILE) & (_REDUCED | _MASK)


class _Reader:
    """Reads directories by their offsets, each once."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._order = "<" if data[:2] == b"II" else ">"
        self._is_big = 43 in data[2:4]
        self._seen: set[int] = set()

    def pages(self) -> list[Directory]:
        """The pages in their order, with those below them read as well."""
        return self._chain(self._number("Q", 8) if self._is_big else self._number("I", 4))

    def below(self, page: Directory) -> list[Directory]:
        """The directories below a page."""
        return [one for offset in page.values.get(_BELOW, ())[:MAX_PAGES] for one in self._chain(offset)]

    def _chain(self, offset: int) -> list[Directory]:
        directories = []
        while offset and offset not in self._seen and len(self._seen) < MAX_PAGES:
            self._seen.add(offset)
            directory, offset = self._directory(offset)
            directories.append(directory)
        return directories

    def _directory(self, offset: int) -> tuple[Directory, int]:
        """A directory and the offset of the next one; what lies beyond the file is not there."""
        size, head, entry = (20, "Q", "HHQ") if self._is_big else (12, "H", "HHI")
        count, place = self._number(head, offset), offset + struct.calcsize(head)
        values = dict[int, tuple[int, ...]]()
        for number in range(min(count, 4096)):
            at = place + number * size
            if at + size > len(self._data):
                return Directory(values), 0
            tag, kind, many = struct.unpack_from(self._order + entry, self._data, at)
            if tag in _TAGS and kind in _FORMS:
                values[tag] = self._values(kind, min(many, MAX_PAGES), at + struct.calcsize(self._order + entry))
        return Directory(values), self._number("Q" if self._is_big else "I", place + count * size)

    def _values(self, kind: int, many: int, at: int) -> tuple[int, ...]:
        form = f"{self._order}{many}{_FORMS[kind]}"
        room, pointer = (8, "Q") if self._is_big else (4, "I")
        place = at if struct.calcsize(form) <= room else self._number(pointer, at)
        if place + struct.calcsize(form) > len(self._data):
            return ()
        return struct.unpack_from(form, self._data, place)

    def _number(self, form: str, place: int) -> int:
        form = self._order + form
        if place + struct.calcsize(form) > len(self._data):
            return 0
        return int(struct.unpack_from(form, self._data, place)[0])


def is_compressed_rarely(data: bytes) -> bool:
    """Whether a page is compressed in a way that its reader may not know."""
    return any(page.first(_COMPRESSION) in _RARE for page in _Reader(data).pages())


def page_of(data: bytes) -> int:
    """Which page is the picture, from 0 on: the largest that is no reduced copy of another; of equal ones the first.

    Raises:
        InvalidImage: it is a camera's raw file.
    """
    reader = _Reader(data)
    pages = reader.pages()
    if not pages:
        return 0
    below = [one for page in pages for one in reader.below(page)]
    is_sensor = any(one.first(_PHOTOMETRIC) in _SENSOR for one in (*pages, *below))
    is_preview = bool(below) and not pages[0].is_whole
    if is_sensor or is_preview or data[8:10] == b"CR" or any(_DNG in page.values for page in pages):
        raise InvalidImage(_RAW)
    places = [place for place, page in enumerate(pages) if page.is_whole] or range(len(pages))
    return max(places, key=lambda place: (pages[place].pixels, -place))
