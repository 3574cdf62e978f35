"""Workbooks as manifests: cells as their sheet shows them, and what a spreadsheet does to ids."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pytest
import xlsxwriter
from python_calamine import CalamineWorkbook

from producers.manifest import ReadOptions, open_manifest
from producers.manifest.tables.sheet_stream import LargeBook, NoSuchSheet
from reports.sheet import write_sheet
from restyle.errors import ConfigurationError, ManifestError
from restyle.keys import Workspace
from restyle.models import Params
from tests.support.manifests import good, read, read_file, refusal
from tests.support.reports import a_run, done, failed, job_of
from tests.support.workbooks import Cell, ods, xlsb, xlsx

KINDS = (xlsx, xlsb, ods)
ROWS: list[list[Cell]] = [
    ["id", "image", "strength", "title", "sold", "since"],
    ["0017", "s3://b/a.jpg", 0.5, "Mug", True, None],
    [None, None, None, None, None, None],
    ["x", "s3://b/b.jpg", None, 4006381333931, None, date(2026, 1, 31)],
]


@pytest.mark.parametrize("kind", KINDS)
def test_cells_are_text_as_the_sheet_shows_it(kind: Callable[..., bytes]) -> None:
    """Ids keep their zeros, whole numbers have no point, none has an exponent, days are ISO; lines are the sheet's."""
    found = good(kind(ROWS))
    assert (found.ids, found.lines) == (["0017", "x"], [2, 4])
    assert found.entries[0].params == {"strength": 0.5}
    assert found.entries[0].meta == {"title": "Mug", "sold": "TRUE"}
    since = "46053" if kind is xlsb else "2026-01-31"  # which is written without a style
    assert found.entries[1].meta == {"title": "4006381333931", "since": since}
    assert found.manifest.form == "a workbook, sheet Products"


@pytest.mark.parametrize("kind", KINDS)
def test_numbers(kind: Callable[..., bytes]) -> None:
    """As they are shown, whatever a computer makes of them."""
    shown = {17: "17", 1e-7: "0.0000001", 1e20: "1" + "0" * 20, 0.1 + 0.2: "0.3", -2.5: "-2.5"}
    found = good(kind([["image", "n"], *(["s3://b/a.jpg", number] for number in shown)]))
    assert [entry.meta["n"] for entry in found.entries] == list(shown.values())


@pytest.mark.parametrize("kind", KINDS)
def test_failed_formulas_are_bad_lines_where_they_are_used(kind: Callable[..., bytes]) -> None:
    """They are no empty cells: a parameter that failed is no default, an id that failed is no picture's name."""
    errors = ["#N/A", "#DIV/0!", "#REF!"]
    bad: list[list[Cell]] = [["a", "s3://b/a.jpg", error, error] for error in errors]
    told = read(kind([["id", "image", "strength", "other"], *bad, [errors[0], "s3://b/b.jpg", 0.5, None]])).told
    assert [line.partition(", which")[0] for line in told] == [
        *(f"{line}: strength: reads {error}" for line, error in enumerate(errors, 2)), "5: id: reads #N/A",
    ]  # fmt: skip


def test_sheets_by_name() -> None:
    """The first that is not hidden, or the one that is named; a name that is none is told with those there are."""
    book = xlsx(ROWS, before=["Notes"])
    assert good(book).ids == ["0017", "x"]
    assert good(book, options=ReadOptions(sheet="Products")).ids == ["0017", "x"]
    assert "--sheet products: there is no such sheet; did you mean Products?" in refusal(
        book, options=ReadOptions(sheet="products")
    )
    assert "there are: Notes, Products" in refusal(book, options=ReadOptions(sheet="zzz"))
    assert "--sheet A: this is no workbook" in refusal("image\na.jpg\n", options=ReadOptions(sheet="A"))


def test_a_chart_is_no_sheet_with_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may stand first; a sheet of no rows is told as that."""
    out = BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True}) as book:
        sheet, chart = book.add_chartsheet("Sales"), book.add_chart({"type": "line"})
        book.add_worksheet("Products").write_column(0, 0, ["image", "s3://b/a.jpg"])
        chart.add_series({"values": "=Products!$A$1:$A$2"})
        sheet.set_chart(chart)
    assert good(out.getvalue()).images == ["s3://b/a.jpg"]
    with ZipFile(out) as parts:
        assert LargeBook(parts).visible == ["Products"]
    assert "is a workbook, sheet Products without any rows" in refusal(xlsx([]))


def test_numbers_that_are_shown_with_zeros_in_front() -> None:
    """Article numbers by their format, as the sheet shows them: of a small sheet, and of a large one."""
    out = BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True}) as book:
        page, short = book.add_worksheet("P"), book.add_format({"num_format": "0000"})
        page.write_row(0, 0, ["id", "image", "ean", "price"])
        page.write_number(1, 0, 17, short)
        page.write_string(1, 1, "s3://b/a.jpg")
        page.write_formula(1, 2, "=A2*10", book.add_format({"num_format": "00000000;@"}), 170)
        page.write_number(1, 3, 17, book.add_format({"num_format": "0.00"}))
        page.write_number(2, 0, 12345, short)
        page.write_string(2, 1, "s3://b/b.jpg")
        page.write_number(2, 2, 1.5, short)
    found = good(out.getvalue())
    assert found.ids == ["0017", "12345"]
    assert [entry.meta for entry in found.entries] == [{"ean": "00000170", "price": "17"}, {"ean": "1.5"}]
    with ZipFile(out) as parts:
        rows = [[str(cell).removesuffix(".0") for cell in row] for row in LargeBook(parts).rows("P")]
    assert rows[1:] == [["0017", "s3://b/a.jpg", "00000170", "17"], ["12345", "s3://b/b.jpg", "1.5"]]


@pytest.mark.parametrize(
    ("what", "by"),
    [
        (rb'(<c r="\w+" s="\d")(><v>|><f>)', rb'\1 t="n"\2'),
        (rb'<c (r="\w+") (s="\d")(><v>|><f>)', rb'<c t="n" \2 \1\3'),
        (rb"<v>(17|12345)</v>", rb"<v>\1.0</v>"),
        (rb"<(/?)(worksheet|sheetData|row|c|v|f|is|t)\b", rb"<\1x:\2"),
    ],
    ids=["as LibreOffice and openpyxl", "in any order", "as Google Sheets", "with a prefix"],
)
def test_numbers_with_zeros_in_front_whoever_wrote_them(what: bytes, by: bytes) -> None:
    """The type may be named, a whole number may have a point, and names a prefix."""
    out, other = BytesIO(), BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True}) as book:
        page, short = book.add_worksheet("P"), book.add_format({"num_format": "0000"})
        page.write_row(0, 0, ["id", "image", "ean"])
        for line, number in enumerate((17, 12345), 1):
            page.write_number(line, 0, number, short)
            page.write_string(line, 1, f"s3://b/{number}.jpg")
            page.write_formula(line, 2, "=A2", short, number)
    with ZipFile(out) as old, ZipFile(other, "w") as new:
        for name in old.namelist():
            part, is_sheet = old.read(name), name == "xl/worksheets/sheet1.xml"
            mended = re.sub(what, by, part) if is_sheet else part
            assert (mended != part) == is_sheet
            new.writestr(name, mended.replace(b"xmlns=", b"xmlns:x=") if b"<x:c" in mended else mended)
    found = good(other.getvalue())
    assert (found.ids, [entry.meta["ean"] for entry in found.entries]) == (["0017", "12345"], ["0017", "12345"])


@pytest.mark.parametrize("name", ["m.xlsx", "m.xlsm", "m.csv", "m"])
def test_a_workbook_is_known_by_what_is_in_it(name: str) -> None:
    """Whatever its name says."""
    Path(name).write_bytes(xlsx(ROWS))
    assert open_manifest(name, store=None).form == "a workbook, sheet Products"


def test_titles_above_the_header_are_told() -> None:
    """Which line looks like the header is said, of sheets and of CSV."""
    rows: list[list[Cell]] = [["Product list 2026"], [], ["id", "Image"], ["0017", "s3://b/a.jpg"]]
    assert "-:1: image: there is no such column; line 3 looks like the header" in refusal(xlsx(rows))
    assert "line 3 looks like the header" in refusal("Product list\n\nid,image_link\na,s3://b/a.jpg\n")


def test_lost_zeros_are_warned_of() -> None:
    """A number among longer ids was a longer one before a spreadsheet took its zeros off; a count from 1 was not."""
    rows: list[list[Cell]] = [["id", "image"], ["0042", "s3://b/a.jpg"], [17, "s3://b/b.jpg"], ["4711", "s3://b/c.jpg"]]
    (warning,) = good(xlsx(rows)).warnings
    assert warning.startswith("1 id is a number with fewer digits than the others, which have 4 (line 3)")
    codes = [str(4006381333931 + n) for n in range(9)]
    table = "id,image\n" + "".join(f"{code},s3://b/{n}.jpg\n" for n, code in enumerate([*codes, "638133393"]))
    assert "which have 13 (line 11)" in good(table).warnings[0]
    counted = "id,image\n" + "".join(f"{n},s3://b/{n}.jpg\n" for n in range(1, 1200))
    assert good(counted).warnings == []


# -- large sheets -------------------------------------------------------------------------------------------

#: Formats of cells, by what stands in them.
FORMATS: list[tuple[str, object]] = [
    ("yyyy-mm-dd", date(2026, 1, 31)), ("yyyy-mm-dd hh:mm:ss", datetime(2026, 1, 31, 13, 5, 9)),  # noqa: DTZ001 - as sheets have it
    ("hh:mm", time(7, 30)),
    ("[h]:mm", 1.5), ('#,##0.00 "EUR md"', 12.5), ("0%", 0.25), ("dd/mm/yy", 46053), ("General", 46053),
    ("[$-409]mmm", 46053), ("_-* #,##0.00 _-", 3.25),
]  # fmt: skip


def test_a_large_sheet_is_read_as_a_small_one() -> None:
    """Row by row, and cell by cell what the library has: texts, dates, gaps, formulas, hidden sheets."""
    out = BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True}) as book:
        book.add_worksheet("Hidden").hide()
        page = book.add_worksheet("Products")
        page.activate()
        page.set_first_sheet()
        page.write_row(0, 0, ["id", "x & <y>", " space ", "\u00fc\u2603"])
        page.write_string(2, 5, "behind gaps")
        for place, (form, value) in enumerate(FORMATS):
            page.write(3, place, value, book.add_format({"num_format": form}))
        page.write_row(4, 0, [True, False, 4006381333931, 1e-7, 1e20, 0.1 + 0.2, -2.5])
        page.write_formula(5, 0, "=1+1", None, 2)
        page.write_formula(5, 1, '="a"', None, "a")
        page.write_rich_string(5, 2, "a ", book.add_format({"bold": True}), "bold", " z")
        page.write_blank(5, 3, None, book.add_format({"num_format": "yyyy-mm-dd"}))
        page.write_string(9, 0, "line\nbreak")
    own = LargeBook(ZipFile(out))
    out.seek(0)
    library = CalamineWorkbook.from_filelike(out)
    assert (own.names, own.visible) == (["Hidden", "Products"], ["Products"])
    for name in own.names:
        rows = [[*row] for row in library.get_sheet_by_name(name).iter_rows()]
        assert [*map(bare, own.rows(name))] == [*map(bare, rows)]
    with pytest.raises(NoSuchSheet):
        next(own.rows("Notes"))


def bare(row: Sequence[object]) -> list[object]:
    """A row without the empty cells at its end."""
    cells = list(row)
    while cells and cells[-1] == "":
        cells.pop()
    return cells


@pytest.mark.parametrize("part", ["xl/sharedStrings.xml", "xl/worksheets/sheet1.xml", "xl/workbook.xml"])
def test_entities_of_a_large_sheet_are_not_read(part: str) -> None:
    """They could unpack to any size."""
    out = BytesIO()
    with ZipFile(BytesIO(xlsx(ROWS))) as old, ZipFile(out, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == part:
                data = data.replace(b"?>", b'?><!DOCTYPE x [<!ENTITY a "aaaa">]>', 1)
            new.writestr(name, data)
    with pytest.raises(ValueError, match="a document type of its own"):
        list(LargeBook(ZipFile(out)).rows("Products"))


# -- the report as a workbook ------------------------------------------------------------------------------


def test_the_report_as_a_workbook(tmp_path: Path) -> None:
    """Whatever an id, a prompt or a column is, it comes back from the workbook as it was, and belongs to its row."""
    workspace = Workspace("s3://shop/team")
    ids = ["0017", "4006381333931", "1-2", "=1+1", "'quoted", "true", "mug"]
    params = Params(prompt="-{x}", seed=999_999_999_999_999, strength=0.1)
    jobs = [
        job_of(workspace, f"{n}", "oak", id=name, params=params, meta={"title": name, "mark": "x"})
        for n, name in enumerate(ids)
    ]
    rows = [(job, done(job) if n % 2 else failed()) for n, job in enumerate(jobs)]
    file = tmp_path / "r.xlsx"
    assert write_sheet(a_run(workspace, len(ids)), lambda: iter(rows), workspace=workspace, file=file) == len(ids)
    found = read_file(str(file), ReadOptions(workspace=workspace.uri))
    assert (found.told, found.ids, found.manifest.form) == ([], ids, "a report of restyle's")
    assert [entry.meta["title"] for entry in found.entries] == ids
    assert Params(**found.entries[0].params | {"prompt": "-{x}"}) == params
    with pytest.raises(ConfigurationError, match="a sheet 1,048,575 rows"):
        write_sheet(a_run(workspace, 2_000_000), lambda: iter(rows), workspace=workspace, file=file)


# -- what is no workbook -----------------------------------------------------------------------------------


def test_other_zip_files_are_told() -> None:
    """A ZIP file of something else says what to do with it."""
    out = BytesIO()
    with ZipFile(out, "w") as file:
        file.writestr("a.csv", "image\n")
    assert "is a ZIP file and no workbook: unpack it" in refusal(out.getvalue())


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_workbooks_are_told(kind: Callable[..., bytes]) -> None:
    """Cut off, or with bytes overwritten: a sentence, never a traceback."""
    data = kind(ROWS)
    for broken in (data[: len(data) // 2], data[:200] + b"\xff" * 300 + data[500:]):
        with pytest.raises(ManifestError, match=r"-:?[0-9]*:? (is|has|needs)"):
            read(broken)


def test_a_sheet_that_needs_all_memory_ends_its_reader_alone() -> None:
    """A cell at the far end of an empty sheet would make a table of 17 thousand million cells: it is told."""
    data = xlsx([["image"], ["a.jpg"]])
    out = BytesIO()
    with ZipFile(BytesIO(data)) as old, ZipFile(out, "w") as new:
        for name in old.namelist():
            part = old.read(name)
            if name.startswith("xl/worksheets/"):
                part = part.replace(
                    b"</sheetData>", b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'
                )
            new.writestr(name, part)
    assert "needs too much memory or time to be read: save it as CSV UTF-8" in refusal(out.getvalue())


def test_a_small_workbook_that_unpacks_to_a_large_one_is_refused() -> None:
    """A text that stands once in the file and in each row is written down no more often than a table would have it."""
    data = xlsx([["image", "text"], *[["a.jpg", "x" * 30_000]] * 2000])
    assert re.fullmatch(r"-: unpacks to more than 50 MB by row 1,66\d, which no table of its size does", refusal(data))


def test_a_row_is_as_long_as_a_line_may_be() -> None:
    """A cell of more than a million characters is told by its row."""
    told = refusal(ods([["image", "text"], ["a.jpg", "x" * 1_000_001]]))
    assert told == "-: row 2 has 1,000,006 characters; at most 1,000,000 are read"
