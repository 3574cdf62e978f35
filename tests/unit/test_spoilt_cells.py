"""Cells that are not what somebody means: errors of spreadsheets, words for nothing, open quotes, several pictures."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from config.settings import Settings
from producers.manifest import Problems, ReadOptions
from producers.planning.make import make_plan
from producers.planning.plan import Plan
from producers.planning.request import PlanRequest
from reports.report import slice_csv
from restyle.errors import ManifestError
from restyle.keys import Workspace
from restyle.models import Job, Outcome, OutcomeKind, Params
from tests.support.manifests import good, read, refusal
from tests.support.reports import a_run

WORKSPACE = Workspace("s3://shop/team")


def plan(content: str, prompt: str | None = "photo of {title}", name: str = "m.csv", **more: object) -> Plan:
    """The plan of a manifest on the spot."""
    Path(name).write_text(content, encoding="utf-8")
    request = PlanRequest(name, prompt=prompt, **more)  # type: ignore[arg-type] # a request's own fields
    return make_plan(request, Settings(), workspace=WORKSPACE, store=None)


def refused(content: str, prompt: str | None = "photo of {title}", name: str = "m.csv") -> str:
    """Why a manifest is refused."""
    with pytest.raises(ManifestError) as caught:
        plan(content, prompt, name)
    return caught.value.message


# -- nothing, in words -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cell",
    [
        "#N/A",
        "#REF!",
        "#value!",
        "#DIV/0!",
        "#NAME?",
        "#NV",
        "#BEZUG!",
        "Err:502",
        "#N/B",
        "#NOME?",
        "#VALOR!",
        "#WAARDE!",
        "#ADR!",
        "#YOK",
        "#\u041d/\u0414",
        "#SAKNAS!",
    ],
)
def test_errors_of_spreadsheets_are_bad_lines_where_they_are_used(cell: str) -> None:
    """In a prompt's column, a prompt, a parameter, an id and an image; elsewhere they are nobody's business."""
    table = f"id,image,title\na,s3://b/a.jpg,{cell}\n"
    assert f"m.csv:2: title: reads {cell}, which a spreadsheet writes" in refused(table)
    assert plan(table, "a mug").jobs == 1
    for column in ("prompt", "strength", "variant"):
        assert f"2: {column}: reads {cell}" in refused(f"id,image,{column}\na,s3://b/a.jpg,{cell}\n", "a mug")
    assert f"2: id: reads {cell}" in refused(f"id,image\n{cell},s3://b/a.jpg\n", "a mug")
    assert f"2: image: reads {cell}" in refused(f"id,image\na,{cell}\n", "a mug")


@pytest.mark.parametrize("cell", ["None", "nan", "NULL", "N/A", "<NA>", "undefined", "[]", "(none)", "-", "\u2014"])
def test_words_for_nothing_are_warned_of_where_they_are_used(cell: str) -> None:
    """With their lines, once for all variants; ids that read so stay what they are."""
    table = f"id,image,title\na,s3://b/a.jpg,{cell}\nNone,s3://b/b.jpg,{cell}\nc,s3://b/c.jpg,Mug\n"
    warning = f"the column title reads {cell} in 2 cells, and a prompt uses it: lines 2, 3"
    assert plan(table).warnings == [warning]
    assert plan(table, "a mug").warnings == []
    assert plan(f"id,image,prompt\na,s3://b/a.jpg,{cell}\n", None).warnings == [
        f"the column prompt reads {cell} in 1 cell, and a prompt uses it: line 2"
    ]


def test_a_column_that_is_too_narrow() -> None:
    """A spreadsheet that writes what it shows writes hashes: a bad line where it is used, which says what to do."""
    told = refused("id,image,title\na,s3://b/a.jpg,########\n")
    assert "2: title: reads ###, which a spreadsheet shows where a column is too narrow: widen it" in told


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        ("<p>An oak mug,<br/>by hand</p>", "has HTML in it"),
        ("Oak &amp; pine", "has HTML in it"),
        ("K\u00c3\u00bcche", "has letters that were read in another encoding (\u00c3\u00bc for \u00fc)"),
        ("baker\u00e2\u20ac\u2122s", "has letters that were read in another encoding (\u00c3\u00bc for \u00fc)"),
        ("an oak\x1b[31m mug", "has control characters"),
        ("an oak\x0bmug", "has control characters"),
        ("K\ufffdche", "has characters that are lost (\ufffd)"),
        ("['oak', 'pine']", "is a list, as programs print it,"),
        ('{"de": "Becher"}', "is a list, as programs print it,"),
    ],
)
def test_text_that_nobody_means_is_warned_of(cell: str, why: str) -> None:
    """Where a prompt uses it, with its lines; many rows of one kind are one warning."""
    quoted = cell.replace('"', '""')
    kept = "id,image,title\n" + "".join(f'{name},s3://b/{name}.jpg,"{quoted}"\n' for name in "ab")
    assert plan(kept).warnings == [f"the column title {why} in 2 cells, and a prompt uses it: lines 2, 3"]
    assert plan(kept, "a mug").warnings == []


@pytest.mark.parametrize(
    "cell",
    [
        "Home & Garden", "p\u00e2te \u00c2ge", "S\u00c3O", "<3 oak", "5 < 7 > 3", "<lora:oak:0.8> a mug", '("oak":1.2)',
        "a [red] mug", "AT&T;",
    ],
)  # fmt: skip
def test_text_that_somebody_may_mean(cell: str) -> None:
    """Signs, accents and weights of a prompt are no markup."""
    quoted = cell.replace('"', '""')
    assert plan(f'id,image,title\na,s3://b/a.jpg,"{quoted}"\n').warnings == []


def test_quotes_behind_a_blank() -> None:
    """They are part of the text, and would be paid for as such: a warning, since nobody can know."""
    text = 'id,image,title\na,s3://b/a.jpg, "oak"\nb,s3://b/b.jpg,27" \nc,s3://b/c.jpg,an "oak" mug\n'
    (warning,) = good(text).warnings
    assert warning.startswith("quotes with a blank before them are part of the text in 1 cell (line 2)")


@pytest.mark.parametrize(
    "row",
    [
        "a,x.jpg" + " " * 200_000 + "|y.jpg,t", 'a,"x.jpg,' + " " * 200_000 + 'y.jpg",t',
        "a:" + "." * 200_000 + "b,s3://b/a.jpg,t", "a:" + ". " * 90_000 + "b,s3://b/a.jpg,t",
        "a,s3://b/a.jpg," + "<a " * 70_000, "a,s3://b/a.jpg," + "&a" * 90_000, 'a,"' + "[" * 200_000 + ']",t',
    ],
    ids=["blanks", "blanks and commas", "dots", "dots and blanks", "brackets", "ampersands", "lists"],
)  # fmt: skip
def test_long_cells_take_no_time(row: str) -> None:
    """Whatever is in them: a pattern whose time grows with the square of a cell's length takes minutes for these."""
    began = time.process_time()
    read(f"id,image,title\n{row}\n")
    read(f"SKU,Images,Name,Type\n{row},simple\n")
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        ("nan", "reads nan"),
        ("K\u00c3\u00bcche", "has letters that were read in another encoding (\u00c3\u00bc for \u00fc)"),
        (' "on oak"', "has quotes behind a blank, as part of the text,"), ("<b>oak</b>", "has HTML in it"),
    ],
)  # fmt: skip
def test_prompts_of_variants_that_nobody_means(cell: str, why: str) -> None:
    """Each would be paid for with every picture of the catalog: it is warned of, and so is one of --set."""
    Path("v.csv").write_text(f"name,prompt\noak,{cell}\n", encoding="utf-8")
    made = plan("id,image\na,s3://b/a.jpg\n", None, variants="v.csv")
    assert made.warnings == [f"v.csv: oak.prompt {why}: is that meant?"]
    made = plan("id,image\na,s3://b/a.jpg\n", "a mug", sets=(f"prompt={cell}",))
    assert made.warnings == [f"--set prompt {why}: is that meant?"]


def test_a_negative_prompt_of_nothing() -> None:
    """The row's own is used as much as its prompt."""
    (warning,) = plan("id,image,negative_prompt\na,s3://b/a.jpg,nan\n", "a mug").warnings
    assert warning == "the column negative_prompt reads nan in 1 cell, and a prompt uses it: line 2"


def test_lists_and_objects_of_json_are_no_text() -> None:
    """Where a prompt uses them they are bad lines; false is a word for nothing."""
    titles = (("a", list[str]()), ("b", dict[str, str]()))
    entries = [{"id": name, "image": f"s3://b/{name}.jpg", "title": title} for name, title in titles]
    told = refused(json.dumps(entries), name="m.json")
    assert "title: is a list, and the prompt uses it" in told
    assert "title: is an object, and the prompt uses it" in told
    assert plan(json.dumps(entries), "a mug", "m.json").jobs == 2
    one = plan(json.dumps([{"id": "a", "image": "s3://b/a.jpg", "title": False}]), name="m.json")
    assert one.warnings == ["the column title reads false in 1 cell, and a prompt uses it: line 1"]


@pytest.mark.parametrize("prompt", ["\u200b", "\u2060\ufeff", " \u00a0\u200d", "\u00ad"])
def test_what_nobody_sees_is_no_prompt(prompt: str) -> None:
    """A prompt of zero-width characters is an empty one."""
    assert "prompt: there is none" in refused(f"id,image,prompt\na,s3://b/a.jpg,{prompt}\n", None)
    assert "title: is empty" in refused(f"id,image,title\na,s3://b/a.jpg,{prompt}\n")


# -- open quotes -------------------------------------------------------------------------------------------

_QUOTE = 'id,image,prompt\ntv-1,1.jpg,"TV of 27 inch on oak\ntv-2,2.jpg,sofa in snow\ntv-3,3.jpg,lamp of 27"\n'


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (_QUOTE, "2 to 4"),
        (_QUOTE.replace("\n", "\r\n"), "2 to 4"),
        (_QUOTE.replace(",", ";"), "2 to 4"),
        (_QUOTE.replace(",", "\t"), "2 to 4"),
        (_QUOTE.replace("1.jpg", "s3://b/1.jpg").replace("2.jpg", "s3://b/2"), "2 to 4"),
        ('id,image,a,b\nx,s3://b/x,"1,2\ny,s3://b/y,3,4\nz,s3://b/z,5,6"\n', "2 to 4"),
        ('image,title\ns3://b/1.jpg,"27 inch\ns3://b/2.jpg,oak\ns3://b/3.jpg,""best"" oak"\n', "2 to 4"),
    ],
)
def test_a_quote_that_swallows_rows(content: str, lines: str) -> None:
    """A cell whose lines are rows is a bad line that says which: nothing of it is planned."""
    assert f"2: : the quote that opens here swallows lines {lines}; is one left open?" in read(content).told


@pytest.mark.parametrize(
    "cell", ["oak, walnut, ash\npine, beech, fir", "one\ntwo", "a\n\nb, c", "see s3://b/a.jpg\nand more", "1,2\n3,4"]
)
def test_text_of_several_lines_stays_text(cell: str) -> None:
    """Line breaks and commas are no rows by themselves."""
    (entry,) = good(f'id,image,title\na,s3://b/a.jpg,"{cell}"\n').entries
    assert entry.meta["title"] == cell


def test_a_quote_that_swallows_variants() -> None:
    """The same in a variants file, where one prompt would be paid for with the text of others."""
    Path("v.csv").write_text('name,prompt\noak,"27 inch\nsea,by the sea\nsky,in ""the"" sky"\n')
    with pytest.raises(ManifestError, match=r"v\.csv:4: a quote that opens in this variant or before swallows"):
        plan("id,image\na,s3://b/a.jpg\n", None, variants="v.csv")
    Path("v.csv").write_text('name,prompt\noak,"27 inch,\nsoft, warm light"\n')
    assert plan("id,image\na,s3://b/a.jpg\n", None, variants="v.csv").jobs == 1


# -- several pictures --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "count"),
    [
        ("s3://shop/p/u0.jpg, s3://shop/p/u1.jpg", 2),
        ("s3://shop/p/u0.jpg|s3://shop/p/u1.jpg|", 2),
        ("s3://shop/p/u0.jpg\ns3://shop/p/u1.jpg", 2),
        ("s3://shop/p/u0.jpg s3://shop/p/u1.jpg s3://shop/p/u2.jpg", 3),
        ("https://a.example/1.jpg;https://a.example/2.jpg", 2),
        ("u0.jpg, u1.jpg", 2),
    ],
)
def test_several_pictures_in_a_cell_are_a_bad_line(cell: str, count: int) -> None:
    """It says how many and names them, before anything is queued."""
    quoted = cell.replace('"', '""')
    (told,) = read(f'id,image\na,"{quoted}"\n').told
    assert told.startswith(f"2: image: looks like {count} pictures (")
    assert told.endswith("give each its own row")


def test_a_separator_that_is_left_over() -> None:
    """One picture with a bar behind it is told, too."""
    (told,) = read("id,image\na,s3://shop/p/u0.jpg|\n").told
    assert "has more than the name of s3://shop/p/u0.jpg" in told


@pytest.mark.parametrize("key", ["a, b.jpg", "a,b.jpg", "a|b.png", "a;b", "50% off, red.jpg"])
def test_a_key_may_have_separators(key: str) -> None:
    """One object whose key has a comma is one picture; so is a file that is there."""
    assert good(f'id,image\na,"s3://shop/{key}"\n').images == [f"s3://shop/{key}"]


def test_a_cell_may_be_a_list_of_json() -> None:
    """A list in brackets says itself that it holds several."""
    found = good('id,image\na,"[""s3://b/1.jpg"", ""s3://b/2.jpg""]"\n')
    assert (found.ids, found.images) == (["a-1", "a-2"], ["s3://b/1.jpg", "s3://b/2.jpg"])


def test_a_list_of_json_is_an_entry_each() -> None:
    """A list says itself that it holds several: ids end in the picture's number."""
    found = good(
        json.dumps([{"id": "a", "images": ["s3://b/1.jpg", "s3://b/2.jpg"]}, {"id": "b", "image": "s3://b/3"}])
    )
    assert list(zip(found.ids, found.images, strict=True)) == [
        ("a-1", "s3://b/1.jpg"), ("a-2", "s3://b/2.jpg"), ("b", "s3://b/3"),
    ]  # fmt: skip


# -- names of the column -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["image_link", "Image Src", "Images", "image_url", "imageURL", "img", "picture", "g:image_link", "main_image"],
)
def test_other_names_of_the_images_column(name: str) -> None:
    """What others call it is taken where no column is called image; the plan says which."""
    found = good(f"id,{name}\na,s3://b/a.jpg\n")
    assert (found.images, found.manifest.image) == (["s3://b/a.jpg"], name)
    kept = good(f"id,image,{name}\na,s3://b/a.jpg,s3://b/b.jpg\n")
    assert (kept.images, kept.entries[0].meta) == (["s3://b/a.jpg"], {name: "s3://b/b.jpg"})
    renamed = good(f"id,{name},mine\na,s3://b/a.jpg,s3://b/c.jpg\n", {"image": "mine"})
    assert renamed.images == ["s3://b/c.jpg"]


def test_two_other_names_are_asked_about() -> None:
    """Which one is meant is the user's to say."""
    told = refusal("id,picture,photo\na,1.jpg,2.jpg\n")
    assert "image: there is no such column, but picture and photo; name one: --column 'image=picture'" in told


# -- spreadsheets and ids ----------------------------------------------------------------------------------


def test_shortened_numbers_are_warned_of_in_any_manifest() -> None:
    """An id like 4.00638E+12 was an article number once."""
    (warning,) = good("id,image\n4.00638E+12,s3://b/a.jpg\n4.10638E+12,s3://b/b.jpg\nx,s3://b/c.jpg\n").warnings
    assert "the column id has a long number that a spreadsheet has shortened in 2 cells (lines 2, 3)" in warning


def report_of(entry: str, *, is_done: bool = True, image: str = "s3://in/a.jpg") -> list[str]:
    """Header and row of the report of a job."""
    job = Job(id=entry, variant="oak", image=image, params=Params(prompt="p"), output=WORKSPACE.output(entry, "oak"))
    kind = OutcomeKind.SUCCEEDED if is_done else OutcomeKind.FAILED
    outcome = Outcome(outcome=kind, outputs=(job.output,) if is_done else ())
    with Path("out.csv").open("w", newline="") as out:
        statuses = frozenset({"succeeded", "failed"})
        slice_csv(a_run(WORKSPACE, 1), lambda: iter([(job, outcome)]), workspace=WORKSPACE, statuses=statuses, out=out)
    return Path("out.csv").read_text().splitlines()


@pytest.mark.parametrize("is_done", [True, False])
@pytest.mark.parametrize(("entry", "spoilt"), [("0017", "17"), ("4006381333931", "4.00638E+12"), ("1-2", "02. Jan")])
def test_a_report_whose_ids_a_spreadsheet_has_changed(entry: str, spoilt: str, *, is_done: bool) -> None:
    """The job id tells that the row was written with another id: a bad line, and no other entry's picture is lost."""
    header, row = report_of(entry, is_done=is_done)
    spoilt_row = row.replace("'", "").replace(f",{entry},oak", f",{spoilt},oak")
    options = ReadOptions(workspace=WORKSPACE.uri)
    (told,) = read(f"{header}\n{spoilt_row}\n", options=options).told
    assert told.startswith(f"2: id: {spoilt} (variant oak) is not the id that this row was written with")
    assert good(f"{header}\n{row}\n", options=options).ids == [entry]
    assert good(f"{header}\n{row}\n").ids == [entry]


def test_a_report_of_the_sandbox_or_of_another_workspace() -> None:
    """Its rows belong to their ids wherever they are read, as far as the rows say where they come from."""
    for done in (True, False):
        header, row = report_of("0017", is_done=done, image=WORKSPACE.input("0" * 64, ".jpg"))
        assert good(f"{header}\n{row}\n", options=ReadOptions(workspace="s3://elsewhere/x")).ids == ["0017"]
    header, row = report_of("0017", is_done=False)
    assert good(f"{header}\n{row}\n", options=ReadOptions(workspace=WORKSPACE.sandbox.uri)).ids == ["0017"]
    (told,) = read(f"{header}\n{row}\n", options=ReadOptions(workspace="s3://elsewhere/x")).told
    assert "In a report of another workspace, empty the column job_id" in told


def test_problems_keep_few_lines_of_many_doubts() -> None:
    """A million doubtful cells are one warning that names five."""
    problems = Problems()
    for line in range(1, 1001):
        problems.doubt("{cells}: {lines}", line)
    assert problems.warnings == ["1,000 cells: lines 1, 2, 3, 4, 5, …"]
