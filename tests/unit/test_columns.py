"""Tables that are read and planned column by column come out as row by row: entries, jobs, lines, and what is wrong."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.manifest import Block, Manifest, open_manifest
from producers.manifest.entry import Problems
from producers.manifest.place import Place
from producers.manifest.rows import Reading
from producers.manifest.source import local
from producers.manifest.tables import table
from producers.manifest.tables.delimited import Delimited
from producers.planning.jobs.batch import Batch
from producers.planning.jobs.planner import Planner
from producers.planning.jobs.resolve import Resolver
from producers.planning.jobs.variants import Variant
from restyle.keys import Workspace
from tests.support.planned import planned

HEADER = ("id", "image", "title", "material", "strength")

plain_ids = st.integers(0, 40).map(lambda number: f"shelf/{number}")
odd_ids = st.sampled_from(["", " a", "a//b", "A.jpg/0", "a.jpg/0", "a.jpg", "0042", "12345", "ä", "1.5E+3", "x" * 201])
plain_images = st.integers(0, 40).map(lambda number: f"s3://in/{number}.jpg")
odd_images = st.sampled_from(
    ["", "s3://in/a|b.jpg", "s3://in/", "s3://in/a.jpg\ns3://in/b.jpg", "#REF!", "s3://team/w/outputs/shelf/1/oak.jpg"]
)
plain_cells = st.sampled_from(
    ["oak", "a \u201coak\u201d", 'say "%s"', "100 %", "\\", "E", "zwölf\u2028", "\ue000", "😀\x7f"]
)
odd_cells = st.sampled_from(
    ["", " ", "\u200b", "N/A", "none ", "#N/A", "Err:502", "a\nb", "x" * 900, "ü" * 4500, "\t1"]
)


def mostly(plain: st.SearchStrategy[str], odd: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """A cell of a column that has something odd now and then."""
    return st.integers(0, 15).flatmap(lambda number: plain if number else odd)


rows = st.lists(
    st.tuples(
        mostly(plain_ids, odd_ids), mostly(plain_images, odd_images), mostly(plain_cells, odd_cells),
        mostly(plain_cells | st.just(""), odd_cells), mostly(st.just(""), st.sampled_from(["0.5", "99", " "])),
    ),
    min_size=1, max_size=14,
)  # fmt: skip
templates = st.sampled_from(["a {title} of {material}", "{variant}: {title} 100%", "{id}", "plain", " {title}{title} "])
variants = st.lists(
    st.builds(
        lambda name, prompt, more: Variant(name, {"prompt": prompt, **more}, reuse=name != "b"),
        st.sampled_from(["oak", "neon", "b"]), templates,
        st.sampled_from([{}, {"negative_prompt": "no {title}", "samples": 2}, {"seed": 3}]),
    ),
    min_size=1, max_size=2, unique_by=lambda variant: variant.name,
)  # fmt: skip
workspaces = st.sampled_from(["s3://team/w", "s3://my.jpg/a.jpg/w"])
tables = (rows, st.lists(variants, min_size=1, max_size=1).map(lambda one: one[0]), workspaces, st.booleans())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where manifests are written to."""
    return tmp_path_factory.mktemp("columns")


@pytest.fixture(scope="module", autouse=True)
def small_batches() -> object:
    """Batches of a few rows, so that plain ones stand beside others."""
    patch = pytest.MonkeyPatch()
    patch.setattr(table, "_BATCH", 3)
    yield patch
    patch.undo()


@settings(max_examples=30)
@given(*tables)
def test_columns_come_out_as_rows(
    folder: Path, given_rows: Sequence[Sequence[str]], named: list[Variant], workspace: str, is_ragged: bool
) -> None:
    """Whether a row is read together with others makes no difference to anything."""
    the_same(folder, given_rows, named, Workspace(workspace), is_ragged)


ODDITIES = {
    0: ["", " a", "a//b", "A.jpg/0", "a.jpg/0", "A/0", "0042", "7", "\u00e4", "1.5E+3", "x" * 201, "shelf/1",
        "SHELF/1"],
    1: ["", "s3://in/a|b.jpg", "s3://in/", "s3://in/a.jpg\ns3://in/b.jpg", "#REF!", "s3://in/1.jpg", "s3://in/1.jpg", "S3://in/1.jpg",
        "s3://team/w/outputs/shelf/1/oak.jpg", "s3://Team/w/outputs/shelf/1/oak.jpg"],
    2: ["", " ", " oak ", "\u200b", "N/A", "none ", "#N/A", "Err:502", "a\nb", "a\rb", "x" * 1900, "x" * 2600, "\t1",
        '"%s"', "100 %", "{id}", "oak"],
    4: ["0.5", "99", " ", "0,5"],
}  # fmt: skip
ODD_CELLS = [(place, cell) for place, cells in ODDITIES.items() for cell in cells]
VARIANTS = [
    [Variant("oak", {"prompt": "a {title} 5%", "negative_prompt": "no {title}"}), Variant("b", {"prompt": "x"})],
    [Variant("oak", {"prompt": "{title}", "negative_prompt": " y "}, reuse=False)],
    [Variant("oak", {"prompt": "{id} {variant}", "negative_prompt": " y", "seed": 3, "samples": 2})],
    [Variant("oak", {"prompt": "y" * 14_000 + "{title}", "scheduler": "a %s"})],
]


@pytest.mark.parametrize("named", VARIANTS, ids=range(len(VARIANTS)))
@pytest.mark.parametrize("header", [HEADER, ("id", "image", "meta.id", "material", "strength")], ids=["", "meta.id"])
def test_one_odd_cell_among_plain_rows_makes_no_difference(
    folder: Path, named: list[Variant], header: Sequence[str]
) -> None:
    """Of whatever kind it is, and wherever it stands."""
    given_rows = [[f"shelf/{number}", f"s3://in/{number}.jpg", "oak", "", ""] for number in range(3)]
    for number, (place, cell) in enumerate(ODD_CELLS):
        # Each in a batch of its own, in the middle.
        batch = [[f"{row}/{number}", f"s3://in/{row}/{number}.jpg", "oak", "", ""] for row in range(3)]
        batch[1][place] = cell
        given_rows += batch
    the_same(folder, given_rows, named, Workspace("s3://team/w"), False, header)


@pytest.mark.parametrize("workspace", ["s3://my.jpg/a.jpg/w", "s3://team/W"])
def test_keys_of_plain_rows_are_compared_with_all_others(folder: Path, workspace: str) -> None:
    """A key that is a folder of another, or differs by case alone, is a collision."""
    ids = ["a/1", "a/2", "a/3", "b/1", "b/2.jpg", "b/3", "c/1", "c/2", "B/2", "b/2.jpg/x", "b/2/oak.jpg/y", "b/4"]
    given_rows = [[entry_id, f"s3://in/{place}.jpg", "oak", "", ""] for place, entry_id in enumerate(ids)]
    the_same(folder, given_rows, VARIANTS[1], Workspace(workspace), False)


def test_inputs_are_compared_with_the_places_of_all_samples(folder: Path) -> None:
    """A picture that another row's second sample would be put over is no input, in whatever batch the two rows are."""
    images = {4: "s3://team/w/outputs/a/2/oak-1.jpg", 7: "s3://team/w/outputs/a/5/oak-1.jpg"}
    given_rows = [[f"a/{number}", images.get(number, f"s3://in/{number}.jpg"), "oak", "", ""] for number in range(9)]
    the_same(folder, given_rows, [Variant("oak", {"prompt": "{title}", "samples": 2})], Workspace("s3://team/w"), False)


def test_a_quote_left_open_in_a_column_without_a_name_swallows_no_row(folder: Path) -> None:
    """Its rows are missing, which is told, however plain the rest of the row is."""
    given_rows = [[f"a/{number}", f"s3://in/{number}.jpg", "oak", ""] for number in range(6)]
    given_rows[4][3] = "\na/6,s3://in/6.jpg,oak,\na/7,s3://in/7.jpg,oak,\n"
    header = ("id", "image", "title", "")
    the_same(folder, given_rows, VARIANTS[1], Workspace("s3://team/w"), False, header)
    manifest, problems = open_manifest(str(folder / "table.csv"), store=None), Problems()
    assert manifest.parts is not None
    parts = manifest.parts(problems)
    assert len(list(chain.from_iterable(one.entries() if isinstance(one, Block) else one for one in parts))) == 5
    assert ["swallows lines 6 to 8" in problem.reason for problem in problems.listed] == [True]


@pytest.mark.long
@settings(max_examples=1000)
@given(*tables)
def test_so_they_do_in_many_tables(
    folder: Path, given_rows: Sequence[Sequence[str]], named: list[Variant], workspace: str, is_ragged: bool
) -> None:
    """The same, over more of them."""
    the_same(folder, given_rows, named, Workspace(workspace), is_ragged)


def the_same(
    folder: Path, given_rows: Sequence[Sequence[str]], named: list[Variant], workspace: Workspace, is_ragged: bool,
    header: Sequence[str] = HEADER,
) -> None:  # fmt: skip
    """Compares a table's entries, jobs, lines, counts and problems, by columns and row by row."""
    path = folder / "table.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        written = [row[:3] if is_ragged and number % 5 == 4 else row for number, row in enumerate(given_rows)]
        csv.writer(file, lineterminator="\n").writerows([header, *written])
    by_columns = open_manifest(str(path), store=None)
    by_rows = without_parts(by_columns, path)
    seen, alone = Problems(), Problems()
    assert by_columns.parts is not None
    parts = (part.entries() if isinstance(part, Block) else part for part in by_columns.parts(seen))
    assert list(chain.from_iterable(parts)) == list(by_rows.entries(alone))
    assert vars(seen) == vars(alone)
    assert planned(by_columns, named, workspace, folder) == planned(by_rows, named, workspace, folder)


def without_parts(manifest: Manifest, path: Path) -> Manifest:
    """The manifest, read row by row."""
    read = table.Table(Delimited(local(str(path))), {})
    reading = Reading(read.rows, Place(str(path.parent)))
    return replace(manifest, entries=reading.entries, parts=None)


def test_plain_rows_are_planned_together(folder: Path) -> None:
    """Once the first rows have shown what is alike, no further row is resolved by itself; nor is one in vain."""
    path = folder / "plain.csv"
    odd = {7: "a\nb"}
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = [(f"shelf/{number}", f"s3://in/{number}.jpg", odd.get(number, "oak")) for number in range(12)]
        csv.writer(file).writerows([HEADER[:3], *rows])
    manifest = open_manifest(str(path), store=None)
    resolver = Resolver(Workspace("s3://team/w"), [Variant("oak", {"prompt": "{title}"})], columns=manifest.columns,
                        kept=manifest.kept)  # fmt: skip
    parts = [
        part.rows if isinstance(part, Batch) else [resolver.jobs(entry, Problems()) and place for place, entry in part]
        for part in Planner(manifest, resolver).parts(Problems())
    ]
    assert parts == [[0, 1, 2], 3, [6, 7, 8], 3]
