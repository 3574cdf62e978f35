"""CSV and similar tables: cells between delimiters, with line numbers as an editor counts them. Used by table.py."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

from producers.manifest.cells.columns import KNOWN, is_image_alias
from producers.manifest.cells.values import is_filled
from producers.manifest.place import names_a_picture
from producers.manifest.source import MAX_LINE, Source, wrong

DELIMITERS = ",;\t|"
_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
#: A first line by which programs tell Excel the delimiter.
_SEPARATOR_LINE = re.compile(rf'\ufeff?"?sep=([{DELIMITERS}])"?\s*', re.IGNORECASE)
#: Characters of a header by which its delimiter is recognised; the csv module takes cells of 131,072 at most.
_HEADER_CHARACTERS = 65536
#: From this many columns on, lines with as many cells as the header count as rows, not as text with commas.
_ROW_LIKE = 4


def delimiter_of(line: str) -> str:
    """The delimiter that splits a header into most of our columns, then into most cells; else a comma."""

    def split(delimiter: str) -> tuple[int, int]:
        cells = next(csv.reader([line[:_HEADER_CHARACTERS]], delimiter=delimiter), [])
        return sum(cell.strip().lower() in KNOWN or is_image_alias(cell) for cell in cells), len(cells)

    return max(DELIMITERS, key=split)


def csv_rows(name: str, lines: Iterator[str], delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """The rows of a file that are not empty, with the line on which each begins.

    Raises:
        ManifestError: they are no CSV.
    """
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        begins = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            reason = f"the row that begins here is no CSV ({error}); is a quote left open?"
            raise wrong(name, reason, begins) from None
        if row is None:
            return
        if row:
            yield begins, row


class Delimited:
    """A text of rows with delimited cells."""

    def __init__(self, source: Source) -> None:
        """Recognises the delimiter by the first line that is not blank: a header, or `sep=;`, which is no row."""
        self._source = source
        self.name, self.is_guarded = source.name, True
        self.unread: Sequence[str] = ()
        first = next((line for line in islice(source.lines(), 100) if line.strip()), "")
        separator = _SEPARATOR_LINE.fullmatch(first)
        self._before = 1 if separator else 0
        self._delimiter = separator.group(1) if separator else delimiter_of(first)
        self.form = f"a table ({_NAMES[self._delimiter]})"

    def cells(self) -> Iterator[tuple[int, list[str]]]:
        """Rows that are not blank, with the line on which each begins."""
        with _long_cells():
            rows = csv_rows(self.name, self._source.lines(), self._delimiter)
            yield from islice(((begins, row) for begins, row in rows if any(map(is_filled, row))), self._before, None)

    def why_no_row(self, line: int, row: Sequence[str], width: int, image: int) -> str:
        """Why a row cannot be intended: a quote that was left open has swallowed the next rows. Empty where it can.

        Args:
            line: where it begins.
            row: its cells.
            width: how many cells the header has.
            image: which of them is the image; -1 where none is.
        """
        for cell in row:
            if ("\n" in cell or "\r" in cell) and self._holds_rows(cell, width, image):
                last = line + sum(len(one.splitlines()) - 1 for one in row if one)
                return f"the quote that opens here swallows lines {line} to {last}; is one left open?"
        return ""

    def _holds_rows(self, cell: str, width: int, image: int) -> bool:
        """Whether a cell's lines after the first are rows: with a picture in the image column, or all of one width."""
        lines = [line for line in cell.splitlines()[1:] if line.strip()]
        rows = list(csv.reader(lines, delimiter=self._delimiter))
        if any(len(row) > image >= 0 and len(row) > 1 and names_a_picture(row[image].strip()) for row in rows):
            return True
        return width >= _ROW_LIKE and len(rows) > 1 and all(len(row) == width for row in rows)


@contextmanager
def _long_cells() -> Iterator[None]:
    """Lets cells be as long as a line; the csv module's own limit of 131,072 is one for the whole process."""
    before = csv.field_size_limit(MAX_LINE)
    try:
        yield
    finally:
        csv.field_size_limit(before)
