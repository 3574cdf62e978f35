"""Tables with a header row, of any file format, as rows with their lines. Used by forms.py."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Protocol

from producers.manifest.block import SEEN, Block, Cells, read_block
from producers.manifest.cells.columns import (
    KNOWN,
    REPORT_START,
    is_image_alias,
    missing_column,
    missing_image,
    read_header,
)
from producers.manifest.cells.formulas import unguarded
from producers.manifest.cells.spoilt import is_quoted_late
from producers.manifest.cells.values import is_filled
from producers.manifest.entry import Problems, Row, Stand
from producers.manifest.feeds import Feed, feed_of
from producers.manifest.place import names_a_picture
from producers.manifest.source import wrong
from producers.manifest.tables.report_rows import WrittenRows
from restyle.errors import ManifestError
from restyle.problems import Problem
from restyle.web.address import shown

#: Rows in which a header is searched where the first row is none.
_TITLES = 20
#: Rows that are looked at together.
_BATCH = 500
_NO_TEXT = "is a column of bytes or objects: write it as text, or call it something else"
_LATE = (
    "quotes with a blank before them are part of the text in {cells} ({lines}): is that meant? Else remove the blank"
)


class Grid(Protocol):
    """Rows of cells, to be streamed as often as they are needed."""

    name: str
    """What messages call it."""
    form: str
    """What it is, with its article."""
    is_guarded: bool
    """Whether reports have apostrophes before what a spreadsheet would change."""
    unread: Sequence[str]
    """Columns that cannot be text."""

    def cells(self) -> Iterator[tuple[int, list[str]]]:
        """Rows that are not blank, with the line on which each begins."""

    def why_no_row(self, line: int, row: Sequence[str], width: int, image: int) -> str:
        """Why a row cannot be intended; empty where it can."""


class Table:
    """A grid whose first row names its columns."""

    def __init__(self, grid: Grid, renames: Mapping[str, str], *, feed: str = "", workspace: str = "") -> None:
        """Reads the header.

        Args:
            grid: the rows.
            renames: our name -> the file's column.
            feed: the export that it is; empty: by its header, `none`: none.
            workspace: the present one, for reports; empty where it is not known.

        Raises:
            ManifestError: the header cannot be used; it lists everything that is wrong.
        """
        self._grid = grid
        self._header_line, cells = next(grid.cells(), (1, []))
        names = [cell.strip() for cell in cells]
        self.is_report = tuple(names[: len(REPORT_START)]) == REPORT_START
        self._is_guarded = self.is_report and grid.is_guarded
        if self._is_guarded:
            names = [unguarded(name) for name in names]
        self.names = tuple(names)
        self._written = WrittenRows(grid.name, workspace)
        self.feed: Feed | None = None if self.is_report else feed_of(names, feed, grid.name)
        columns = dict(renames)
        if self.feed:
            columns = self.feed.renames(names, columns)
        self.header = read_header(names, columns, is_report=self.is_report, is_export=self.feed is not None)
        self._image = next((place for place, name in self.header.known if name == "image"), -1)
        self._refuse_wrong_header(names, columns)

    def rows(self, problems: Problems) -> Iterator[Row]:
        """Streams the rows; one that cannot be a row of this header is a problem."""
        return self.rows_of(islice(self._grid.cells(), 1, None), problems)

    def batches(self) -> Iterator[list[Cells]]:
        """The rows as they stand in the file, many at a time."""
        cells = islice(self._grid.cells(), 1, None)
        while True:
            batch: list[Cells] = []
            try:
                batch.extend(islice(cells, _BATCH))
            except ManifestError:
                yield batch  # what stands before the fault is judged first
                raise
            if not batch:
                return
            yield batch

    def block(self, batch: Sequence[Cells], room: int) -> Block | None:
        """Rows as a block, whose metadata has room for so many characters; None where one of them is not plain."""
        if self.is_report or self.feed:
            return None
        return read_block(self._grid.name, batch, self.header, len(self.names), room)

    def rows_of(self, cells: Iterable[Cells], problems: Problems) -> Iterator[Row]:
        """The rows of some cells; one that cannot be a row of this header is a problem."""
        known, kept, width = self.header.known, self.header.kept, len(self.names)
        for line, row in cells:
            if self._is_guarded:
                row = [unguarded(cell) for cell in row]  # noqa: PLW2901 - the same row, as it was written
            if len(row) < width:
                row.extend([""] * (width - len(row)))
            text = "".join(row)
            if reason := self._why_no_row(line, row, text):
                problems.add(self._grid.name, line, "", reason)
                continue
            if self.is_report and (reason := self._written.why_changed(dict(zip(self.names, row, strict=False)))):
                problems.add(self._grid.name, line, "id", reason)
                continue
            if ' "' in text and any(map(is_quoted_late, row)):
                problems.doubt(_LATE, line)
            yield Row(
                self._grid.name,
                line,
                {name: cell for place, name in known if (cell := row[place]) and (cell[0] in SEEN or is_filled(cell))},
                {name: cell for place, name in kept if (cell := row[place]) and (cell[0] in SEEN or is_filled(cell))},
            )

    def _why_no_row(self, line: int, row: list[str], text: str) -> str:
        width = len(self.names)
        if ("\n" in text or "\r" in text) and (reason := self._grid.why_no_row(line, row, width, self._image)):
            return reason
        if len(row) > width and any(map(is_filled, row[width:])):
            return f"the row has {len(row)} cells, the header {width}; is a quote or a delimiter amiss?"
        return ""

    def originals(self, stands: Container[Stand]) -> Iterator[tuple[Stand, list[str]]]:
        """The cells of some rows as they are in the file."""
        name = self._grid.name
        return (((name, line), cells) for line, cells in self._grid.cells() if (name, line) in stands)

    def _unread(self) -> str:
        """The message where the images' column cannot be text; empty where there is none."""
        column = next(filter(is_image_alias, self._grid.unread), "")
        return f"the column {column} is one of bytes or objects: write it as text" if column else ""

    def _header_further_down(self) -> str:
        """The message where titles stand above the header; empty where no header is found below."""
        for line, row in islice(self._grid.cells(), 1, _TITLES):
            if any(cell.strip().lower() == "image" or is_image_alias(cell) for cell in row):
                return f"there is no such column; line {line} looks like the header: remove what stands above it"
        return ""

    def _refuse_wrong_header(self, names: Sequence[str], renames: Mapping[str, str]) -> None:
        if not names:
            raise wrong(self._grid.name, f"is {self._grid.form or 'a table'} without any rows")
        faults = list(self.header.faults)
        faults += [
            (name, _NO_TEXT) for name in self._grid.unread if name.lower() in KNOWN and name not in renames.values()
        ]
        faults += [
            ("", missing_column(target, column, names))
            for target, column in renames.items()
            if column not in self.header.renamed
        ]
        has_image = "image" in self.header.names or any(column == "image" for column, _ in faults)
        if not has_image and "image" not in renames:
            reasons = (self._unread(), self._header_further_down(), _no_header(names), missing_image(names))
            faults.append(("image", next(filter(None, reasons))))
        if faults:
            raise ManifestError(
                [Problem(self._grid.name, self._header_line, column, reason) for column, reason in faults]
            )


def _no_header(names: Sequence[str]) -> str:
    """The message where the first row is no header but an entry; empty where it is one."""
    pictures = [name for name in names if names_a_picture(name)]
    if not pictures:
        return ""
    return (
        f"the first line has {shown(pictures[0])[:100]}, and no columns' names: put a header above it, such as id,image"
    )
