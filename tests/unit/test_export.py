"""A run's pictures in the rows of its manifest: each form, what is left out, and addresses on the web."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from producers.manifest import Manifest, Problems, ReadOptions, open_manifest
from producers.runs.outcomes import Row
from reports.export import Exported, Outputs, export, read_marks
from restyle.errors import ConfigurationError
from restyle.keys import Workspace
from restyle.models import RunOptions
from tests.support import exports
from tests.support.reports import a_run, done, failed, job_of

WORKSPACE = Workspace("s3://shop/team")
CDN = "https://cdn.shop.example/pictures/"


def run_of(
    content: str, like: str, *, public: str = CDN, without: Collection[str] = (), marks: str = ""
) -> tuple[list[list[str]], Exported]:
    """What is exported of a run of this manifest in which all but some ids have a picture."""
    manifest = open_manifest_of(content)
    run = a_run(WORKSPACE, 1, options=RunOptions(root=WORKSPACE.under("outputs")))
    outputs = Outputs(run, lambda: iter(rows_of(manifest, without)), "", public, marked(marks))
    out = io.StringIO(newline="")
    told = export(manifest, outputs, like, out)
    return list(
        csv.reader(io.StringIO(out.getvalue(), newline=""), delimiter="\t" if like == "merchant" else ",")
    ), told


def rows_of(manifest: Manifest, without: Collection[str]) -> list[Row]:
    """The rows of a run: done, failed, or suspect for ids that end so."""
    jobs = [job_of(WORKSPACE, entry.id, "oak") for entry in manifest.entries(Problems())]
    return [(job, failed() if job.id in without else done(job)) for job in jobs]


def marked(text: str) -> dict[tuple[str, str], str]:
    """Marks as the report's page saves them."""
    if not text:
        return {}
    Path("marks.csv").write_text(f"\ufeffrun_id,id,mark\n{text}")
    return read_marks(Path("marks.csv"))


def column(rows: list[list[str]], name: str) -> list[str]:
    """The cells of a column."""
    return [row[rows[0].index(name)] for row in rows[1:]]


def test_back_into_shopify() -> None:
    """Every row and column as it came, with other addresses; rows of variants stay beside their product's."""
    rows, told = run_of(exports.shopify("s3://shop/p/"), "shopify")
    before = list(csv.reader(io.StringIO(exports.shopify("s3://shop/p/"))))
    image = before[0].index("Image Src")
    assert [[*row[:image], *row[image + 1 :]] for row in rows] == [[*row[:image], *row[image + 1 :]] for row in before]
    first = ("oak-mug-1", "oak-bowl-1", "oak-bowl-2")
    assert column(rows, "Image Src")[:3] == [f"{CDN}{name}/oak.jpg" for name in first]
    assert (told.rows, told.pictures, dict(told.left_out)) == (41, 39, {})


def test_what_has_no_picture_is_left_out_of_shopify() -> None:
    """A product without any goes; of others the rows of further pictures; the first row stays for what else it says."""
    without = {"oak-mug-1", "oak-bowl-1", "oak-vase-2"}
    rows, told = run_of(exports.shopify("s3://shop/p/"), "shopify", without=without)
    handles = column(rows, "Handle")
    assert (handles.count("oak-mug"), handles.count("oak-bowl"), handles.count("oak-vase")) == (0, 2, 2)
    bowl = rows[1 + handles.index("oak-bowl")]
    assert (bowl[1], bowl[rows[0].index("Image Src")], bowl[rows[0].index("Image Position")]) == ("Oak Bowl", "", "")
    assert told.left_out["without a picture of this run"] == 3


@pytest.mark.parametrize(
    ("feed", "like", "name", "cell"),
    [
        (exports.woocommerce, "woocommerce", "Images", f"{CDN}SKU-oak-vase-1/oak.jpg, {CDN}SKU-oak-vase-3/oak.jpg"),
        (exports.merchant, "merchant", "additional_image_link", f"{CDN}oak-vase-3/oak.jpg"),
        (exports.magento, "csv", "additional_images", f"{CDN}oak-vase-3/oak.jpg"),
    ],
)
def test_lists_of_pictures(feed: Callable[[str], str], like: str, name: str, cell: str) -> None:
    """A cell of several has those that are there; a product without its main picture is left out."""
    rows, _ = run_of(feed("s3://shop/p/"), like, without={"SKU-oak-vase-2", "oak-vase-2", "oak-mug", "SKU-oak-mug-1"})
    assert cell in column(rows, name)
    before = feed("s3://shop/p/").splitlines()
    assert len(rows) == len(before) - 1, "one product is without its main picture; rows that never had one stay"
    if feed is exports.magento:
        assert column(rows, "store_view_code").count("de") == 20


def test_a_table_of_the_users_own() -> None:
    """Its rows with s3:// URIs, or addresses with what a URL must escape; marks and failures are left out."""
    table = "id,image,title\na,s3://b/a.jpg,Mug\nb%,s3://b/b.jpg,Bowl\nc,s3://b/c.jpg,Vase\nd,s3://b/d.jpg,Jar\n"
    marks = "r,a,keep\nr,c,reject\n"
    rows, told = run_of(table, "csv", public="", without={"d"}, marks=marks)
    assert rows == [
        ["id", "image", "title"], ["a", "s3://shop/team/outputs/a/oak.jpg", "Mug"],
        ["b%", "s3://shop/team/outputs/b%25/oak.jpg", "Bowl"],
    ]  # fmt: skip
    assert told.left_out == {
        "marked to be left out": 1, "without a picture of this run": 1,
    }  # fmt: skip
    assert run_of(table, "csv")[0][2][1] == f"{CDN}b%2525/oak.jpg"


@pytest.mark.parametrize(
    ("like", "rows"),
    [
        ("csv", [["id", "image", "title"], ["a", f"{CDN}a/oak.jpg", "Mug"]]),
        ("shopify", [["Handle", "Title", "Image Src", "Image Position"], ["a", "Mug", f"{CDN}a/oak.jpg", "1"]]),
        ("woocommerce", [["SKU", "Name", "Images"], ["a", "Mug", f"{CDN}a/oak.jpg"]]),
        ("merchant", [["id", "title", "image_link"], ["a", "Mug", f"{CDN}a/oak.jpg"]]),
    ],
)
def test_other_manifests_become_rows_of_a_form(like: str, rows: list[list[str]]) -> None:
    """What has no rows of that form gets its few columns."""
    assert run_of(json.dumps([{"id": "a", "image": "s3://b/a.jpg", "title": "Mug"}]), like)[0] == rows


def test_suspects_are_left_out() -> None:
    """A picture that looks wrong goes into no shop."""
    manifest = open_manifest_of("id,image\na,s3://b/a.jpg\n")
    job = job_of(WORKSPACE, "a", "oak")
    outputs = Outputs(a_run(WORKSPACE, 1), lambda: iter([(job, done(job, suspect=("black",)))]), "", "", {})
    told = export(manifest, outputs, "csv", io.StringIO())
    assert (told.rows, told.left_out["suspect"]) == (0, 1)


def open_manifest_of(content: str) -> Manifest:
    """A manifest on the spot."""
    Path("m").write_text(content)
    return open_manifest("m", store=None, options=ReadOptions(has_pictures=False))


def test_several_variants_are_asked_about() -> None:
    """One picture has one place: which variant's is the user's to say."""
    rows = [(job, done(job)) for job in (job_of(WORKSPACE, "a", name) for name in ("oak", "sea"))]
    with pytest.raises(ConfigurationError, match="several variants: add --variant oak or --variant sea"):
        Outputs(a_run(WORKSPACE, 2), lambda: iter(rows), "", "", {})
    with pytest.raises(ConfigurationError, match="--variant pine: the run has oak, sea"):
        Outputs(a_run(WORKSPACE, 2), lambda: iter(rows), "pine", "", {})
    assert Outputs(a_run(WORKSPACE, 2), lambda: iter(rows), "sea", "", {}).of("a")[0].endswith("/a/sea.jpg")


def test_marks_that_are_none() -> None:
    """A file of something else is told."""
    Path("other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ConfigurationError, match=r"--marks other\.csv: has no marks of a report"):
        read_marks(Path("other.csv"))


def test_a_mark_is_of_one_variant_s_picture() -> None:
    """What is rejected of one variant says nothing of another's picture of the same entry, wherever its line stands."""
    lines = ["r,a,oak,keep", "r,a,sea,reject", "r,b,oak,reject", "r,b,sea,keep"]
    rows = [(job, done(job)) for entry in "ab" for job in (job_of(WORKSPACE, entry, name) for name in ("oak", "sea"))]
    for order in (lines, lines[::-1]):
        Path("marks.csv").write_text("\n".join(["run_id,id,variant,mark", *order]) + "\n")
        marks = read_marks(Path("marks.csv"))
        exported = {name: Outputs(a_run(WORKSPACE, 4), lambda: iter(rows), name, "", marks) for name in ("oak", "sea")}
        assert [bool(exported["oak"].of(entry)[0]) for entry in "ab"] == [True, False]
        assert [bool(exported["sea"].of(entry)[0]) for entry in "ab"] == [False, True]


@pytest.mark.parametrize("like", ["csv", "shopify", "merchant"])
def test_a_lone_end_of_line_stays_in_its_cell(like: str) -> None:
    """Some shops end a cell's lines in CR alone, which a reader takes for the end of the row unless it is quoted."""
    rows, _ = run_of(json.dumps([{"id": "a", "image": "s3://b/a.jpg", "title": "Mug\rof oak"}]), like)
    assert (len(rows), "Mug\rof oak" in rows[1]) == (2, True)
