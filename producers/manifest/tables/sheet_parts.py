"""The parts of a workbook that a large sheet's cells refer to: shared texts and formats."""

from __future__ import annotations

import os
import re
import tempfile
from array import array
from collections.abc import Callable, Iterator
from typing import IO
from xml.parsers import expat
from zipfile import ZipFile

_CHUNK = 1 << 16


#: Formats of dates and times that have no text (18.8.30).
_DATES = frozenset({*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)})


#: A format of zeros alone, as of article numbers.
_ZEROS = re.compile(r"(0{2,100})(?:;.*)?")
_QUOTED = re.compile(r'"[^"]*"|\\.|\[[^\]]*\]|_.|\*.')


Started = Callable[[str, dict[str, str]], None]


Ended = Callable[[str], None]


class Texts:
    """The texts that cells share: in a file, found by their places."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._places = array("Q", [0])
        self._parts: list[str] = []
        self._is_text, self._in_phonetic = False, False

    def __enter__(self) -> Texts:
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()

    def start(self, name: str, _given: dict[str, str]) -> None:
        """An element begins."""
        if name == "t":
            self._is_text = not self._in_phonetic
        elif name == "rPh":
            self._in_phonetic = True

    def add(self, text: str) -> None:
        """Characters between elements."""
        if self._is_text:
            self._parts.append(text)

    def end(self, name: str) -> None:
        """An element ends."""
        if name == "t":
            self._is_text = False
        elif name == "rPh":
            self._in_phonetic = False
        elif name == "si":
            data = "".join(self._parts).encode()
            self._parts.clear()
            self._file.write(data)
            self._places.append(self._places[-1] + len(data))

    def finish(self) -> None:
        """All are there."""
        self._file.flush()

    def of(self, number: int) -> str:
        """A text by its number; empty where there is none."""
        if not 0 <= number < len(self._places) - 1:
            return ""
        start, stop = self._places[number], self._places[number + 1]
        return os.pread(self._file.fileno(), stop - start, start).decode()


class Formats:
    """Which styles of cells are dates, which of them spans of time, and which numbers with zeros in front."""

    def __init__(self) -> None:
        self._custom: dict[int, str] = {}
        self._in_cells = False
        self.kinds: list[str] = []
        self.widths: list[int] = []
        """Digits that a format of zeros alone shows at least: 4 of `0000`, and 0 of all others."""

    def start(self, name: str, given: dict[str, str]) -> None:
        """An element begins."""
        number = int(given.get("numFmtId", "0") or 0) if name in {"numFmt", "xf"} else 0
        if name == "numFmt":
            self._custom[number] = given.get("formatCode", "")
        elif name == "cellXfs":
            self._in_cells = True
        elif name == "xf" and self._in_cells:
            self.kinds.append(self._kind(number))
            zeros = _ZEROS.fullmatch(self._custom.get(number, ""))
            self.widths.append(len(zeros[1]) if zeros else 0)

    def end(self, name: str) -> None:
        """An element ends."""
        if name == "cellXfs":
            self._in_cells = False

    def _kind(self, number: int) -> str:
        code = self._custom.get(number)
        if code is None:
            return "span" if number == 46 else "date" if number in _DATES else ""
        if re.search(r"\[(h+|m+|s+)\]", code, re.IGNORECASE):
            return "span"
        plain = _QUOTED.sub("", code.partition(";")[0])
        return "date" if re.search(r"[dmyhs]", plain, re.IGNORECASE) and "general" not in plain.lower() else ""


def parse(
    parts: ZipFile, path: str, start: Started, end: Ended, add: Callable[[str], None] = lambda _text: None
) -> None:  # fmt: skip
    """Reads all of a part."""
    for _ in parsed(parts, path, start, end, add):
        pass


def parsed(parts: ZipFile, path: str, start: Started, end: Ended, add: Callable[[str], None]) -> Iterator[None]:
    """Reads a part bit by bit, by the local names of its elements and attributes.

    Raises:
        ValueError: it is no XML, or has a document type.
    """
    parser = expat.ParserCreate(namespace_separator="}")
    parser.buffer_text = True
    parser.StartElementHandler = lambda name, given: start(
        name.rpartition("}")[2], {key.rpartition("}")[2]: text for key, text in given.items()}
    )
    parser.EndElementHandler = lambda name: end(name.rpartition("}")[2])
    parser.CharacterDataHandler = add
    parser.StartDoctypeDeclHandler = _refuse
    try:
        with parts.open(path) as part:
            while chunk := part.read(_CHUNK):
                parser.Parse(chunk, False)
                yield
            parser.Parse(b"", True)
            yield
    except expat.ExpatError as error:
        raise ValueError(f"{path}: {error}") from None


def _refuse(*_given: object) -> None:
    raise ValueError("has a document type of its own")
