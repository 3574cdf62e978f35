"""Exports of shops: recognised by their columns, read as what they mean, and open to be decided otherwise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from config.settings import Settings
from producers.manifest import ReadOptions
from producers.planning.make import make_plan
from producers.planning.plan import Plan
from producers.planning.request import PlanRequest
from restyle.errors import ManifestError
from restyle.keys import Workspace
from tests.support import exports
from tests.support.manifests import good, read, refusal

BASE = "s3://shop/p/"
ALL = [address for addresses in exports.pictures(BASE).values() for address in addresses]


def plan(content: str, prompt: str = "photo of {id}", **more: str) -> Plan:
    """The plan of an export."""
    Path("export.csv").write_text(content)
    request = PlanRequest("export.csv", prompt=prompt, read=ReadOptions(**more))  # type: ignore[arg-type] # texts alone
    return make_plan(request, Settings(), workspace=Workspace("s3://shop/team"), store=None)


def test_a_shopify_export() -> None:
    """Titles are filled down, further pictures are entries, ids are handle and position; the plan says what it read."""
    found = good(exports.shopify(BASE))
    assert found.images == ALL
    assert found.ids[:4] == ["oak-mug-1", "oak-bowl-1", "oak-bowl-2", "oak-vase-1"]
    second = found.entries[2].meta
    assert (second["Title"], second["Product Category"]) == ("Oak Bowl", "Home & Garden > Kitchen")
    assert "Option1 Value" not in second
    lines = plan(exports.shopify(BASE), "photo of {Title}, {Type}").summary.lines()
    assert lines == [
        ("read as", "a Shopify export: 41 rows, 20 products, 39 pictures"),
        ("columns", "image is Image Src"),
        ("left out", "2 rows without a picture (line 13, line 38)"),
    ]


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("Title;EAN;Image", [("ids", "the images' names, as there is no id; for another: --column 'id=EAN'")]),
        ("Title;Name;Image", []),
        ("id;sku;Image", []),
    ],
    ids=["a number", "none", "an id"],
)
def test_a_column_that_may_hold_ids(header: str, says: list[tuple[str, str]]) -> None:
    """Images name the entries where no column is `id`; that another could is said, and not decided."""
    lines = plan(f"{header}\nMug;A-1;s3://in/a.jpg\n", "p").summary.lines()
    assert [line for line in lines if line[0] == "ids"] == says


def test_the_newer_shopify_export() -> None:
    """Shopify has renamed its columns; the rows mean the same."""
    text = exports.shopify(BASE).replace("Handle", "URL handle", 1).replace("Image Src", "Product image URL", 1)
    found = good(text.replace("Image Position", "Image position", 1))
    assert (found.ids[:3], found.counts["products"]) == (["oak-mug-1", "oak-bowl-1", "oak-bowl-2"], 20)


def test_a_woocommerce_export() -> None:
    """All pictures of a cell, numbered; SKUs are ids, else the ID; a variation without a picture is left out."""
    found = good(exports.woocommerce(BASE))
    assert found.images == ALL
    assert found.ids[:4] == ["SKU-oak-mug-1", "2-1", "2-2", "SKU-oak-vase-1"]
    assert found.entries[0].meta["Categories"] == "Home, Home > Kitchen"
    assert found.entries[0].meta["SKU"] == "SKU-oak-mug"
    assert found.counts == {"rows": 21, "products": 20, "pictures": 39}
    assert found.left_out["row{s} without a picture"].count == 1


def test_a_magento_export(tmp_path: Path) -> None:
    """The base image has the SKU as its id, further ones end in numbers; other store views are none."""
    for name in exports.pictures("/m/").values():
        for path in name:
            (tmp_path / "media/m").mkdir(parents=True, exist_ok=True)
            (tmp_path / f"media{path}").write_bytes(b"x")
    found = good(exports.magento("/m/"), options=ReadOptions(images="media"))
    assert found.images == [f"{tmp_path}/media{path}" for paths in exports.pictures("/m/").values() for path in paths]
    assert found.ids[:4] == ["oak-mug", "oak-bowl", "oak-bowl-2", "oak-vase"]
    assert {kind: one.count for kind, one in found.left_out.items()} == {
        "row{s} of another store view": 20, "row{s} without a picture": 1,
    }  # fmt: skip


def test_addresses_with_commas() -> None:
    """Only a comma that another address follows divides two; one that is left over is none's."""
    one, two = "https://img.example/w_300,h_300/a.jpg", "https://img.example/w_9,h_9/b.jpg"
    woo = f'ID,Type,SKU,Name,Images\n1,simple,s,x,"{one}, {two},"\n'
    assert good(woo).images == [one, two]
    merchant = f"id\ttitle\timage_link\tadditional_image_link\na\tx\t{one}\t{two},{one}\n"
    assert good(merchant).images == [one, two]
    (told,) = read('ID,Type,SKU,Name,Images\n1,simple,s,x,"https://img.example/a.jpg, c.jpg"\n').told
    assert "looks like 2 pictures" in told


def test_a_merchant_feed() -> None:
    """Tab-separated, with further pictures between commas."""
    found = good(exports.merchant(BASE))
    assert found.images == ALL
    assert (found.ids[:3], found.manifest.form) == (["oak-mug", "oak-bowl", "oak-bowl-2"], "a Merchant feed")


@pytest.mark.parametrize(
    ("feed", "column"),
    [
        (exports.shopify, "Handle"), (exports.woocommerce, "Name"), (exports.magento, "sku"), (exports.merchant, "id"),
    ],
)  # fmt: skip
def test_every_recognition_can_be_decided_otherwise(feed: Callable[[str], str], column: str) -> None:
    """`--feed none` makes it a table; `--column` and `--id` go before what an export means."""
    text = feed(BASE)
    none = read(text, options=ReadOptions(feed="none"))
    assert none.manifest.form.startswith("a table (")
    assert (none.left_out, "products" in none.counts) == ({}, False)
    made = read(text, options=ReadOptions(id=f"x-{{{column}}}-{{n}}"))
    assert made.ids[0] == "x-oak-mug-1"


def test_an_export_that_it_is_not() -> None:
    """`--feed` names what is missing, and the exports there are."""
    assert "--feed shopify: has no columns handle, imagesrc, as a Shopify export has" in refusal(
        "id,image\na,b\n", options=ReadOptions(feed="shopify")
    )
    assert "there are: shopify, woocommerce, magento, merchant, none" in refusal(
        "id,image\na,b\n", options=ReadOptions(feed="shop")
    )


@pytest.mark.parametrize("export", [exports.shopify, exports.woocommerce, exports.magento, exports.merchant])
def test_exports_with_pictures_on_the_web(export: Callable[[str], str]) -> None:
    """A plan counts their addresses and hosts, and asks nobody."""
    told = dict(plan(export("https://cdn.shop.example/")).summary.lines())
    assert told["to fetch"] == "39 addresses on the web, of cdn.shop.example"


def test_pictures_by_http_are_refused_before_anything_is_spent() -> None:
    """Each with its line, and with what the file was taken for."""
    with pytest.raises(ManifestError) as caught:
        plan(exports.shopify("http://cdn.shop.example/"))
    assert "export.csv:2: image: http://cdn.shop.example/oak-mug-1.jpg: http:// is not fetched" in str(caught.value)
    assert caught.value.__notes__[0] == "read as a Shopify export: 41 rows, 20 products, 39 pictures"


def test_what_is_too_long_to_be_kept() -> None:
    """A description of a page is left out, counted and named; only a prompt that uses it is a bad line."""
    text = exports.merchant(BASE).replace("\toak-mug\t", "\toak-mug\t" + "word " * 3000, 1)
    assert plan(text).summary.lines()[-1] == ("left out", "1 cell too long to be kept (description (line 2))")
    with pytest.raises(
        ManifestError, match=r"2: description: is 1\d,\d{3} characters long, too long to be kept, and the"
    ):
        plan(text.replace("\tlink", "\tlink", 1), "photo of {description}")
