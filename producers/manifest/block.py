"""Rows of a table column by column: a million plain ones are read in a third of the time that they take one by one.

A row is plain where it names an object in S3 and an id in plain characters, and else has metadata alone. Most rows of
most tables are; where one of a batch is not, all of the batch is read row by row (rows.py), with the same entries.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from typing import NamedTuple

from producers.manifest.cells.columns import Header
from producers.manifest.cells.spoilt import ERROR_STARTS, is_error, is_quoted_late
from producers.manifest.cells.values import is_filled
from producers.manifest.entry import Entry
from producers.manifest.place import are_plain_objects
from restyle.keys import are_plain_ids

#: Characters that no blank cell begins with; most cells begin with one.
SEEN = frozenset(string.ascii_letters + string.digits)
_BLANK_OR_SEEN = SEEN | {""}

#: A row of cells, and the line on which it begins.
Cells = tuple[int, list[str]]


class Block(NamedTuple):
    """Some plain rows, as columns of the same length."""

    source: str
    lines: Sequence[int]
    ids: Sequence[str]
    images: Sequence[str]
    meta: Mapping[str, Sequence[str]]
    """Cells of metadata by name; empty where a row has none."""

    def entry(self, place: int) -> Entry:
        """The entry of one row."""
        meta = {name: cell for name, cells in self.meta.items() if (cell := cells[place])}
        return Entry(
            self.source, self.lines[place], self.ids[place], self.images[place], "", {}, "", "", meta, ""
        )  # fmt: skip

    def entries(self) -> Iterator[Entry]:
        """The entries of all rows."""
        return map(self.entry, range(len(self.ids)))

    def metas(self) -> Iterator[dict[str, str]]:
        """The metadata of all rows."""
        if not self.meta:
            return iter([{} for _ in self.ids])
        names = tuple(self.meta)
        rows = zip(*self.meta.values(), strict=True)
        if all(map(all, self.meta.values())):
            return map(dict, map(zip, repeat(names), rows))
        return ({name: cell for name, cell in zip(names, row, strict=True) if cell} for row in rows)


def read_block(source: str, batch: Sequence[Cells], header: Header, width: int, room: int) -> Block | None:
    """Rows as a block; None where one of them is not plain.

    Args:
        source: what messages call the file.
        batch: the rows, not blank, at least one.
        header: what their cells mean.
        width: how many cells each has.
        room: characters that the metadata of a row may have, names included.
    """
    rows = [cells for _, cells in batch]
    if set(map(len, rows)) != {width}:
        return None
    columns: list[Sequence[str]] = list(zip(*rows, strict=True))
    named = {name: columns[place] for place, name in header.known}
    ids, images = named.pop("id", ()), named.pop("image", ())
    if not (ids and images and are_plain_ids(ids) and are_plain_objects(images)):
        return None
    unnamed = set(range(width)).difference(place for place, _ in (*header.known, *header.kept))
    if any(map(any, named.values())) or any(_has_lines(columns[place]) for place in unnamed):
        return None
    meta: dict[str, Sequence[str]] = {}
    for place, name in header.kept:
        cells = _plain_cells(columns[place])
        if cells is None:
            return None
        meta[name] = cells
        room -= len(name) + max(map(len, cells))
    return Block(source, [line for line, _ in batch], ids, images, meta) if room >= 0 else None


def _has_lines(cells: Sequence[str]) -> bool:
    """Whether a cell is several lines: a quote that was left open may have swallowed rows."""
    text = "".join(cells)
    return "\n" in text or "\r" in text


def _plain_cells(cells: Sequence[str]) -> Sequence[str] | None:
    """A column of metadata with blank cells emptied; None where a cell is several lines or a failed formula."""
    if _has_lines(cells):
        return None
    starts = {cell[:1] for cell in cells}
    if not starts.isdisjoint(ERROR_STARTS) and any(map(is_error, cells)):
        return None
    if " " in starts and any(map(is_quoted_late, cells)):
        return None
    return cells if starts <= _BLANK_OR_SEEN else [cell if is_filled(cell) else "" for cell in cells]
