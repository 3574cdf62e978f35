"""Rows become entries: cells of their types, an image that can be found, an id. Reads: table.py, document.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from producers.manifest.cells import PARAMS, RESERVED
from producers.manifest.entry import Entry, Problems, Row
from producers.manifest.ids import DefaultIds
from producers.manifest.place import Place, check_file
from restyle.keys import normalise_id

#: What reviewers write into the column `mark`; only what is to be done again is planned.
_DROPPED = frozenset({"keep", "reject"})
_REDO = "redo"
#: Bytes of an entry's metadata, names included: it travels with each message.
MAX_META_BYTES = 8000
#: Below this many characters, metadata is small enough in any script.
_SMALL_META = MAX_META_BYTES // 4
_NOTHING: dict[str, str] = dict.fromkeys(RESERVED, "")

#: A column, and what is wrong with its cell.
Fault = tuple[str, str]
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
            faults: list[Fault] = []
            entry = self._entry(row, faults)
            for column, reason in faults:
                problems.add(row.source, row.line, column, reason)
            if entry is not None and not faults:
                yield entry

    def _unnamed(self) -> Iterator[str]:
        """The keys of the images of all rows without an id."""
        for row in self._rows(Problems()):
            image = row.given.get("image")
            if "id" not in row.given and isinstance(image, str):
                try:
                    yield self._place.resolve(image.strip())[1]
                except ValueError:
                    continue  # found again, and told, when the row's turn comes

    def _entry(self, row: Row, faults: list[Fault]) -> Entry | None:
        """The row's entry; None where the row says that there is nothing to do."""
        words = _NOTHING.copy()
        params: dict[str, object] = {}
        for name, value in row.given.items():
            try:
                if name in RESERVED:
                    words[name] = RESERVED[name](value)
                else:
                    params[name] = PARAMS[name](value)
            except ValueError as error:
                faults.append((name, str(error)))
        mark = words["mark"].lower()
        if mark in _DROPPED:
            faults.clear()
            return None
        if mark not in {"", _REDO}:
            faults.append(("mark", f"{words['mark'][:40]!r} is none of keep, reject, redo"))
        image, key = self._image(row, words["image"], faults)
        if reason := _too_much(row.meta):
            faults.append(reason)
        return Entry(
            source=row.source,
            line=row.line,
            id=self._id(row, words["id"], key, faults),
            image=image,
            variant=words["variant"],
            params=params,
            output=words["output"],
            mark=mark,
            meta=row.meta,
            etag="",
        )

    def _image(self, row: Row, image: str, faults: list[Fault]) -> tuple[str, str]:
        """Where the image is, and its key; both empty where there is none."""
        if not image:
            if "image" not in row.given:
                faults.append(("image", "is missing"))
            return "", ""
        try:
            where, key = self._place.resolve(image)
            if not where.startswith("s3://"):
                check_file(where)
        except ValueError as reason:
            faults.append(("image", f"{image[:200]}: {reason}"))
            return "", ""
        return where, key

    def _id(self, row: Row, given: str, key: str, faults: list[Fault]) -> str:
        """The given id, or the one that the image's key makes."""
        try:
            if given:
                return normalise_id(given)
            return normalise_id(self._ids.of(key)) if key and "id" not in row.given else ""
        except ValueError as reason:
            hint = "" if given else "; it is made of the image's name: give the row an id of its own"
            faults.append(("id", f"{reason}{hint}"))
            return ""


def _too_much(meta: dict[str, str]) -> Fault | None:
    """Why metadata is refused."""
    if sum(map(len, meta)) + sum(map(len, meta.values())) <= _SMALL_META:
        return None
    size = sum(len(name.encode()) + len(value.encode()) for name, value in meta.items())
    if size <= MAX_META_BYTES:
        return None
    longest = max(meta, key=lambda name: len(meta[name]))
    return longest, f"the columns that are only kept hold {size:,} bytes together; at most {MAX_META_BYTES:,} fit"
