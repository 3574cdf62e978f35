"""Reads large .xlsx sheets row by row. Smaller ones are read by a library that holds a whole sheet in memory.

Used by workbook_reader.py, whose process limits memory and time. The format: ECMA-376, part 1, 18.2 to 18.8.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from zipfile import ZipFile

from producers.manifest.tables.sheet_parts import Formats, Texts, parse, parsed

#: A workbook is read row by row if its largest part has this many bytes, unpacked.
LARGE = 40_000_000
_LETTERS = re.compile(r"([A-Z]{1,3})(\d{1,7})")
_EPOCHS = {False: datetime(1899, 12, 30), True: datetime(1904, 1, 1)}  # noqa: DTZ001 - a sheet knows no zones
#: The most columns that a sheet can have.
_COLUMNS = 16_384


class NoSuchSheet(Exception):
    """The workbook has no sheet of that name."""


class LargeBook:
    """A workbook whose sheets are streamed."""

    def __init__(self, parts: ZipFile) -> None:
        """Reads the names of the sheets, but no cells."""
        self._parts = parts
        self._sheets: dict[str, str] = {}
        self.visible: list[str] = []
        self._is_1904 = False
        parse(parts, "xl/workbook.xml", self._workbook, lambda _name: None)
        self._targets: dict[str, str] = {}
        parse(parts, "xl/_rels/workbook.xml.rels", self._relation, lambda _name: None)
        charts = {name for name, number in self._sheets.items() if "chartsheets/" in self._targets.get(number, "")}
        self.visible = [name for name in self.visible if name not in charts]

    @staticmethod
    def is_one(parts: ZipFile) -> bool:
        """Whether a file is an .xlsx workbook large enough to be streamed."""
        sizes = {info.filename: info.file_size for info in parts.infolist()}
        large = max(
            (size for name, size in sizes.items() if name.startswith("xl/") and name.endswith(".xml")), default=0
        )
        return large >= LARGE and {"xl/workbook.xml", "xl/_rels/workbook.xml.rels"} <= sizes.keys()

    @property
    def names(self) -> list[str]:
        """The names of all sheets."""
        return [*self._sheets]

    def rows(self, sheet: str) -> Iterator[list[object]]:
        """The rows of a sheet; cells have the same types as the library gives them.

        Raises:
            NoSuchSheet: the workbook has no sheet of that name.
        """
        target = self._targets.get(self._sheets.get(sheet, ""))
        if target is None:
            raise NoSuchSheet(sheet)
        path = target.lstrip("/") if target.startswith("/") else posixpath.normpath(f"xl/{target}")
        formats = Formats()
        if "xl/styles.xml" in self._parts.namelist():
            parse(self._parts, "xl/styles.xml", formats.start, formats.end)
        with Texts() as texts:
            if "xl/sharedStrings.xml" in self._parts.namelist():
                parse(self._parts, "xl/sharedStrings.xml", texts.start, texts.end, texts.add)
            texts.finish()
            reader = _Sheet(texts, formats, _EPOCHS[self._is_1904])
            for _ in parsed(self._parts, path, reader.start, reader.end, reader.add):
                yield from reader.take()
            yield from reader.take()

    def _workbook(self, name: str, given: dict[str, str]) -> None:
        if name == "workbookPr":
            self._is_1904 = given.get("date1904", "") in {"1", "true"}
        elif name == "sheet":
            self._sheets[given.get("name", "")] = given.get("id", "")
            self.visible += [given.get("name", "")] if given.get("state", "visible") == "visible" else []

    def _relation(self, name: str, given: dict[str, str]) -> None:
        if name == "Relationship":
            self._targets[given.get("Id", "")] = given.get("Target", "")


class _Sheet:
    """Makes rows from the XML elements of a sheet."""

    def __init__(self, texts: Texts, formats: Formats, epoch: datetime) -> None:
        self._texts, self._formats, self._epoch = texts, formats, epoch
        self._rows: list[list[object]] = []
        self._cells: list[object] = []
        self._row = 0
        self._given: dict[str, str] = {}
        self._parts: list[str] = []
        self._is_value = self._in_phonetic = False

    def take(self) -> list[list[object]]:
        """The rows that are complete; each is given once."""
        rows, self._rows = self._rows, []
        return rows

    def start(self, name: str, given: dict[str, str]) -> None:
        """An element begins."""
        if name == "c":
            self._given, self._parts = given, []
        elif name in {"v", "t"}:
            self._is_value = not self._in_phonetic
        elif name == "rPh":
            self._in_phonetic = True
        elif name == "row":
            number = int(given.get("r") or self._row + 1)
            self._rows += [[] for _ in range(min(number, 1_048_576) - self._row - 1)]
            self._row, self._cells = max(number, self._row + 1), []

    def add(self, text: str) -> None:
        """Characters between elements."""
        if self._is_value:
            self._parts.append(text)

    def end(self, name: str) -> None:
        """An element ends."""
        if name in {"v", "t"}:
            self._is_value = False
        elif name == "rPh":
            self._in_phonetic = False
        elif name == "c":
            at = _LETTERS.fullmatch(self._given.get("r", ""))
            place = _column(at[1]) if at else len(self._cells)
            self._cells += [""] * (min(place, _COLUMNS) - len(self._cells))
            self._cells.append(self._value("".join(self._parts)))
        elif name == "row":
            self._rows.append(self._cells)

    def _value(self, text: str) -> object:
        kind = self._given.get("t", "n")
        if kind == "s":
            return self._texts.of(int(text)) if text.strip().isdecimal() else ""
        if kind == "b":
            return text.strip() == "1"
        if kind != "n" or not text.strip():
            return text
        try:
            number = float(text)
        except ValueError:
            return text
        style = int(self._given.get("s", "0") or 0)
        if style >= len(self._formats.kinds):
            return number
        if (width := self._formats.widths[style]) and number.is_integer() and number >= 0:
            return str(int(number)).zfill(width)
        known = self._formats.kinds[style]
        return self._moment(number, known) if known else number

    def _moment(self, number: float, kind: str) -> object:
        """A number as a date, a time, both, or a duration; the number itself where it is out of range."""
        try:
            span = timedelta(milliseconds=round(number * 86_400_000))
            if kind == "span":
                return span
            moment = self._epoch + span
        except (OverflowError, ValueError):
            return number
        if number < 1:
            return moment.time()
        return moment.date() if number.is_integer() else moment


def _column(letters: str) -> int:
    place = 0
    for letter in letters:
        place = 26 * place + ord(letter) - 64
    return place - 1
