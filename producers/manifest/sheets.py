"""Workbooks as tables: .xlsx, .xlsm, .xlsb, .ods, by a process that may end for what they need. Read by forms.py."""

from __future__ import annotations

import difflib
import json
import os
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from producers.manifest import workbook_reader
from producers.manifest.cells import is_filled
from producers.manifest.source import Source, wrong

_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
_PARTS = frozenset({"xl/workbook.xml", "xl/workbook.bin"})
_ODS = b"application/vnd.oasis.opendocument.spreadsheet"
_SECRET = ("RESTYLE_", "SEGMIND_", "AWS_")


def is_workbook(source: Source) -> bool:
    """Whether a file is a workbook, by what is in it."""
    if source.is_gzip:
        return False
    if source.head.startswith(_OLE):
        return True
    if not source.head.startswith(_ZIP):
        return False
    try:
        with ZipFile(source.path) as parts:
            names = parts.namelist()
            if "mimetype" in names and "content.xml" in names:
                with parts.open("mimetype") as mimetype:
                    return mimetype.read(100).strip().startswith(_ODS)
            return not _PARTS.isdisjoint(names)
    except (BadZipFile, OSError, ValueError):
        return False


class Sheet:
    """A sheet of a workbook; lines are its rows, as the spreadsheet counts them."""

    def __init__(self, source: Source, sheet: str) -> None:
        """Has it read, once.

        Args:
            source: the workbook.
            sheet: its name; empty is the first that is not hidden.

        Raises:
            ManifestError: it cannot be read, or has no such sheet.
        """
        self.name = source.name
        descriptor, self._rows = tempfile.mkstemp(prefix="restyle-sheet-")
        os.close(descriptor)
        weakref.finalize(self, Path(self._rows).unlink, missing_ok=True)
        told = _read(source, sheet, self._rows)
        of = f" (of {len(told['sheets'])} sheets)" if len(told["sheets"]) > 1 and not sheet else ""
        self.form = f"a workbook, sheet {told['sheet']}{of}"

    def cells(self) -> Iterator[tuple[int, list[str]]]:
        """Rows that are not blank, with their numbers."""
        with Path(self._rows).open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                row: list[str] = json.loads(line)
                if any(map(is_filled, row)):
                    yield number, row

    def why_no_row(self, line: int, row: Sequence[str], width: int, image: int) -> str:  # noqa: ARG002 - of a Grid
        """Cells of a sheet are what they are."""
        return ""


def _read(source: Source, sheet: str, out: str) -> dict[str, list[str]]:
    command = [sys.executable, "-P", workbook_reader.__file__, str(source.path), sheet, out]
    # It opens what comes from anywhere, and needs no key for it.
    plain = {name: value for name, value in os.environ.items() if not name.startswith(_SECRET)}
    done = subprocess.run(command, capture_output=True, check=False, env=plain)
    try:
        told: dict[str, list[str]] = json.loads(done.stdout)
    except ValueError:
        reason = "is damaged, or needs too much memory or time to be read: save the sheet as CSV UTF-8 and give that"
        raise wrong(source.name, reason) from None
    error = str(told.get("error", ""))
    if error == "no sheet":
        close = difflib.get_close_matches(sheet, told["sheets"], 1)
        hint = f"did you mean {close[0]}?" if close else f"there are: {', '.join(told['sheets'][:20])}"
        raise wrong(source.name, f"--sheet {sheet}: there is no such sheet; {hint}")
    if error:
        raise wrong(source.name, error)
    return told
