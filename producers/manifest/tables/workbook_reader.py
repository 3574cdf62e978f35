"""A program of its own: writes the rows of a workbook's sheet to a file, a JSON list a line. Started by sheets.py.

A workbook may be made to need any amount of memory or time (a cell at the far end of an empty sheet is enough), so it
is read by a process that may end for it. The library gives no errors of formulas: they become text first.
"""

from __future__ import annotations

import json
import re
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from datetime import date, datetime, time
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from zipfile import BadZipFile, ZipFile, is_zipfile

from python_calamine import (
    CalamineError,
    CalamineSheet,
    CalamineWorkbook,
    PasswordError,
    SheetTypeEnum,
    SheetVisibleEnum,
)

from producers.manifest.tables.sheet_parts import Formats, parse
from producers.manifest.tables.sheet_stream import LargeBook, NoSuchSheet
from restyle.runtime.handing_over import TooMuch, bound, write_rows

#: Bytes of memory and seconds of CPU that reading may take.
_MEMORY, _SECONDS = 3_000_000_000, 600
#: Sheets that are named in an error; a name has 31 characters at most.
_MAX_SHEETS = 1000
#: Sheets that have cells.
_TABLES = (SheetTypeEnum.WorkSheet, SheetTypeEnum.MacroSheet)
_XML_ERROR = re.compile(rb'(<(?:\w+:)?c\b[^>]*?\s)t="e"')
_NUMBER = re.compile(
    rb'(?P<head><(?:\w+:)?c\b[^>]*?\ss="(?P<style>\d{1,6})"[^>/]*>)'
    rb"(?P<formula>(?:<(?:\w+:)?f\b[^>]*/>|<(?:\w+:)?f\b[^>]*>[^<]*</(?:\w+:)?f>)?<(?:\w+:)?v>)"
    rb"(?P<number>\d{1,15})(?:\.0{1,9})?(?=</)"
)
_TYPE = re.compile(rb'\st="n"')
_ODS_ERROR = re.compile(rb'(<table:table-cell\b[^>]*?)\soffice:value-type="\w+"([^>]*?\scalcext:value-type=)"error"')
_ODS_VALUE = re.compile(rb'\soffice:(?:string-)?value="[^"]*"')
#: What the records of a binary sheet say by one byte.
_ERRORS = {0: "#NULL!", 7: "#DIV/0!", 15: "#VALUE!", 23: "#REF!", 29: "#NAME?", 36: "#NUM!", 42: "#N/A"}
_CELL_ERROR, _FORMULA_ERROR, _CELL_TEXT = 3, 11, 6


def main(path: str, sheet: str, out: str, most: str) -> dict[str, object]:
    """Writes the rows, so many bytes at most; answers with the sheet's name and those of all, or with `error`."""
    bound(memory=_MEMORY, seconds=_SECONDS, most=int(most))
    try:
        if (large := _large(path, sheet, out, int(most))) is not None:
            return large
        workbook = CalamineWorkbook.from_filelike(BytesIO(_with_texts(Path(path).read_bytes())))
        names = [
            one.name
            for one in workbook.sheets_metadata
            if one.visible is SheetVisibleEnum.Visible and one.typ in _TABLES
        ]
        names = names or workbook.sheet_names
        chosen = sheet or (names[0] if names else "")
        if chosen not in workbook.sheet_names:
            return {"error": "no sheet", "sheets": workbook.sheet_names[:_MAX_SHEETS]}
        write_rows(out, _rows(workbook.get_sheet_by_name(chosen)), first=1, most=int(most))
    except TooMuch as error:
        return {"error": str(error)}
    except PasswordError:
        return {"error": "is protected by a password: save it without one"}
    except MemoryError:
        return {"error": "needs too much memory to be read: save the sheet as CSV UTF-8"}
    except (CalamineError, NoSuchSheet, BadZipFile, zlib.error, EOFError, OSError, ValueError, LookupError) as error:
        return {"error": f"is no workbook that can be read ({str(error)[:200] or type(error).__name__})"}
    return {"sheet": chosen, "sheets": names[:_MAX_SHEETS]}


def _large(path: str, sheet: str, out: str, most: int) -> dict[str, object] | None:
    """The same for a workbook whose sheets are too large to be read at once; None: it is another."""
    if not is_zipfile(path):
        return None
    with ZipFile(path) as parts:
        if not LargeBook.is_one(parts):
            return None
        book = LargeBook(parts)
        names = book.visible or book.names
        chosen = sheet or (names[0] if names else "")
        if chosen not in book.names:
            return {"error": "no sheet", "sheets": book.names[:_MAX_SHEETS]}
        write_rows(out, ([_text(cell) for cell in row] for row in book.rows(chosen)), first=1, most=most)
    return {"sheet": chosen, "sheets": names[:_MAX_SHEETS]}


def _rows(sheet: CalamineSheet) -> Iterator[list[str]]:
    return ([_text(cell) for cell in row] for row in sheet.iter_rows())


def _text(cell: object) -> str:
    """A cell as the sheet shows it: whole numbers without a point, none with an exponent, days as ISO has them."""
    match cell:
        case str():
            return cell.encode(errors="replace").decode()
        case bool():
            return str(cell).upper()
        case float():
            return str(int(cell)) if cell.is_integer() else format(Decimal(format(cell, ".15g")), "f")
        case datetime() | date() | time():
            return cell.isoformat()
        case _:
            return str(cell)


def _with_texts(data: bytes) -> bytes:
    """The workbook with text in the place of errors of formulas, and of numbers that are shown with zeros in front."""
    if not data.startswith(b"PK"):
        return data
    with ZipFile(BytesIO(data)) as old:
        widths = _widths(old)
        mend: dict[str, Callable[[bytes], bytes]] = {
            ".xml": lambda sheet: _padded(_mended_xml(sheet), widths), ".bin": _mended_binary,
        }  # fmt: skip
        mended: dict[str, bytes] = {}
        for name in old.namelist():
            is_sheet = name.startswith("xl/worksheets/") and name.count("/") == 2 and name[-4:] in mend
            if is_sheet or name == "content.xml":
                before = old.read(name)
                if (after := mend[name[-4:]](before)) != before:
                    mended[name] = after
        if not mended:
            return data
        new = BytesIO()
        with ZipFile(new, "w") as written:
            for name in old.namelist():
                written.writestr(name, mended.get(name) or old.read(name))
    return new.getvalue()


def _mended_xml(sheet: bytes) -> bytes:
    def as_text(cell: re.Match[bytes]) -> bytes:
        return (
            _ODS_VALUE.sub(b"", cell[1]) + b' office:value-type="string"' + _ODS_VALUE.sub(b"", cell[2]) + b'"string"'
        )

    return _XML_ERROR.sub(rb'\1t="str"', _ODS_ERROR.sub(as_text, sheet))


def _widths(parts: ZipFile) -> list[int]:
    """Digits that a format of zeros shows at least, by the number of a cell's style."""
    formats = Formats()
    if "xl/styles.xml" in parts.namelist():
        parse(parts, "xl/styles.xml", formats.start, formats.end)
    return formats.widths if any(formats.widths) else []


def _padded(sheet: bytes, widths: list[int]) -> bytes:
    """A sheet whose numbers with such a format are text, as it shows them: 0017."""

    def shown(cell: re.Match[bytes]) -> bytes:
        style = int(cell["style"])
        width = widths[style] if style < len(widths) else 0
        head = _TYPE.sub(b"", cell["head"])
        if len(cell["number"]) >= width or b" t=" in head:
            return cell.group()
        return head[:-1] + b' t="str">' + cell["formula"] + cell["number"].zfill(width)

    return _NUMBER.sub(shown, sheet) if widths else sheet


def _mended_binary(sheet: bytes) -> bytes:
    """Records of errors as records of text: column, style, and the error's name with its length."""
    parts, at, kept = [], 0, 0
    while at < len(sheet):
        begin = at
        kind, at = _varying(sheet, at, 2)
        size, at = _varying(sheet, at, 4)
        if kind in {_CELL_ERROR, _FORMULA_ERROR} and size >= 9:
            text = _ERRORS.get(sheet[at + 8], "#ERROR!").encode("utf-16-le")
            body = sheet[at : at + 8] + struct.pack("<I", len(text) // 2) + text
            parts += [sheet[kept:begin], bytes([_CELL_TEXT, len(body)]), body]
            kept = at + size
        at += size
    return b"".join([*parts, sheet[kept:]])


def _varying(data: bytes, at: int, most: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where it ends."""
    number = 0
    for place in range(most):
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            break
    return number, at


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:5])))  # noqa: T201 - what sheets.py reads
