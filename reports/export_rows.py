"""Rows of shops with other pictures in them, and rows made for shops. Pure. Read by export.py."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from producers.manifest import Entry
from producers.manifest.cells.columns import plain

#: Columns of a picture in a row that is a product's, too.
_OF_PICTURE = frozenset({"imagesrc", "productimageurl", "imageposition", "imagealttext"})
_MAIN = {
    "magento": ("baseimage", "smallimage", "thumbnailimage", "swatchimage"),
    "merchant": ("imagelink", "gimagelink"),
}
_FURTHER = {"magento": "additionalimages", "merchant": "additionalimagelink"}
_HEADERS = {
    "shopify": ("Handle", "Title", "Image Src", "Image Position"),
    "woocommerce": ("SKU", "Name", "Images"),
    "merchant": ("id", "title", "image_link"),
}


@dataclass(frozen=True)
class Product:
    """Rows that stay or go together."""

    rows: Sequence[tuple[list[str], list[Entry]]]
    names: Sequence[str]
    feed: str

    def replaced(self, cells: list[str], addresses: list[str], image: str, *, is_first: bool) -> list[str] | None:
        """A row with its pictures replaced; None where it is left out."""
        row = [*cells, *[""] * (len(self.names) - len(cells))]
        at = {plain(name): place for place, name in reversed(list(enumerate(self.names)))}
        there = [address for address in addresses if address]
        if self.feed == "shopify":
            return self._of_shopify(row, at, there, is_first=is_first)
        if not there or (self.feed in _MAIN and not addresses[0]):
            return None
        if self.feed in _MAIN:
            before = row[at[plain(image)]]
            for name in _MAIN[self.feed]:
                if name in at and row[at[name]] == before:
                    row[at[name]] = there[0]
            if (further := _FURTHER[self.feed]) in at:
                row[at[further]] = ",".join(there[1:])
            return row
        place = self.names.index(image) if image in self.names else at[plain(image)]
        row[place] = ", ".join(there)
        return row

    @staticmethod
    def _of_shopify(row: list[str], at: dict[str, int], there: list[str], *, is_first: bool) -> list[str] | None:
        """Rows without a picture stay where they say something else of the product."""
        if there:
            row[at.get("imagesrc", at.get("productimageurl", 0))] = there[0]
            return row
        pictures = {at[name] for name in _OF_PICTURE if name in at}
        others = [cell for place, cell in enumerate(row) if cell and place not in pictures]
        if not is_first and len(others) < 2:  # its handle alone
            return None
        return ["" if place in pictures else cell for place, cell in enumerate(row)]


def as_products(rows: Iterable[tuple[list[str], list[Entry]]], names: Sequence[str], feed: str) -> Iterator[Product]:
    """The rows by product: of Shopify those of a handle, else each by itself."""
    if feed != "shopify":
        yield from (Product([row], names, feed) for row in rows)
        return
    handle = next(place for place, name in enumerate(names) if plain(name) in {"handle", "urlhandle"})
    for _, group in groupby(rows, key=lambda row: row[0][handle]):
        yield Product(list(group), names, feed)


def header_like(like: str, kept: Sequence[str]) -> Sequence[str]:
    """The columns of a form, for a manifest that is none of it."""
    return _HEADERS.get(like, ("id", "image", *(name for name in kept if name not in {"id", "image"})))


def row_like(like: str, entry: Entry, address: str, header: Sequence[str], place: int) -> list[str]:
    """An entry as a row of a form."""
    title = next((cell for name, cell in entry.meta.items() if plain(name) in {"title", "name"}), "")
    match like:
        case "shopify":
            return [entry.meta.get("Handle", entry.id), title, address, entry.meta.get("Image Position", str(place))]
        case "woocommerce" | "merchant":
            return [entry.id, title, address]
        case _:
            return [entry.id, address, *(entry.meta.get(name, "") for name in header[2:])]
