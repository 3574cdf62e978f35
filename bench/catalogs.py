"""`python -m bench.catalogs FOLDER`: plans of large catalogs in each form: rows a second, and memory in all.

Makes a workbook of 1,000,000 rows, the same as Parquet, and a Merchant feed of 1 GB in the folder, where they are not
there yet; `--rows N` makes smaller ones. Nothing is uploaded: pictures are named in S3 and on the web.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from xml.sax.saxutils import escape
from zipfile import ZIP_DEFLATED, ZipFile

from bench.commands import restyle
from bench.usage import Peak, usage

COLUMNS = ("id", "image", "title", "category", "price")
#: Characters of a description in the feed, so that a million items are a gigabyte.
_DESCRIPTION = 560


def row(number: int) -> tuple[str, str, str, str, str]:
    """The cells of a product that nobody sells."""
    return (
        f"SKU-{number:07d}", f"https://cdn.shop.example/pictures/{number % 97}/{number:07d}.jpg",
        f"Mug no. {number} with a handle", f"Kitchen > Mugs {number % 40}", f"{number % 90 + 9}.90",
    )  # fmt: skip


def workbook(path: Path, rows: int) -> None:
    """A workbook as spreadsheets write it: each text once, in a part of its own, and cells that name them."""
    with ZipFile(path, "w", ZIP_DEFLATED, compresslevel=1) as parts:
        for name, text in _PARTS.items():
            parts.writestr(name, text)
        with parts.open("xl/sharedStrings.xml", "w", force_zip64=True) as part:
            part.write(f'{_HEAD}<sst xmlns="{_MAIN}">'.encode())
            part.write("".join(f"<si><t>{name}</t></si>" for name in COLUMNS).encode())
            for number in range(rows):
                part.write("".join(f"<si><t>{escape(cell)}</t></si>" for cell in row(number)[:4]).encode())
            part.write(b"</sst>")
        with parts.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as part:
            part.write(f'{_HEAD}<worksheet xmlns="{_MAIN}"><sheetData>'.encode())
            header = "".join(f'<c r="{letter}1" t="s"><v>{at}</v></c>' for at, letter in enumerate("ABCDE"))
            part.write(f'<row r="1">{header}</row>'.encode())
            for number in range(rows):
                line, first = number + 2, 5 + 4 * number
                cells = "".join(
                    f'<c r="{letter}{line}" t="s"><v>{first + at}</v></c>' for at, letter in enumerate("ABCD")
                )
                cells += f'<c r="E{line}"><v>{row(number)[4]}</v></c>'
                part.write(f'<row r="{line}">{cells}</row>'.encode())
            part.write(b"</sheetData></worksheet>")


def columnar(path: Path, rows: int) -> None:
    """The same rows as Parquet, in row groups of 100,000."""
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema([(name, pa.string()) for name in COLUMNS])
    with parquet.ParquetWriter(path, schema) as file:
        for start in range(0, rows, 100_000):
            cells = zip(*(row(number) for number in range(start, min(rows, start + 100_000))), strict=True)
            file.write_table(pa.table(dict(zip(COLUMNS, map(list, cells), strict=True)), schema=schema))


def feed(path: Path, rows: int) -> None:
    """A Merchant feed, about a kilobyte an item."""
    with path.open("w", encoding="utf-8") as file:
        file.write(f'{_HEAD}\n<rss version="2.0" xmlns:g="http://base.google.com/ns/1.0"><channel>\n')
        for number in range(rows):
            file.write(_item(number))
        file.write("</channel></rss>\n")


def _item(number: int) -> str:
    entry, image, title, category, price = map(escape, row(number))
    words = "A mug of fired clay, glazed by hand, for tea and for coffee. "
    words = (words * (_DESCRIPTION // len(words) + 1))[:_DESCRIPTION]
    fields = {
        "g:id": entry, "g:title": title, "g:description": words, "g:link": f"https://shop.example/p/{entry}",
        "g:image_link": image, "g:product_type": category, "g:price": f"{price} EUR", "g:condition": "new",
        "g:availability": "in stock", "g:brand": "Nobody",
    }  # fmt: skip
    return "<item>\n" + "".join(f"<{name}>{text}</{name}>\n" for name, text in fields.items()) + "</item>\n"


#: Each form: the name of its file, and what makes it.
FORMS: dict[str, tuple[str, Callable[[Path, int], None]]] = {
    "workbook (.xlsx)": ("catalog.xlsx", workbook),
    "Parquet": ("catalog.parquet", columnar),
    "Merchant feed (XML)": ("feed.xml", feed),
}


def measured(folder: Path, rows: int, chosen: Collection[str]) -> Iterator[str]:
    """A line of the page for each form."""
    env = {**os.environ, "RESTYLE_HOME": str(folder / "home"), "RESTYLE_FETCH_HTTP": "false"}
    for form, (name, make) in FORMS.items():
        if form not in chosen:
            continue
        path = folder / f"{rows}-{name}"
        if not path.exists():
            make(path, rows)
        command = restyle("plan", str(path), "--prompt", "studio photo of {title}", "--sandbox", "--json")
        began = time.monotonic()
        with (folder / "plan.out").open("wb") as out:
            process = subprocess.Popen(command, env=env, cwd=folder, stdout=out, stderr=subprocess.STDOUT)
            peak = Peak(process.pid, every=0.05)
            peak.start()
            cpu = 0.0
            while process.poll() is None:
                cpu = max(cpu, usage(process.pid).cpu)
                time.sleep(0.2)
            peak.stop()
        wall, size = time.monotonic() - began, path.stat().st_size / 1e6
        if process.returncode:
            raise SystemExit((folder / "plan.out").read_text()[-2000:])
        yield (f"| {form} | {rows:,} | {size:,.0f} MB | {rows / cpu:,.0f} | {wall:,.0f} s | {peak.rss / 1e6:,.0f} MB |")


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.catalogs", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--form", choices=FORMS, action="append", help="all, if not given; repeatable")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    sys.stdout.write("| form | rows | file | rows a second of CPU | wall | memory |\n|---|---|---|---|---|---|\n")
    for line in measured(options.folder.absolute(), options.rows, options.form or FORMS):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
_KIND = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_PARTS = {
    "[Content_Types].xml": f'{_HEAD}<Types xmlns="{_PACKAGE}/content-types"><Default Extension="rels"'
    ' ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{_KIND}.sheet.main+xml"/>'
    f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{_KIND}.worksheet+xml"/>'
    f'<Override PartName="/xl/sharedStrings.xml" ContentType="{_KIND}.sharedStrings+xml"/></Types>',
    "_rels/.rels": f'{_HEAD}<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="r1"'
    f' Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/workbook.xml": f'{_HEAD}<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>'
    '<sheet name="Products" sheetId="1" r:id="r1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": f'{_HEAD}<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="r1" Type="{_OFFICE}/worksheet" Target="worksheets/sheet1.xml"/>'
    f'<Relationship Id="r2" Type="{_OFFICE}/sharedStrings" Target="sharedStrings.xml"/></Relationships>',
}

if __name__ == "__main__":
    main()
