"""Manifests that are listings: a folder, and tables of buckets and keys as S3 writes and takes them."""

from __future__ import annotations

import gzip
import os
import unicodedata
from pathlib import Path

import pytest

from producers.manifest import ReadOptions, open_manifest
from restyle.errors import ManifestError
from tests.support.manifests import good, read, read_file, refusal


def make(folder: Path, *names: str) -> None:
    """Files that are no pictures: a plan opens none."""
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")


# -- folders -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (["b.jpg", "a.PNG", "c.webp"], ["a", "b", "c"]),
        (["in/b.jpg", "a.jpg", "in/deep/c.tiff"], ["a", "in/b", "in/deep/c"]),
        (["shoe.jpg", "shoe.png", "hat.jpg"], ["hat", "shoe.jpg", "shoe.png"]),
        (["shoe.jpg", "shoe.JPG.png", "shoe.jpg.png"], ["shoe", "shoe.JPG", "shoe.jpg.png"]),
        ([".hidden.jpg", ".git/a.jpg", "__MACOSX/a.jpg", "a.jpg"], ["a"]),
        (["a b/größe 1.jpg", "100%.jpg", "what?.jpg"], ["100%", "a b/größe 1", "what?"]),
        ([unicodedata.normalize("NFD", "größe.jpg")], ["größe"]),
        (["x.jpg/y.jpg"], ["x.jpg/y"]),
    ],
)
def test_ids_of_a_folder(tmp_path: Path, names: list[str], ids: list[str]) -> None:
    """An id is the path inside the folder without its suffix, which stays where two would be the same."""
    make(tmp_path, *(f"shop/{name}" for name in names))
    found = read_file("shop/")
    assert found.told == []
    assert sorted(found.ids) == ids
    assert found.images == [str(tmp_path / "shop" / name) for name in _walked(names)]


def _walked(names: list[str]) -> list[str]:
    """The names that are not hidden, as a folder is gone through: its files before its folders, each by name."""
    seen = [name for name in names if not name.startswith((".", "__"))]
    return sorted(seen, key=lambda name: [(part != name.split("/")[-1], part) for part in name.split("/")])


def test_what_is_no_image_is_left_out_and_told(tmp_path: Path) -> None:
    """Other files are counted by kind and named; so are links that lead nowhere or to folders, and pipes."""
    make(tmp_path, "a.jpg", "notes.txt", "sub/list.csv", "noname")
    (tmp_path / "broken.jpg").symlink_to("gone.jpg")
    (tmp_path / "elsewhere").symlink_to("sub")
    os.mkfifo(tmp_path / "pipe.jpg")
    found = read_file(".")
    assert (found.ids, found.told) == (["a"], [])
    assert {kind: left_out.first for kind, left_out in found.left_out.items()} == {
        "broken link{s}": ["broken.jpg"], ".txt file{s}": ["notes.txt"], "file{s} without a suffix": ["noname"],
        "link{s} to folders": ["elsewhere/"], "device{s} or pipe{s}": ["pipe.jpg"], ".csv file{s}": ["sub/list.csv"],
    }  # fmt: skip


@pytest.mark.parametrize("suffix", [".avif", ".jfif", ".JPE", ".apng", ".pjpeg", ".dib", ".Tiff"])
def test_every_suffix_of_a_picture(tmp_path: Path, suffix: str) -> None:
    """What the workers read is a picture by its name, too."""
    make(tmp_path, f"a{suffix}")
    assert read_file(".").ids == ["a"]


def test_what_is_left_out_of_a_folder(tmp_path: Path) -> None:
    """What is hidden, empty, a system's or restyle's own is no entry; each kind is counted and named."""
    make(
        tmp_path, "a.jpg", "._a.jpg", "in/.DS_Store", "in/~$b.jpg", "__MACOSX/in/._a.jpg", "in/@eaDir/a.jpg/THUMB.jpg",
        "state/hashes.sqlite", "state/s3/x/outputs/a.jpg", "sent/report.html", "sent/report/0a1b.jpg", "raw/a.CR2",
    )  # fmt: skip
    (tmp_path / "in/empty.png").touch()
    found = read_file(".")
    assert found.ids == ["a"]
    assert {kind: (one.count, one.first) for kind, one in found.left_out.items()} == {
        "hidden folder{s}": (2, ["__MACOSX/", "in/@eaDir/"]),
        "hidden file{s}": (3, ["._a.jpg", "in/.DS_Store", "in/~$b.jpg"]),
        "empty file{s} (0 bytes)": (1, ["in/empty.png"]),
        ".cr2 file{s}": (1, ["raw/a.CR2"]),
        "folder{s} of restyle's own": (2, ["state/", "sent/report/"]),
        ".html file{s}": (1, ["sent/report.html"]),
    }


def test_a_part_of_a_folder_of_downloads(tmp_path: Path) -> None:
    """A folder below one that restyle copies to has copies too, by the index above it."""
    make(tmp_path, "restyled/a/oak.jpg", "restyled/a/own.jpg")
    (tmp_path / "restyled/.restyle-download.jsonl").write_text('["a/oak.jpg", "etag", 1]\n')
    assert read_file("restyled/a").ids == ["own"]


def test_an_empty_folder(tmp_path: Path) -> None:
    """No image is no entry; that there is nothing to run is the plan's to say."""
    assert read_file(str(tmp_path)).entries == []


def test_a_name_that_makes_no_id(tmp_path: Path) -> None:
    """A file whose name cannot become part of a key is told by its name, and the others are read."""
    make(tmp_path, "a.jpg", "b\nc.jpg")
    with os.fdopen(os.open(os.fsencode(tmp_path) + b"/\xff.jpg", os.O_CREAT | os.O_WRONLY), "wb") as file:
        file.write(b"x")
    found = read_file(str(tmp_path))
    assert found.ids == ["a"]
    assert sorted(found.told) == [
        "0: id: b\nc.jpg: the id has a control character", "0: id: \udcff.jpg: the id has a control character"
    ]  # fmt: skip


def test_a_folder_is_known_by_its_images(tmp_path: Path) -> None:
    """Its hash is the same each time, and another once an image is new or has changed."""
    make(tmp_path, "a.jpg", "b.jpg")
    sums = [open_manifest(".", store=None).sha256()]
    (tmp_path / "a.jpg").write_bytes(b"other")
    sums.append(open_manifest(".", store=None).sha256())
    make(tmp_path, "c.jpg")
    sums.append(open_manifest(".", store=None).sha256())
    assert len(set(sums)) == 3
    assert open_manifest(".", store=None).sha256() == sums[-1]


def test_a_listing_has_no_columns(tmp_path: Path) -> None:
    """`--column` on a listing is told, not ignored."""
    make(tmp_path, "a.jpg")
    with pytest.raises(ManifestError, match="--column renames the columns of a table"):
        open_manifest(".", store=None, options=ReadOptions({"id": "SKU"}))


def test_what_lies_in_s3_needs_s3() -> None:
    """Without a door to S3 its URIs are refused in our words."""
    with pytest.raises(ManifestError, match=r"s3://b/m\.csv: lies in S3, which is not open here"):
        open_manifest("s3://b/m.csv", store=None)


# -- tables of buckets and keys ----------------------------------------------------------------------------

BATCH = "shop,in/a.jpg\nshop,in/b%20c+d.png\nshop,in/notes.txt\nshop,in/\n"
INVENTORY = '"shop","in/a.jpg","1024","2026-01-31T00:00:00.000Z"\n"shop","in/b+c%28d%29.png","9","2026-01-31"\n'


@pytest.mark.parametrize(
    ("content", "images"),
    [
        (BATCH, ["s3://shop/in/a.jpg", "s3://shop/in/b c d.png"]),
        (BATCH.replace("\n", "\r\n"), ["s3://shop/in/a.jpg", "s3://shop/in/b c d.png"]),
        (gzip.compress(BATCH.encode(), mtime=0), ["s3://shop/in/a.jpg", "s3://shop/in/b c d.png"]),
        (INVENTORY, ["s3://shop/in/a.jpg", "s3://shop/in/b c(d).png"]),
        ('"shop","a%22b,c.jpg"\n', ['s3://shop/a"b,c.jpg']),
        ('"shop","in/","0"\n\n"shop","in/%C3%BC.jpg","5"\n', ["s3://shop/in/ü.jpg"]),
        ("shop,a.jpg,\nshop,b.jpg,v17\n", ["s3://shop/a.jpg", "s3://shop/b.jpg"]),
        ('shop,a.jpg,v1,true,false\nshop,a.jpg,v0,false,false\nshop,b.jpg,v2,true,true\n', ["s3://shop/a.jpg"]),
    ],
    ids=["batch", "crlf", "gzip", "inventory", "encoded", "folder first", "versions", "all versions"],
)  # fmt: skip
def test_headerless_tables(content: str | bytes, images: list[str]) -> None:
    """The tables of S3 Batch Operations and S3 Inventory have no header; their keys are URL-encoded."""
    found = good(content)
    assert found.images == images
    assert found.ids == [image.removeprefix("s3://shop/").rpartition(".")[0] for image in images]
    assert [entry.etag for entry in found.entries] == [""] * len(images)


def test_what_is_left_out_of_a_list_of_keys() -> None:
    """The same as of a folder, as far as keys tell."""
    found = good("shop,in/a.jpg\nshop,in/._a.jpg\nshop,__MACOSX/a.jpg\nshop,in/b.txt\n")
    assert found.ids == ["in/a"]
    assert {kind: one.count for kind, one in found.left_out.items()} == {"hidden file{s}": 2, ".txt file{s}": 1}


def test_versions_are_told() -> None:
    """That versions are not read is said once."""
    found = good("shop,a.jpg,v1\nshop,b.jpg,v2\n")
    assert found.warnings == ["-: versions of objects are not read; the latest of each is taken"]


@pytest.mark.parametrize(
    "header",
    ["image,title/alt", "sku,image,folder/file.jpg", "path/to,image", "Image,a/b"],
)
def test_a_header_with_slashes_is_a_header(header: str) -> None:
    """A table with a column for images is never taken for buckets and keys."""
    row = ",".join("s3://b/a.jpg" if name.lower() == "image" else "x" for name in header.split(","))
    assert good(f"{header}\n{row}\n").images == ["s3://b/a.jpg"]


def test_a_folder_that_cannot_be_read(tmp_path: Path) -> None:
    """It is a bad line: what lies in it would be missing without a word."""
    make(tmp_path, "a.jpg")
    for _ in range(4096 // 250 + 1):
        Path("d" * 250).mkdir()
        os.chdir("d" * 250)  # nobody, root neither, lists a folder whose path is too long
    os.chdir(tmp_path)
    (told,) = read_file(str(tmp_path)).told
    assert "cannot be read: File name too long" in told


def test_a_table_without_a_header() -> None:
    """An id is no bucket, though it may look like one; what stands in the first line is told."""
    (told,) = read("sku-1,in/a.jpg\nsku-2,in/b.jpg\n").told
    assert told.startswith("2: : sku-2 is another bucket than sku-1, and such a list has one; if this is a table, put")
    for text in ("sku-1,s3://b/a.jpg\nsku-2,s3://b/b.jpg\n", "s3://b/a.jpg\ns3://b/b.jpg\n"):
        assert "image: the first line has s3://b/a.jpg, and no columns' names: put a header above it" in refusal(text)
    assert "the first line has a.jpg, and no columns' names" in refusal("a.jpg\nb.jpg\n")


def test_a_short_row() -> None:
    """A row without a key is a bad line."""
    found = read("shop,a.jpg\nshop\nshop,b.jpg\n")
    assert (found.told, found.ids) == (["2: : has no bucket and key"], ["a", "b"])


def test_a_quote_left_open() -> None:
    """A quote that is never closed is told, and swallows no keys."""
    told = refusal('shop,a.jpg\nshop,"b.jpg\nshop,c.jpg\n')
    assert "-:2: the row that begins here is no CSV" in told


def test_renaming_makes_it_a_table() -> None:
    """With `--column` the first line is taken for a header."""
    assert "image: there is no such column" in refusal("shop,a/b\n", {"id": "shop"})
