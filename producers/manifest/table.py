"""CSV with a header row: rows with the lines they stand on. Read by __init__.py."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice

from producers.manifest.cells import is_filled
from producers.manifest.columns import KNOWN, REPORT_START, missing_column, missing_image, read_header
from producers.manifest.entry import Problems, Row, Stand
from producers.manifest.formulas import unguarded
from producers.manifest.source import MAX_LINE, Source, wrong
from restyle.errors import ManifestError, Problem

DELIMITERS = ",;\t"
#: Characters of a header that tell its delimiter; the csv module takes no longer cell than 131,072.
_TOLD_BY = 65536


def delimiter_of(line: str) -> str:
    """The delimiter that splits a header into most columns of ours, then into most cells; a comma where none does."""

    def split(delimiter: str) -> tuple[int, int]:
        cells = next(csv.reader([line[:_TOLD_BY]], delimiter=delimiter), [])
        return sum(cell.strip().lower() in KNOWN for cell in cells), len(cells)

    return max(DELIMITERS, key=split)


class Table:
    """A CSV file whose first row names its columns."""

    def __init__(self, source: Source, renames: Mapping[str, str]) -> None:
        """Reads the header.

        Args:
            source: the file.
            renames: our name -> the file's column.

        Raises:
            ManifestError: the header cannot be used; everything wrong with it is told.
        """
        self._source = source
        first = next((line for line in islice(source.lines(), 100) if line.strip()), "")
        self._delimiter = delimiter_of(first)
        self._header_line, cells = next(self._cells(), (1, []))
        names = [cell.strip() for cell in cells]
        self.is_report = tuple(names[: len(REPORT_START)]) == REPORT_START
        if self.is_report:
            names = [unguarded(name) for name in names]
        self.names = tuple(names)
        self._width = len(names)
        self.header = read_header(names, renames, is_report=self.is_report)
        self._refuse_wrong_header(names, renames)

    def rows(self, problems: Problems) -> Iterator[Row]:
        """Streams the rows; one that has more cells than the header is a problem."""
        cells = self._cells()
        next(cells, None)
        known, kept = self.header.known, self.header.kept
        for line, row in cells:
            if self.is_report:
                row = [unguarded(cell) for cell in row]  # noqa: PLW2901 - the same row, as it was written
            if (width := len(row)) < self._width:
                row.extend([""] * (self._width - width))
            elif width > self._width and any(map(is_filled, row[self._width :])):
                reason = f"the row has {width} cells, the header {self._width}; is a quote or a delimiter amiss?"
                problems.add(self._source.name, line, "", reason)
                continue
            yield Row(
                self._source.name,
                line,
                {name: row[place] for place, name in known if is_filled(row[place])},
                {name: row[place] for place, name in kept if is_filled(row[place])},
            )

    def originals(self, stands: Collection[Stand]) -> Iterator[tuple[Stand, list[str]]]:
        """The cells of some rows as they stand in the file."""
        name = self._source.name
        return (((name, line), cells) for line, cells in self._cells() if (name, line) in stands)

    def _cells(self) -> Iterator[tuple[int, list[str]]]:
        """Rows that are not blank, with the line on which each begins."""
        reader = csv.reader(self._source.lines(), delimiter=self._delimiter, strict=True)
        with _long_cells():
            while True:
                begins = reader.line_num + 1
                try:
                    row = next(reader, None)
                except csv.Error as error:
                    reason = f"the row that begins here is no CSV ({error}); is a quote left open?"
                    raise wrong(self._source.name, reason, begins) from None
                if row is None:
                    return
                if any(map(is_filled, row)):
                    yield begins, row

    def _refuse_wrong_header(self, names: Sequence[str], renames: Mapping[str, str]) -> None:
        faults = list(self.header.faults)
        faults += [
            ("", missing_column(target, column, names))
            for target, column in renames.items()
            if column not in self.header.renamed
        ]
        if "image" not in self.header.names and not any(target == "image" for target in renames):
            faults.append(("image", missing_image(names)))
        if faults:
            raise ManifestError(
                [Problem(self._source.name, self._header_line, column, reason) for column, reason in faults]
            )


@contextmanager
def _long_cells() -> Iterator[None]:
    """Lets cells be as long as a line; the csv module's own limit of 131,072 is one for the whole process."""
    before = csv.field_size_limit(MAX_LINE)
    try:
        yield
    finally:
        csv.field_size_limit(before)
