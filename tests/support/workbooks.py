"""Workbooks made on the spot: .xlsx by a library, .xlsb and .ods by hand, as no library writes them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import date, datetime
from io import BytesIO
from xml.sax.saxutils import escape, quoteattr
from zipfile import ZipFile

import xlsxwriter

#: A cell: text, a number, a truth, a day, an error (`#N/A`), or nothing.
Cell = str | float | bool | date | None
_ERRORS = {"#NULL!": 0, "#DIV/0!": 7, "#VALUE!": 15, "#REF!": 23, "#NAME?": 29, "#NUM!": 36, "#N/A": 42}


def xlsx(rows: Sequence[Sequence[Cell]], *, sheet: str = "Products", before: Sequence[str] = ()) -> bytes:
    """A workbook with these rows in a sheet, behind hidden ones."""
    out = BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True}) as book:
        for name in before:
            book.add_worksheet(name).hide()
        page = book.add_worksheet(sheet)
        page.activate()
        page.set_first_sheet()
        day = book.add_format({"num_format": "yyyy-mm-dd"})
        for line, row in enumerate(rows):
            for column, cell in enumerate(row):
                if isinstance(cell, str) and cell in _ERRORS:
                    page.write_formula(line, column, "=NA()", None, cell)
                elif isinstance(cell, str):
                    page.write_string(line, column, cell)
                elif isinstance(cell, datetime | date):
                    page.write_datetime(line, column, cell, day)
                elif cell is not None:
                    page.write(line, column, cell)
    return out.getvalue()


def ods(rows: Sequence[Sequence[Cell]], *, sheet: str = "Products") -> bytes:
    """The same as LibreOffice writes it."""
    lines = "".join(f"<table:table-row>{''.join(map(_ods_cell, row))}</table:table-row>" for row in rows)
    names = "".join(
        f' xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("office", "table", "text")
    )
    calc = ' xmlns:calcext="urn:org:documentfoundation:names:experimental:calc:xmlns:calcext:1.0"'
    content = (
        f'<?xml version="1.0" encoding="UTF-8"?><office:document-content{names}{calc}><office:body><office:spreadsheet>'
        f"<table:table table:name={quoteattr(sheet)}>{lines}</table:table></office:spreadsheet></office:body>"
        "</office:document-content>"
    )
    manifest = '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"/>'
    return _zipped(
        {
            "mimetype": b"application/vnd.oasis.opendocument.spreadsheet",
            "content.xml": content.encode(),
            "META-INF/manifest.xml": manifest.encode(),
        }
    )


def _ods_cell(cell: Cell) -> str:
    text = f"<text:p>{escape(str(cell))}</text:p>"
    match cell:
        case None:
            return "<table:table-cell/>"
        case str() if cell in _ERRORS:
            kind = 'office:value-type="string" office:string-value="" calcext:value-type="error"'
        case str():
            kind = 'office:value-type="string" calcext:value-type="string"'
        case bool():
            kind = f'office:value-type="boolean" office:boolean-value="{str(cell).lower()}"'
        case date():
            kind = f'office:value-type="date" office:date-value="{cell.isoformat()}"'
        case _:
            kind = f'office:value-type="float" office:value="{cell}"'
    return f"<table:table-cell {kind}>{text}</table:table-cell>"


def xlsb(rows: Sequence[Sequence[Cell]], *, sheet: str = "Products") -> bytes:
    """The same in Excel's binary records; days are numbers without a style."""
    name = _wide(sheet)
    body = (
        _record(129) + _record(148, struct.pack("<IIII", 0, len(rows) - 1, 0, max(map(len, rows)) - 1)) + _record(145)
    )
    for line, row in enumerate(rows):
        body += _record(0, struct.pack("<I", line) + b"\0" * 12)
        body += b"".join(_xlsb_cell(column, cell) for column, cell in enumerate(row) if cell is not None)
    book = _record(131) + _record(143)
    book += _record(156, struct.pack("<II", 0, 1) + _wide("rId1") + name) + _record(144) + _record(132)
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    relation = '<Relationship Id="rId1" Type="{}" Target="{}"/>'
    frame = '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{}</Relationships>'
    return _zipped(
        {
            "[Content_Types].xml": b'<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>',
            "_rels/.rels": frame.format(relation.format(f"{kind}/officeDocument", "xl/workbook.bin")).encode(),
            "xl/_rels/workbook.bin.rels": frame.format(
                relation.format(f"{kind}/worksheet", "worksheets/sheet1.bin")
            ).encode(),
            "xl/workbook.bin": book,
            "xl/worksheets/sheet1.bin": body + _record(146) + _record(130),
        }
    )


def _xlsb_cell(column: int, cell: Cell) -> bytes:
    head = struct.pack("<II", column, 0)
    match cell:
        case str() if cell in _ERRORS:
            return _record(3, head + bytes([_ERRORS[cell]]))
        case str():
            return _record(6, head + _wide(cell))
        case bool():
            return _record(4, head + bytes([cell]))
        case date():
            return _record(5, head + struct.pack("<d", (cell - date(1899, 12, 30)).days))
        case _:
            return _record(5, head + struct.pack("<d", cell))


def _wide(text: str) -> bytes:
    return struct.pack("<I", len(text)) + text.encode("utf-16-le")


def _record(kind: int, body: bytes = b"") -> bytes:
    begin = bytes([kind]) if kind < 128 else bytes([kind & 0x7F | 0x80, kind >> 7])
    size, length = b"", len(body)
    while length > 127:
        size, length = size + bytes([length & 0x7F | 0x80]), length >> 7
    return begin + size + bytes([length]) + body


def _zipped(parts: dict[str, bytes]) -> bytes:
    out = BytesIO()
    with ZipFile(out, "w") as file:
        for name, content in parts.items():
            file.writestr(name, content)
    return out.getvalue()
