"""Exports of shops and feeds, recognised by their columns; makes rows of one picture each, or a list, of their rows.

Read by table.py and document.py. The page for users: docs/guides/shops.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from producers.manifest.cells.columns import plain
from producers.manifest.entry import Problems, Row
from producers.manifest.source import wrong

#: Reasons for leaving out rows.
NO_PICTURE = "row{s} without a picture"
_OTHER_VIEW = "row{s} of another store view"
_COMMA = re.compile(",")
#: Between addresses: theirs may have commas, as those of services that make pictures to measure.
_BEFORE_ADDRESS = re.compile(r",(?=\s*(?:https?|s3)://)", re.IGNORECASE)
_SELECTED_NONE = "no_selection"

Rows = Callable[[Iterator[Row], Problems], Iterator[Row]]


@dataclass(frozen=True)
class Feed:
    """A known kind of export."""

    name: str
    """Its name for `--feed`."""
    form: str
    """What messages call it, with the article."""
    signs: Sequence[frozenset[str]]
    """Sets of plain column names; a file that has all of one set is of this kind."""
    rows: Rows
    """Turns its rows into rows with one picture, or a list of pictures."""
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Our name -> its plain column names, of which the first that is there is taken."""

    def has(self, names: Sequence[str]) -> bool:
        """Whether columns are those of this export."""
        plain_names = set(map(plain, names))
        return any(sign <= plain_names for sign in self.signs)

    def renames(self, names: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
        """Our name -> the file's column, by this export's columns; `given` takes precedence."""
        by_plain = {plain(name): name for name in reversed(names)}
        renames: dict[str, str] = {}
        for own, columns in self.columns.items():
            source = next((by_plain[column] for column in columns if column in by_plain), "")
            if source and source != own and own not in names:
                renames |= {own: source} | ({f"meta.{source}": source} if own == "id" else {})
        return renames | dict(given)


def feed_of(names: Sequence[str], requested: str, source: str) -> Feed | None:
    """The export that these columns are of; None where they are a table of the user's own.

    Raises:
        ManifestError: `--feed` requests one that is unknown, or whose columns are missing.
    """
    if requested == "none":
        return None
    if not requested:
        return next((feed for feed in FEEDS.values() if feed.has(names)), None)
    if requested not in FEEDS:
        raise wrong(source, f"--feed {requested}: there is no such export; there are: {', '.join(FEEDS)}, none")
    feed = FEEDS[requested]
    if not feed.has(names):
        here = frozenset(map(plain, names))
        _, missing = min((len(sign - here), sorted(sign - here)) for sign in feed.signs)
        raise wrong(source, f"--feed {requested}: has no columns {', '.join(missing)}, as {feed.form} has", 1)
    return feed


# -- Shopify -----------------------------------------------------------------------------------------------

#: Columns of a product that only its first row has.
_OF_PRODUCT = frozenset(
    {
        "title", "bodyhtml", "description", "vendor", "productcategory", "standardizedproducttype", "type",
        "customproducttype", "tags", "status", "published", "publishedononlinestore", "option1name", "option2name",
        "option3name", "seotitle", "seodescription", "giftcard", "collection",
    }
)  # fmt: skip


def _cell(row: Row, *columns: str) -> str:
    """A cell by its column's plain name; empty where it has none of these."""
    return next((cell.strip() for name, cell in row.meta.items() if plain(name) in columns), "")


def _shopify(rows: Iterator[Row], problems: Problems) -> Iterator[Row]:
    """Rows with further images follow the product's first row, which alone has its title."""
    handle, shared, number = "", dict[str, str](), 0
    for row in rows:
        of_row = _cell(row, "handle", "urlhandle") or handle
        if of_row != handle:
            handle, number = of_row, 0
            shared = {name: cell for name, cell in row.meta.items() if plain(name) in _OF_PRODUCT}
            problems.count("products")
        if not row.given.get("image"):
            problems.leave_out(NO_PICTURE, f"line {row.line}")
            continue
        number += 1
        own_id = f"{handle}-{_cell(row, 'imageposition') or number}"
        yield row._replace(given={"id": own_id} | row.given, meta=shared | row.meta)


# -- WooCommerce, Magento, Merchant ------------------------------------------------------------------------


def listed(cell: object) -> list[str]:
    """The pictures of a cell between commas, or of a list."""
    if isinstance(cell, list | tuple):
        parts = [part for part in cell if isinstance(part, str)]
    else:
        text = str(cell or "")
        parts = (_BEFORE_ADDRESS if "://" in text else _COMMA).split(text)
    return [bare for part in parts if (bare := part.strip(" \t\r\n,")) not in {"", _SELECTED_NONE}]


def _woocommerce(rows: Iterator[Row], problems: Problems) -> Iterator[Row]:
    """A row a product, or a variation of one; one cell has all of its pictures, the main one first."""
    for row in rows:
        if _cell(row, "type", "typ") != "variation":
            problems.count("products")
        images = listed(row.given.get("image"))
        if not images:
            problems.leave_out(NO_PICTURE, f"line {row.line}")
            continue
        own_id = _cell(row, "id")
        yield row._replace(given=({"id": own_id} if own_id else {}) | row.given | {"image": images})


def _magento(rows: Iterator[Row], problems: Problems) -> Iterator[Row]:
    """A row a product and store view; the base image, and further ones between commas, by paths below media/."""
    for row in rows:
        if _cell(row, "storeviewcode"):
            problems.leave_out(_OTHER_VIEW, f"line {row.line}")
            continue
        problems.count("products")
        main = [image.lstrip("/") for image in listed(row.given.get("image"))]
        more = [image.lstrip("/") for image in listed(_cell(row, "additionalimages"))]
        yield from _main_and_more(row, main, more, problems)


def _merchant(rows: Iterator[Row], problems: Problems) -> Iterator[Row]:
    """A row, or an item, a product: its main picture, and further ones between commas."""
    for row in rows:
        problems.count("products")
        more = row.further or _cell(row, "additionalimagelink", "gadditionalimagelink")
        yield from _main_and_more(row, listed(row.given.get("image")), listed(more), problems)


def _main_and_more(row: Row, main: list[str], more: list[str], problems: Problems) -> Iterator[Row]:
    """A row for the main picture, whose id is the product's, and one for each further, numbered from 2."""
    images = dict.fromkeys([*main, *more])
    if not images:
        problems.leave_out(NO_PICTURE, f"line {row.line}")
    for number, image in enumerate(images, 1 if main else 2):
        yield row._replace(given=row.given | {"image": image}, number=number if number > 1 else 0, further=())


FEEDS = {
    feed.name: feed
    for feed in (
        Feed(
            "shopify",
            "a Shopify export",
            (frozenset({"handle", "imagesrc"}), frozenset({"urlhandle", "productimageurl"})),
            _shopify,
            {"image": ("imagesrc", "productimageurl")},
        ),
        Feed(
            "woocommerce",
            "a WooCommerce export",
            (
                frozenset({"type", "sku", "name", "images"}),
                frozenset({"id", "type", "name", "images"}),
                frozenset({"typ", "artikelnummer", "name", "bilder"}),  # it writes the language of its shop
            ),
            _woocommerce,
            {"image": ("images", "bilder"), "id": ("sku", "artikelnummer")},
        ),
        Feed(
            "magento",
            "a Magento export",
            (frozenset({"sku", "baseimage", "producttype"}), frozenset({"sku", "baseimage", "additionalimages"})),
            _magento,
            {"image": ("baseimage",), "id": ("sku",)},
        ),
        Feed(
            "merchant",
            "a Merchant feed",
            (
                frozenset({"id", "imagelink", "title"}),
                frozenset({"id", "imagelink", "additionalimagelink"}),
                frozenset({"gid", "gimagelink"}),
            ),
            _merchant,
            {"image": ("imagelink", "gimagelink"), "id": ("gid",)},
        ),
    )
}
