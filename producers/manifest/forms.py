"""Recognises the form of a manifest by its first bytes and words, and opens its reader. Used by __init__.py."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from producers.manifest import inventory
from producers.manifest.cells.columns import is_image_alias
from producers.manifest.documents.document import Document
from producers.manifest.documents.json_text import decode, decode_first
from producers.manifest.entry import Stand
from producers.manifest.feeds import Feed
from producers.manifest.listing import Listing
from producers.manifest.reading import ReadOptions
from producers.manifest.rows import Rows
from producers.manifest.source import Source, wrong
from producers.manifest.tables import columnar, sheets
from producers.manifest.tables.delimited import Delimited
from producers.manifest.tables.table import Grid, Table
from restyle.s3.store import Store

_LINES = (".jsonl", ".ndjson")
_JSON = (b"{", b"[")
#: Characters of a first line that are read to tell JSON lines from one document.
_FIRST = 65536


@dataclass(frozen=True)
class Form:
    """A recognised file, and how its rows are read."""

    form: str
    """What messages call it, with the article."""
    rows: Rows
    names: tuple[str, ...]
    originals: Callable[[Container[Stand]], Iterator[tuple[Stand, list[str]]]]
    feed: Feed | None = None
    columns: frozenset[str] | None = None
    kept: frozenset[str] = frozenset()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    variants: list[Any] | None = None
    is_report: bool = False
    image: str = ""
    fits: bool = False
    """Whether metadata that is too long is left out."""
    table: Table | None = None
    """What its rows are of, where they can be read many at a time."""


def of(content: Source, options: ReadOptions, store: Store | None) -> Form | Listing:
    """The form of a file.

    Raises:
        ManifestError: it cannot be read, or the options are for another form.
    """
    if sheets.is_workbook(content):
        _refuse(options.items, "--items", content, "a workbook, which has sheets")
        return _table(sheets.rows_of(content, options.sheet), options)
    if columnar.kind_of(content):
        _refuse(options.items, "--items", content, "a table, which has columns")
        return _table(columnar.rows_of(content), options, fits=True)
    content.require_text()
    _refuse(options.sheet, "--sheet", content, "no workbook")
    start = content.head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if start in _JSON:
        return _json(content, options, store, is_object=start == b"{")
    if start == b"<":
        return _xml(content, options)
    _refuse(options.items, "--items", content, "a table, which has columns")
    first = next(islice(content.lines(), 1), "")
    if not options.columns and inventory.is_headerless(first):
        return inventory.keys_csv(content)
    return _table(Delimited(content), options)


def _table(grid: Grid, options: ReadOptions, *, fits: bool = False) -> Form:
    table = Table(grid, options.columns, feed=options.feed, workspace=options.workspace)
    form = "a report of restyle's" if table.is_report else table.feed.form if table.feed else grid.form
    return Form(
        form, table.rows, table.names, table.originals, table.feed, columns=table.header.names,
        kept=table.header.kept_names, is_report=table.is_report, image=table.header.image, fits=fits, table=table,
    )  # fmt: skip


def _json(content: Source, options: ReadOptions, store: Store | None, *, is_object: bool) -> Form | Listing:
    lines = is_object and not options.items and _is_lines(content, options)
    if described := not lines and not options.items and is_object and _inventory(content):
        if store is None:
            raise wrong(content.name, "is an S3 Inventory; reading it needs S3, which is not open here")
        return inventory.read(content, described, store)
    document = Document(content, options.columns, lines=lines, items_at=options.items)
    return Form(
        "JSON lines" if lines else "a JSON document", document.rows, ("entry",), document.originals,
        defaults=document.defaults, variants=document.variants, fits=bool(options.items),
    )  # fmt: skip


def _xml(content: Source, options: ReadOptions) -> Form:
    from producers.manifest.documents.feed_xml import XmlFeed  # few manifests are XML

    feed = XmlFeed(content, options.columns, items_at=options.items, feed=options.feed)
    return Form(feed.form, feed.rows, ("item",), feed.originals, feed.feed, fits=True)


def _refuse(given: str, option: str, content: Source, form: str) -> None:
    if given:
        raise wrong(content.name, f"{option} {given}: this is {form}; leave {option} out")


def _is_lines(content: Source, options: ReadOptions) -> bool:
    """Whether a JSON text that begins with an object is JSON lines."""
    if content.name.removesuffix(".gz").lower().endswith(_LINES):
        return True
    with content.text() as text:
        lines = filter(str.strip, iter(lambda: text.readline(_FIRST), ""))
        start, is_only = next(lines, ""), next(lines, None) is None
    first = start.strip()
    if not start.endswith(("\n", "\r")) and len(start) == _FIRST:
        return False  # so long a line is a document
    whole = decode_first(content.name, content.head[: content.head.find(b"{")].count(b"\n") + 1, first)
    if not isinstance(whole, dict) or "fileSchema" in whole:
        return False
    # One line alone may be a document, written without line ends.
    return not (is_only and _frames(whole, options)) and "images" not in whole


def _frames(value: dict[str, Any], options: ReadOptions) -> bool:
    """Whether an object is a document with lists of entries, rather than an entry."""
    if options.columns or any(name.lower() == "image" or is_image_alias(name) for name in value):
        return False
    return any(isinstance(one, list) and one and isinstance(one[0], dict) for one in value.values()) or any(
        isinstance(one, dict) and _frames(one, options) for one in value.values()
    )


def _inventory(content: Source) -> dict[str, Any] | None:
    """The content of an S3 Inventory's manifest.json; None where it is none."""
    if b'"fileSchema"' not in content.head:
        return None
    with content.text() as text:
        document = decode(content.name, 1, text.read())
    required = {"fileSchema", "fileFormat", "files", "destinationBucket"}
    return document if isinstance(document, dict) and required <= document.keys() else None
