"""From a shop and back: the page is typed as it is written."""

from __future__ import annotations

import json

import pytest

from tests.acceptance.conftest import Alone
from tests.support import exports
from tests.support.catalog import write_pictures
from tests.support.pages import Page, typed
from tests.support.workbooks import xlsx

pytestmark = pytest.mark.acceptance


@pytest.mark.long
@pytest.mark.page("docs/guides/shops.md", "From your shop", "Workbooks and databases", "Back into the shop")
def test_the_page(alone: Alone, page: Page) -> None:
    """A plan says what it took a file for, and reads workbooks and JSON by their options."""
    (alone.folder / "products_export.csv").write_text(exports.shopify("s3://shop/p/"))
    (alone.folder / "catalog.xlsx").write_bytes(xlsx([["id", "image"], ["0017", "s3://shop/p/a.jpg"]]))
    media = [{"src": "s3://shop/p/a.jpg"}, {"src": "s3://shop/p/b.jpg"}]
    (alone.folder / "export.json").write_text(json.dumps({"products": {"items": [{"sku": "mug", "media": media}]}}))
    (plan,) = page.commands("From your shop")
    told = " ".join(typed(alone.command, plan).err.split())
    assert "read as a Shopify export: 41 rows, 20 products, 39 pictures" in told
    assert "left out 2 rows without a picture (line 13, line 38)" in told
    of_workbook, of_json = page.commands("Workbooks and databases")
    assert "read as a workbook, sheet Products: 1 row, 1 picture" in " ".join(
        typed(alone.command, of_workbook).err.split()
    )
    assert "read as a JSON document: 2 rows, 2 pictures" in " ".join(typed(alone.command, of_json).err.split())

    write_pictures(alone.folder, ["oak-mug"])
    (alone.folder / "products_export.csv").write_text(
        "Handle,Title,Image Src,Image Position,Variant SKU\noak-mug,Oak Mug,oak-mug.jpg,1,0017\noak-mug,,,,0018\n"
    )
    run = alone.command("run", "products_export.csv", "--prompt", "photo of {Title}", "--yes", "--json").json
    (alone.folder / "oak-mug.jpg").unlink()  # it was uploaded
    (export,) = page.commands("Back into the shop")
    typed(alone.command, export.replace("RUN", run["run_id"]))
    assert (alone.folder / "import.csv").read_text().splitlines() == [
        "Handle,Title,Image Src,Image Position,Variant SKU",
        "oak-mug,Oak Mug,https://cdn.example.com/restyled/oak-mug-1/default.jpg,1,0017",
        "oak-mug,,,,0018",
    ]
