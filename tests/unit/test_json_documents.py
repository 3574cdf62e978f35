"""JSON of any nesting: entries and columns by paths, several pictures of an item, and what is said without paths."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest

from producers.manifest import Problems, ReadOptions, open_manifest
from tests.support.manifests import good, read, refusal

#: As a product database exports it.
SHOP = {
    "meta": {"page": 1, "tags": [[1], {"x": []}]},
    "products": {
        "items": [
            {
                "sku": "mug",
                "name": {"en": "Mug"},
                "media": [{"src": "s3://b/1.jpg", "alt": "front"}, {"src": "s3://b/2.jpg"}],
            },
            {"sku": "bowl", "name": {"en": "Bowl"}, "media": [{"src": "s3://b/3.jpg", "alt": "side"}]},
        ]
    },
    "next": None,
}


def options(items: str = "products.items", **columns: str) -> ReadOptions:
    """Paths, as options say them."""
    return ReadOptions({name.replace("_", "."): path for name, path in columns.items()}, items=items)


@pytest.mark.parametrize("indent", [None, 1])
def test_one_picture_of_an_item(indent: int | None) -> None:
    """`media[0].src` is the first; an id and a column for prompts come from where they are."""
    how = options(image="media[0].src", id="sku", title="name.en")
    found = good(json.dumps(SHOP, indent=indent), options=how)
    assert list(zip(found.ids, found.images, strict=True)) == [("mug", "s3://b/1.jpg"), ("bowl", "s3://b/3.jpg")]
    assert [entry.meta["title"] for entry in found.entries] == ["Mug", "Bowl"]
    assert found.manifest.form == "a JSON document"


def test_all_pictures_of_an_item() -> None:
    """`media[*].src` is an entry each, numbered from 1; other columns of the same element go with it."""
    how = options(image="media[*].src", id="sku", alt="media[*].alt")
    found = good(json.dumps(SHOP), options=how)
    assert [(entry.id, entry.image, entry.meta.get("alt")) for entry in found.entries] == [
        ("mug-1", "s3://b/1.jpg", "front"), ("mug-2", "s3://b/2.jpg", None), ("bowl-1", "s3://b/3.jpg", "side"),
    ]  # fmt: skip
    assert found.counts == {"rows": 3, "pictures": 3}


def test_stars_in_stars() -> None:
    """Pictures of colours of products: each with its own colour."""
    text = json.dumps(
        [
            {
                "id": "a",
                "colours": [{"name": "red", "pics": ["s3://b/1", "s3://b/2"]}, {"name": "blue", "pics": ["s3://b/3"]}],
            }
        ]
    )
    found = good(text, options=ReadOptions({"image": "colours[*].pics[*]", "colour": "colours[*].name"}))
    assert [(entry.id, entry.meta["colour"]) for entry in found.entries] == [
        ("a-1", "red"), ("a-2", "red"), ("a-3", "blue"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("data[1].rows", {"data": [{"rows": 1}, {"rows": [{"image": "s3://b/a.jpg"}]}]}),
        ("data[*].rows", {"data": [{"rows": [{"image": "s3://b/a.jpg"}]}, {"rows": []}]}),
        ('["a.b"].c', {"x": {"a.b": 1}, "a.b": {"c": [{"image": "s3://b/a.jpg"}]}}),
        ("$.items", {"items": [{"image": "s3://b/a.jpg"}]}),
    ],
)
def test_paths_to_entries(path: str, document: object) -> None:
    """By key, by number, through each of a list, and with dots in keys."""
    assert good(json.dumps(document), options=ReadOptions(items=path)).images == ["s3://b/a.jpg"]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("products.item", "--items products.item: products has no item; did you mean items?"),
        ("product", "the document has no product; did you mean products?"),
        ("products", "--items products: products is no list"),
        ("meta.page.x", "meta.page is no object"),
        ("next.items", "next is no object"),
        ("products[0]", "products is no list"),
        ("a..b", "is no path"),
        ("", ""),
    ],
)
def test_paths_that_lead_nowhere(path: str, told: str) -> None:
    """What is wrong with a path is said by the key that is not there."""
    if path:
        assert told in refusal(json.dumps(SHOP), options=options(path, image="media[0].src"))


def test_a_key_may_have_dots() -> None:
    """A column that is there as it is written is no path."""
    text = json.dumps([{"a.pic": "s3://b/1.jpg", "a": {"pic": "s3://b/2.jpg"}}])
    assert good(text, {"image": "a.pic"}).images == ["s3://b/1.jpg"]


def test_columns_that_lead_nowhere() -> None:
    """An image or id that an entry has not is its bad line; another column that no entry has is told once."""
    told = read(json.dumps(SHOP), options=options(image="media[1].src", id="sku", title="name.de")).told
    assert "1: image: --column image=media[1].src: leads nowhere in this entry, which has sku, name, media" in told[1]
    assert told[0] == "0: title: --column title=name.de: no entry has it"


@pytest.mark.parametrize("indent", [None, 2])
def test_documents_without_a_path_are_named_as_what_they_are(indent: int | None) -> None:
    """Where the lists of entries are is said, with what to type."""
    for document, found in (
        (SHOP, "products.items"), ({"items": [{"image": "a"}]}, "items"), ({"products": [{"media": []}]}, "products"),
    ):  # fmt: skip
        told = refusal(json.dumps(document, indent=indent))
        assert f"is a document with lists of entries: {found} (" in told
        assert told.endswith(f"give --items {found}")


def test_entries_one_below_the_other() -> None:
    """As jq prints them; and one alone: what to write is said, and not that `image` is `images`."""
    one = json.dumps({"id": "a", "image": "s3://b/a.jpg"}, indent=1)
    for text in (one, f"{one}\n{one}\n", json.dumps({"Image Src": "x"}, indent=1)):
        assert "belongs to an entry: write entries as a list [{...}, ...], or each in a line" in refusal(text)


def test_entries_without_an_image_say_where_one_is() -> None:
    """A nested picture is named by the path to give."""
    (told, _) = read(json.dumps(SHOP["products"]["items"])).told  # type: ignore[index] # it is an object
    assert "if media[*].src has the images, give --column 'image=media[*].src'" in told
    (told,) = read(json.dumps([{"id": "a", "images": [{"id": 1, "src": "s3://b/a.jpg"}]}])).told
    assert "is no text but a list or an object; give --column 'image=images[*].src'" in told


def test_entries_under_their_names_are_no_entry() -> None:
    """A path would take the first of them, and leave the others out in silence."""
    (told,) = read(json.dumps({"mug": {"image": "s3://b/a.jpg"}, "bowl": {"image": "s3://b/b.jpg"}})).told
    assert "has 2 objects with pictures (mug, bowl): write a list of entries, each with its id" in told


def test_what_stands_before_the_entries_takes_no_memory() -> None:
    """A list of many beside the entries is passed over; of the entries one at a time is held."""
    with Path("m.json").open("w") as file:
        file.write('{"log": [' + ",".join(['{"n": [1, "x"]}'] * 10_000) + '], "items": [')
        file.write(",".join(f'{{"id": "{n}", "pic": {{"src": "s3://b/{n}.jpg"}}}}' for n in range(2000)) + "]}")
    manifest = open_manifest("m.json", store=None, options=ReadOptions({"image": "pic.src"}, items="items"))
    tracemalloc.start()
    count = sum(1 for _ in manifest.entries(Problems()))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 2000
    assert peak < 2_000_000


def test_no_depth_breaks_the_reader() -> None:
    """What is nested too deeply to be passed over is told."""
    deep = '{"a": ' + "[" * 100_000 + "]" * 100_000 + ', "items": []}'
    assert "is nested too deeply" in refusal(deep, options=ReadOptions(items="items"))
