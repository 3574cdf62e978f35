"""Rows become entries: cells of their types, an image that can be found, an id. Reads: table.py, document.py."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from producers.manifest.block import Block
from producers.manifest.cells.several import each_its_own, pictures_in, why_not_one
from producers.manifest.cells.spoilt import ERROR_STARTS, is_error, is_shortened, reason_of
from producers.manifest.cells.values import PARAMS, RESERVED
from producers.manifest.entry import Entry, Problems, Row
from producers.manifest.feeds import Feed
from producers.manifest.ids import DefaultIds, IdTemplate, LostZeros
from producers.manifest.place import Place, is_plain_object
from producers.manifest.tables.table import Table
from restyle.keys import is_plain_id, normalise_id
from restyle.web.address import shown

#: What reviewers write into the column `mark`; only what is to be done again is planned.
_DROPPED = frozenset({"keep", "reject"})
_REDO = "redo"
#: Bytes of an entry's metadata, names included: it travels with each message.
MAX_META_BYTES = 8000
#: Below this many characters, metadata is small enough in any script.
_SMALL_META = MAX_META_BYTES // 4
_NOTHING: dict[str, str] = dict.fromkeys(RESERVED, "")

_SHORTENED = "the column id has a long number that a spreadsheet has shortened in {cells} ({lines}): format it as text"

#: A column, and what is wrong with its cell.
Fault = tuple[str, str]
#: Streams the rows of a manifest anew; those that are none go to the problems.
Rows = Callable[[Problems], Iterator[Row]]


class Reading:
    """The rows of one manifest as entries."""

    def __init__(
        self, rows: Rows, place: Place, *, feed: Feed | None = None, id_template: str = "", fits: bool = False,
        table: Table | None = None,
    ) -> None:  # fmt: skip
        """Keeps how to read.

        Args:
            rows: streams them.
            place: where relative images lie.
            feed: the export that they are of.
            id_template: `--id`; empty: the column `id`, or the image's name.
            fits: whether metadata that is too long is left out, where the columns are a program's and not a user's.
            table: what they are of, where they can be read many at a time.

        Raises:
            ValueError: the template is none; the message is the reason.
        """
        self._rows = rows
        self._place = place
        self._feed = feed
        self._template = IdTemplate(id_template) if id_template else None
        self._fits = fits or feed is not None
        self._table = None if id_template or place.is_listed else table
        self._ids = DefaultIds(self._unnamed)

    def entries(self, problems: Problems) -> Iterator[Entry]:
        """Streams the entries; a row with a problem is none."""
        zeros = LostZeros()
        yield from self._entries(self._rows(problems), problems, zeros)
        zeros.warn(problems)

    def parts(self, problems: Problems) -> Iterator[Block | Iterable[Entry]]:
        """The same, some at a time: each part is to be streamed before the next one is asked for."""
        if self._table is None:
            yield self.entries(problems)
            return
        zeros = LostZeros()
        for batch in self._table.batches():
            if block := self._table.block(batch, _SMALL_META):
                problems.count("rows", len(batch))
                problems.count("pictures", len(batch))
                zeros.add_all(block.ids, block.lines)
                yield block
            else:
                yield self._entries(self._table.rows_of(batch, problems), problems, zeros)
        zeros.warn(problems)

    def _entries(self, rows: Iterator[Row], problems: Problems, zeros: LostZeros) -> Iterator[Entry]:
        for row in self._each(rows, problems):
            if plain := self._plain(row):
                zeros.add(plain.id, row.line)
                yield plain
                continue
            faults: list[Fault] = []
            entry = self._entry(row, faults)
            if "id" in row.given and not row.number:
                zeros.add(str(row.given["id"]), row.line)
            if entry is not None and not faults and is_shortened(entry.id):
                problems.doubt(_SHORTENED, row.line)
            for column, reason in faults:
                problems.add(row.source, row.line, column, reason)
            if entry is not None and not faults:
                yield entry

    def _each(self, rows: Iterator[Row], problems: Problems) -> Iterator[Row]:
        """The rows, each with one picture."""
        rows = self._counted(rows, problems)
        for row in self._feed.rows(rows, problems) if self._feed else rows:
            for one in each_its_own(row):
                problems.count("pictures")
                yield _fitted(one, problems) if self._fits else one

    def _counted(self, rows: Iterator[Row], problems: Problems) -> Iterator[Row]:
        for row in rows:
            problems.count("rows")
            yield row

    def _unnamed(self) -> Iterator[str]:
        """The keys of the images of all rows without an id."""
        nothing = Problems()
        for row in self._each(self._rows(nothing), nothing):
            image = row.given.get("image")
            if not self._template and "id" not in row.given and isinstance(image, str):
                try:
                    yield self._place.resolve(image.strip())[1]
                except ValueError:
                    continue  # found again, and reported, when the row's turn comes

    def _plain(self, row: Row) -> Entry | None:
        """The entry of a row that names an object and an id in plain characters alone; None: it is read with care."""
        given = row.given
        if len(given) != 2 or row.number or self._template or self._place.is_listed:
            return None
        image, entry_id = given.get("image"), given.get("id")
        if not isinstance(image, str) or not isinstance(entry_id, str):
            return None
        if not is_plain_object(image) or not is_plain_id(entry_id) or _too_much(row.meta):
            return None
        return Entry(
            row.source, row.line, entry_id, image, "", {}, "", "", row.meta, "", _not_text(row)
        )  # fmt: skip

    def _entry(self, row: Row, faults: list[Fault]) -> Entry | None:
        """The row's entry; None where the row says that there is nothing to do."""
        words = _NOTHING.copy()
        params: dict[str, object] = {}
        for name, value in row.given.items():
            try:
                if isinstance(value, str) and value[0] in ERROR_STARTS and is_error(value):
                    raise ValueError(reason_of(value))
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
            not_text=_not_text(row),
        )

    def _image(self, row: Row, image: str, faults: list[Fault]) -> tuple[str, str]:
        """Where the image is, and its key; both empty where there is none."""
        if not image:
            if "image" not in row.given:
                faults.append(("image", "is missing"))
            return "", ""
        several = pictures_in(image)
        try:
            where, key = self._place.resolve(image)
            self._place.check(where, image)
            if not several or "://" not in where:
                return where, key
        except ValueError as reason:
            if not several:
                faults.append(("image", f"{shown(image)[:200]}: {reason}"))
                return "", ""
        faults.append(("image", why_not_one(several)))
        return "", ""

    def _id(self, row: Row, given: str, key: str, faults: list[Fault]) -> str:
        """The given id, or the one that the image's key makes."""
        try:
            if self._template:
                return normalise_id(self._template.of(row.given, row.meta, row.number))
            if given:
                return normalise_id(f"{given}-{row.number}" if row.number else given)
            return normalise_id(self._ids.of(key)) if key and "id" not in row.given else ""
        except ValueError as reason:
            hint = "" if given or self._template else "; it is made of the image's name: give the row an id of its own"
            faults.append(("id", f"{reason}{hint}"))
            return ""


def _not_text(row: Row) -> Mapping[str, str]:
    """Metadata that no prompt may take, with the reason."""
    errors = [name for name, cell in row.meta.items() if cell[:1] in ERROR_STARTS and is_error(cell)]
    return {**row.not_text, **{name: reason_of(row.meta[name]) for name in errors}} if errors else row.not_text


def _fitted(row: Row, problems: Problems) -> Row:
    """The row without its longest metadata, so that what is left fits."""
    if _too_much(row.meta) is None:
        return row
    meta, not_text = dict(row.meta), dict(row.not_text)
    while (fault := _too_much(meta)) is not None:
        problems.leave_out("cell{s} too long to be kept", f"{fault[0]} (line {row.line})")
        not_text[fault[0]] = f"is {len(meta.pop(fault[0])):,} characters long, too long to be kept"
    return row._replace(meta=meta, not_text=not_text)


def _too_much(meta: dict[str, str]) -> Fault | None:
    """Why metadata is refused."""
    if sum(map(len, meta)) + sum(map(len, meta.values())) <= _SMALL_META:
        return None
    size = sum(len(name.encode()) + len(value.encode()) for name, value in meta.items())
    if size <= MAX_META_BYTES:
        return None
    longest = max(meta, key=lambda name: len(meta[name]))
    return longest, f"the columns that are only kept hold {size:,} bytes together; at most {MAX_META_BYTES:,} fit"
