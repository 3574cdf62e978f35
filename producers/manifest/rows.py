"""Rows become entries: cells of their types, an image that can be found, an id. Reads: table.py, document.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from producers.manifest.cells import PARAMS, RESERVED
from producers.manifest.entry import Entry, Problems, Row
from producers.manifest.ids import DefaultIds
from producers.manifest.place import Place
from restyle.keys import normalise_id

#: What reviewers write into the column `mark`; only what is to be done again is planned.
_DROPPED = frozenset({"keep", "reject"})
_REDO = "redo"
#: Bytes of an entry's metadata, names included: it travels with each message.
MAX_META_BYTES = 8000
#: Below this many characters, metadata is small enough in any script.
_SMALL_META = MAX_META_BYTES // 4
_NOTHING: dict[str, str] = dict.fromkeys(RESERVED, "")

#: Streams the rows of a manifest anew; those that are none go to the problems.
Rows = Callable[[Problems], Iterator[Row]]


class Reading:
    """The rows of one manifest as entries."""

    def __init__(self, rows: Rows, place: Place) -> None:
        self._rows = rows
        self._place = place
        self._ids = DefaultIds(self._unnamed)

    def entries(self, problems: Problems) -> Iterator[Entry]:
        """Streams the entries; a row with a problem is none."""
        for row in self._rows(problems):
            try:
                entry = self._entry(row)
            except _Faults as faults:
                for column, reason in faults.found:
                    problems.add(row.source, row.line, column, reason)
                continue
            if entry is not None:
                yield entry

    def _unnamed(self) -> Iterator[str]:
        """The keys of the images of all rows without an id."""
        for row in self._rows(Problems()):
            image = row.given.get("image")
            if "id" not in row.given and isinstance(image, str):
                try:
                    yield self._place.name(image.strip())
                except ValueError:
                    continue  # found again, and told, when the row's turn comes

    def _entry(self, row: Row) -> Entry | None:
        """The row's entry; None where the row says that there is nothing to do."""
        faults: list[tuple[str, str]] = []
        words = _NOTHING.copy()
        params: dict[str, object] = {}
        for name, value in row.given.items():
            try:
                if name in RESERVED:
                    words[name] = RESERVED[name](value)
                else:
                    params[name] = PARAMS[name](value)
            except ValueError as reason:
                faults.append((name, str(reason)))
        mark = words["mark"].lower()
        if mark in _DROPPED:
            return None
        if mark not in {"", _REDO}:
            faults.append(("mark", f"{words['mark']!r} is none of keep, reject, redo"))
        image = self._image(words, row, faults)
        if reason := _too_much(row.meta):
            faults.append(("", reason))
        if faults:
            raise _Faults(faults)
        return Entry(
            source=row.source,
            line=row.line,
            id=words["id"],
            image=image,
            variant=words["variant"],
            params=params,
            output=words["output"],
            mark=mark,
            meta=row.meta,
            etag="",
        )

    def _image(self, words: dict[str, str], row: Row, faults: list[tuple[str, str]]) -> str:
        """Where the image is; completes the id in `words`, which may depend on it."""
        image = ""
        if not words["image"]:
            if "image" not in row.given:
                faults.append(("image", "is missing"))
        else:
            try:
                image, key = self._place.locate(words["image"])
            except ValueError as reason:
                faults.append(("image", f"{words['image'][:200]}: {reason}"))
        ...
        return image


def _too_much(meta: dict[str, str]) -> str:
    """Why metadata is refused, or empty."""
    if sum(map(len, meta)) + sum(map(len, meta.values())) <= _SMALL_META:
        return ""
    size = sum(len(name.encode()) + len(value.encode()) for name, value in meta.items())
    if size <= MAX_META_BYTES:
        return ""
    longest = max(meta, key=lambda name: len(meta[name]))
    return f"the other columns hold {size:,} bytes, at most {MAX_META_BYTES:,} are kept; the longest is {longest}"


class _Faults(Exception):
    def __init__(self, found: list[tuple[str, str]]) -> None:
        super().__init__()
        self.found = found
