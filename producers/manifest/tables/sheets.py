"""Workbooks as tables: .xlsx, .xlsm, .xlsb, .ods, read in a process with bounds of its own. Used by forms.py."""

from __future__ import annotations

import difflib
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from producers.manifest.source import Source, wrong
from producers.manifest.tables.spooled import Spooled

#: Run as a process, never imported: workers do not need its libraries.
_READER = str(Path(__file__).with_name("workbook_reader.py"))
_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
_PARTS = frozenset({"xl/workbook.xml", "xl/workbook.bin"})
_ODS = b"application/vnd.oasis.opendocument.spreadsheet"


def is_workbook(source: Source) -> bool:
    """Whether a file is a workbook, by its content."""
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


def rows_of(source: Source, sheet: str) -> Spooled:
    """The rows of a sheet, by the numbers that the spreadsheet gives them.

    Args:
        source: the workbook.
        sheet: its name; empty is the first that is not hidden.

    Raises:
        ManifestError: it cannot be read, or has no such sheet.
    """
    rows = Spooled(source, _READER, sheet, first_line=1)
    error = str(rows.answer.get("error", ""))
    if error == "no sheet":
        close = difflib.get_close_matches(sheet, rows.answer["sheets"], 1)
        hint = f"did you mean {close[0]}?" if close else f"there are: {', '.join(rows.answer['sheets'][:20])}"
        raise wrong(source.name, f"--sheet {sheet}: there is no such sheet; {hint}")
    if error:
        raise wrong(source.name, error)
    sheets = rows.answer["sheets"]
    rows.form = f"a workbook, sheet {rows.answer['sheet']}"
    if len(sheets) > 1 and not sheet:
        rows.form += f" (of {len(sheets)} sheets)"
    return rows
