"""A manifest becomes entries: CSV, JSON, JSONL (each also .gz), a folder, an S3 prefix, an S3 inventory.

The first step of the flow. Everything is streamed, as often as it is needed, and every bad line is told.
Formats: docs/formats.md.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from producers.manifest import listing, source
from producers.manifest.document import Document
from producers.manifest.entry import Entry, Problems, Stand
from producers.manifest.json_text import decode, decode_first
from producers.manifest.place import Place
from producers.manifest.rows import Reading
from producers.manifest.source import Source, wrong
from producers.manifest.table import Table
from restyle.s3.store import Store

__all__ = ["Entry", "Manifest", "Problems", "open_manifest"]

_LINES = (".jsonl", ".ndjson")
_JSON = (b"{", b"[")
#: Characters of a first line that are looked at to tell an entry a line from a document.
_FIRST = 65536


@dataclass(frozen=True)
class Manifest:
    """A manifest that can be streamed again and again."""

    uri: str
    """As the user named it."""
    entries: Callable[[Problems], Iterator[Entry]]
    """Streams the good entries; all that is wrong goes to the problems."""
    sha256: Callable[[], str]
    """Of its bytes, or of the listing."""
    columns: frozenset[str] | None = None
    """The columns that every row has; None where each entry has its own."""
    kept: frozenset[str] = frozenset()
    """Those of them that are only kept."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Its own `defaults`, unchecked."""
    variants: list[Any] | None = None
    """Its own `variants`, unchecked."""
    is_report: bool = False
    is_listing: bool = False
    """Whether it is what lies in S3 rather than what somebody has chosen: a prefix, or an inventory."""
    names: tuple[str, ...] = ()
    """What the cells of `originals` are called."""
    originals: Callable[[Collection[Stand]], Iterator[tuple[Stand, list[str]]]] = lambda _stands: iter(())
    """Streams the cells of some rows as they stand in the file."""


def open_manifest(
    uri: str, *, store: Store | None, columns: Mapping[str, str] | None = None, stdin: BinaryIO | None = None
) -> Manifest:
    """Opens a manifest by its content; entries are read when they are streamed.

    Args:
        uri: a local path, an s3:// URI (of a file, or of a prefix), or `-`.
        store: S3; None where only local files can be read.
        columns: `--column`: our name -> the file's column.
        stdin: what `-` reads.

    Raises:
        ManifestError: it cannot be read as a whole, or its header is wrong.
        StoreUnavailable, StoreAccessDenied: S3 does not give it.
    """
    columns = columns or {}
    if uri == "-":
        return _of_content(source.standard_input(stdin), Place(str(Path.cwd())), uri, columns, store)
    if uri.startswith("s3://"):
        return _in_s3(uri, store, columns)
    path = Path(uri)
    if _is_folder(path):
        _refuse_columns(uri, columns)
        found = listing.folder(path, uri)
        return Manifest(uri, found.entries, found.sha256, columns=frozenset())
    return _of_content(source.local(uri), Place(str(path.absolute().parent)), uri, columns, store)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False  # told when it is opened


def _in_s3(uri: str, store: Store | None, columns: Mapping[str, str]) -> Manifest:
    if store is None:
        raise wrong(uri, "lies in S3, which is not open here")
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if key and not key.endswith("/") and (content := source.remote(uri, store)) is not None:
        return _of_content(content, Place(uri.rpartition("/")[0] + "/"), uri, columns, store)
    prefix = f"s3://{bucket}/{key.rstrip('/')}/" if key else f"s3://{bucket}/"
    _refuse_columns(uri, columns)
    if next(store.list(prefix), None) is None:
        raise wrong(uri, "there is no such object, and nothing below it")
    found = listing.prefix(prefix, store)
    return Manifest(uri, found.entries, found.sha256, columns=frozenset(), is_listing=True)


def _of_content(content: Source, place: Place, uri: str, columns: Mapping[str, str], store: Store | None) -> Manifest:
    """A manifest by what stands in it, whatever its name."""
    start = content.head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if start in _JSON:
        lines = start == b"{" and _is_lines(content)
        if inventory := not lines and start == b"{" and _inventory(content):
            if store is None:
                raise wrong(uri, "is an S3 Inventory; reading it needs S3, which is not open here")
            _refuse_columns(uri, columns)
            found = listing.inventory(content, inventory, store)
            return Manifest(uri, found.entries, content.sha256, columns=frozenset(), is_listing=True)
        document = Document(content, columns, lines=lines)
        reading = Reading(document.rows, place)
        return Manifest(
            uri, reading.entries, content.sha256, defaults=document.defaults, variants=document.variants,
            names=("entry",), originals=document.originals,
        )  # fmt: skip
    first = next(islice(content.lines(), 1), "")
    if not columns and listing.is_headerless(first):
        found = listing.keys_csv(content)
        return Manifest(uri, found.entries, content.sha256, columns=frozenset(), is_listing=True)
    table = Table(content, columns)
    reading = Reading(table.rows, place)
    return Manifest(
        uri, reading.entries, content.sha256, columns=table.header.names, kept=table.header.kept_names,
        is_report=table.is_report, names=table.names, originals=table.originals,
    )  # fmt: skip


def _is_lines(content: Source) -> bool:
    """Whether a JSON text that begins with an object has an entry a line."""
    if content.name.removesuffix(".gz").lower().endswith(_LINES):
        return True
    with content.text() as text:
        start = next(filter(str.strip, iter(lambda: text.readline(_FIRST), "")), "")
    first = start.strip()
    if not start.endswith(("\n", "\r")) and len(start) == _FIRST:
        return False  # of a document that is written in one line
    whole = decode_first(content.name, content.head[: content.head.find(b"{")].count(b"\n") + 1, first)
    return isinstance(whole, dict) and "images" not in whole and "fileSchema" not in whole


def _inventory(content: Source) -> dict[str, Any] | None:
    """The content of an S3 Inventory's manifest.json; None where it is none."""
    if b'"fileSchema"' not in content.head:
        return None
    with content.text() as text:
        found = decode(content.name, 1, text.read())
    wanted = {"fileSchema", "fileFormat", "files", "destinationBucket"}
    return found if isinstance(found, dict) and wanted <= found.keys() else None


def _refuse_columns(uri: str, columns: Mapping[str, str]) -> None:
    if columns:
        raise wrong(uri, "--column renames the columns of a table; this is a listing of images")
