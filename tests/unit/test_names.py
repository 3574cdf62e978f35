"""Where relative images lie, what is meant by a name that is not there, and ids that are made of columns."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from producers.manifest import ReadOptions
from restyle.errors import ManifestError
from tests.support.manifests import good, read, read_file, refusal


def make(folder: Path, *names: str) -> None:
    """Files that are pictures by their names."""
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Mug.jpg", "did you mean mug.jpg? (letter case differs)"),
        ("in\\bowl.jpg", "did you mean in/bowl.jpg? (with / between folders)"),
        (r"C:\shop\in\Bowl.JPG", "did you mean in/bowl.jpg?"),
        ("mug.png", "did you mean mug.jpg? (its suffix differs)"),
        ("out/bowl.jpg", "did you mean in/bowl.jpg? (in another folder)"),
        ("bowl", "did you mean in/bowl.jpg?"),
        ("gr%C3%B6%C3%9Fe.jpg", "did you mean größe.jpg? (as it is, not percent-encoded)"),
        (unicodedata.normalize("NFD", "größe.jpg"), "did you mean größe.jpg? (the same letters in another Unicode"),
    ],
)
def test_the_name_that_is_meant(tmp_path: Path, name: str, hint: str) -> None:
    """A name that is not there is told with the one that is easily taken for it."""
    make(tmp_path, "mug.jpg", "in/bowl.jpg", "größe.jpg", "other.jpg")
    (told,) = read(f"image\n{name}\n").told
    assert "there is no file" in told
    assert hint in told


def test_nothing_is_meant(tmp_path: Path) -> None:
    """Where no name is like it, nothing is guessed."""
    make(tmp_path, "mug.jpg")
    (told,) = read("image\nvase.jpg\n").told
    assert told == f"2: image: vase.jpg: there is no file {tmp_path}/vase.jpg"


def test_images_elsewhere(tmp_path: Path) -> None:
    """`--images` is where relative names begin; the manifest may lie anywhere, and ids are of the names."""
    make(tmp_path, "pictures/in/mug.jpg", "lists/m.csv")
    (tmp_path / "lists/m.csv").write_text("image\nin/mug.jpg\n")
    found = read_file("lists/m.csv", ReadOptions(images="pictures"))
    assert (found.told, found.ids, found.images) == ([], ["in/mug"], [str(tmp_path / "pictures/in/mug.jpg")])


@pytest.mark.parametrize(
    ("images", "told"),
    [
        ("x" * 5000, ": there is no such folder"),
        ("nowhere", "--images nowhere: there is no such folder"),
        ("s3://shop/in/", "--images s3://shop/in/ lies in S3, which is not open here"),
        ("http://shop.example/", "--images http://shop.example/: http:// is not fetched"),
    ],
)
def test_wrong_places_of_images(images: str, told: str) -> None:
    """A place that is none is told before a line is read."""
    assert told in refusal("image\na.jpg\n", options=ReadOptions(images=images))


def test_an_empty_file_is_no_picture(tmp_path: Path) -> None:
    """A file of no bytes is told by its line."""
    (tmp_path / "a.jpg").touch()
    assert read("image\na.jpg\n").told == ["2: image: a.jpg: is empty (0 bytes)"]


def test_a_listing_takes_no_options_of_files(tmp_path: Path) -> None:
    """What has no effect on a folder is refused, not ignored."""
    make(tmp_path, "a.jpg")
    with pytest.raises(ManifestError, match="--images is for a file that names images; this is a folder"):
        read_file(".", ReadOptions(images="."))


# -- ids ---------------------------------------------------------------------------------------------------

_TABLE = "Handle,Image Position,image\nmug,1,s3://b/a.jpg\nmug,2,s3://b/b.jpg\n"


def test_ids_of_columns() -> None:
    """`--id` puts columns together, in any case."""
    assert good(_TABLE, options=ReadOptions(id="{Handle}-{Image Position}")).ids == ["mug-1", "mug-2"]
    assert good(_TABLE, options=ReadOptions(id="shop/{handle}/{image position}")).ids == ["shop/mug/1", "shop/mug/2"]


def test_ids_of_columns_that_are_empty() -> None:
    """A row without the column's cell is a bad line."""
    (told,) = read(_TABLE.replace("mug,2", "mug,"), options=ReadOptions(id="{Handle}-{Image Position}")).told
    assert told.startswith("3: id: --id uses {Image Position}, which this row has not; it has handle, image, n")


def test_ids_in_a_namespace() -> None:
    """All ids begin with it, those of a report, which are whole, and those in it already as they are."""
    within = ReadOptions(namespace="hats/2026/")
    assert good("image\ns3://b/a.jpg\n", options=within).ids == ["hats/2026/a"]
    assert good("id,image\n7,s3://b/a.jpg\nhats/2026/8,s3://b/b.jpg\n", options=within).ids == [
        "hats/2026/7", "hats/2026/8",
    ]  # fmt: skip
    report = "run_id,job_id,id,variant,image,outcome,mark\nr,,7,default,s3://b/a.jpg,failed,\n"
    assert good(report, options=within).ids == ["7"]
    (line,) = read(f"id,image\n{'x/' * 340}y,s3://b/a.jpg\n", options=ReadOptions(namespace="n" * 30)).told
    assert line.startswith("2: id: the id is longer than 700 bytes, with --namespace before it")
    assert "--namespace ..: the id has a part '..'" in refusal(_TABLE, options=ReadOptions(namespace=".."))


@pytest.mark.parametrize("template", ["Handle", "{Handle", "a}{Handle}", "{}"])
def test_templates_of_ids_that_are_none(template: str) -> None:
    """What is no template is told."""
    assert "write it of columns in braces" in refusal(_TABLE, options=ReadOptions(id=template))
