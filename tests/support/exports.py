"""Exports of shops as their programs write them, of fictitious products, with more columns than are used."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import date
from xml.sax.saxutils import escape

from tests.support.workbooks import Cell, xlsx

#: Products of the exports, with how many pictures and how many rows of variants each has.
_PICTURES = [1, 2, 3, 1, 2, 4, 1, 2, 3, 1, 2, 1, 3, 2, 1, 2, 3, 1, 2, 2]
_VARIANTS = [1, 1, 1, 2, 1, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1, 1, 1, 1]
_THINGS = ("mug", "bowl", "vase", "lamp", "chair", "plate", "stool", "tray", "jar", "clock")


def names() -> list[str]:
    """The handles of the products."""
    return [f"oak-{thing}" for thing in _THINGS] + [f"pine-{thing}" for thing in _THINGS]


def pictures(base: str) -> dict[str, list[str]]:
    """Where the pictures of each product lie."""
    return {
        name: [f"{base}{name}-{number}.jpg" for number in range(1, count + 1)]
        for name, count in zip(names(), _PICTURES, strict=True)
    }


def _written(header: Sequence[str], rows: Sequence[dict[str, str]], delimiter: str = ",") -> str:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, header, restval="", delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def shopify(base: str) -> str:
    """41 rows, 20 products, 39 pictures: further pictures and variants stand in rows without a title."""
    header = [
        "Handle",
        "Title",
        "Body (HTML)",
        "Vendor",
        "Product Category",
        "Type",
        "Tags",
        "Published",
        "Option1 Name",
        "Option1 Value",
        "Variant SKU",
        "Variant Grams",
        "Variant Price",
        "Image Src",
        "Image Position",
        "Image Alt Text",
        "Gift Card",
        "SEO Title",
        "Variant Image",
        "Status",
    ]
    rows: list[dict[str, str]] = []
    for (name, addresses), variants in zip(pictures(base).items(), _VARIANTS, strict=True):
        for number in range(max(len(addresses), variants)):
            row = {"Handle": name}
            if number == 0:
                row |= {
                    "Title": name.replace("-", " ").title(), "Body (HTML)": f"<p>A {name},\nby hand.</p>",
                    "Vendor": "Oakmade", "Product Category": "Home & Garden > Kitchen", "Type": "Kitchen",
                    "Tags": "oak, hand-made",
                    "Published": "true", "Option1 Name": "Size", "Status": "active",
                }  # fmt: skip
            if number < variants:
                row |= {"Option1 Value": "SML"[number], "Variant SKU": f"00{len(rows)}", "Variant Price": "12.50"}
            if number < len(addresses):
                row |= {"Image Src": addresses[number], "Image Position": str(number + 1), "Image Alt Text": "front"}
            rows.append(row)
    return _written(header, rows)


def woocommerce(base: str) -> str:
    """A row a product, its pictures in one cell; a variation without one of its own."""
    header = "ID,Type,SKU,GTIN,Name,Published,Description,Regular price,Categories,Tags,Images,Parent,Position"
    rows: list[dict[str, str]] = [
        {
            "ID": str(number), "Type": "variable" if number == 1 else "simple",
            "SKU": f"SKU-{name}" if number != 2 else "",
            "Name": name, "Published": "1", "Description": "<p>By hand,\\nof wood</p>",
            "Categories": "Home, Home > Kitchen",
            "Images": ", ".join(addresses),
        }
        for number, (name, addresses) in enumerate(pictures(base).items(), 1)
    ]  # fmt: skip
    rows.append({"ID": "99", "Type": "variation", "SKU": "SKU-v", "Name": "oak-mug - large", "Parent": "SKU-oak-mug"})
    return _written(header.split(","), rows)


def magento(base: str) -> str:
    """A row a product and store view; a base image, and further ones in one cell, by paths below media/."""
    header = [
        "sku",
        "store_view_code",
        "attribute_set_code",
        "product_type",
        "categories",
        "name",
        "description",
        "price",
        "url_key",
        "base_image",
        "base_image_label",
        "small_image",
        "thumbnail_image",
        "additional_images",
        "additional_image_labels",
        "qty",
    ]
    rows: list[dict[str, str]] = []
    for name, addresses in pictures(base).items():
        row = {
            "sku": name, "attribute_set_code": "Default", "product_type": "simple", "name": name, "price": "12.5000",
            "categories": "Default Category/Home,Default Category/Home/Kitchen",
        }  # fmt: skip
        rows.append(
            row
            | {"base_image": addresses[0], "thumbnail_image": addresses[0], "additional_images": ",".join(addresses)}
        )
        rows.append(row | {"store_view_code": "de", "name": f"{name} auf Deutsch"})
    rows.append({"sku": "ghost", "product_type": "simple", "base_image": "no_selection"})
    return _written(header, rows)


def merchant(base: str) -> str:
    """A Merchant feed as tab-separated text."""
    header = [
        "id",
        "title",
        "description",
        "link",
        "image_link",
        "additional_image_link",
        "availability",
        "price",
        "brand",
        "item_group_id",
    ]
    rows = [
        {
            "id": name, "title": name, "link": f"https://shop.example/{name}", "image_link": addresses[0],
            "additional_image_link": ",".join(addresses[1:]), "availability": "in_stock", "price": "12.50 EUR",
        }
        for name, addresses in pictures(base).items()
    ]  # fmt: skip
    return _written(header, rows, "\t")


def merchant_xml(base: str) -> str:
    """The same feed as RSS, in Google's namespace."""
    items = []
    for row in csv.DictReader(io.StringIO(merchant(base)), delimiter="\t"):
        further = row.pop("additional_image_link").split(",")
        cells = [(name, value) for name, value in row.items() if value] + [
            ("additional_image_link", url) for url in further if url
        ]
        items.append("".join(f"<g:{name}>{escape(value)}</g:{name}>" for name, value in cells))
    body = "".join(f"<item>{item}</item>" for item in items)
    return (
        '<?xml version="1.0" encoding="UTF-8"?><rss xmlns:g="http://base.google.com/ns/1.0" version="2.0"><channel>'
        f"<title>Oak and pine</title><link>https://shop.example/</link>{body}</channel></rss>"
    )


def workbook(base: str) -> bytes:
    """What a person keeps in a spreadsheet: a picture a row, ids with zeros before them, a price, a day."""
    rows: list[list[Cell]] = [["SKU", "Picture URL", "Name", "Price", "Since"]]
    for number, (name, addresses) in enumerate(pictures(base).items()):
        rows += [[f"{number:04d}-{at}", url, name, 12.5, date(2026, 1, 1 + number)] for at, url in enumerate(addresses)]
    return xlsx(rows)
