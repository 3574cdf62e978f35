"""S3 Inventories, and CSVs of buckets and keys as S3 Batch Operations takes them: each image in them is an entry."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from functools import cache, partial
from typing import Any
from urllib.parse import unquote_plus

from producers.manifest.cells.columns import plain
from producers.manifest.entry import Problems
from producers.manifest.listing import ListedImage, Listing, reason_left_out
from producers.manifest.place import is_image_name
from producers.manifest.source import Source, remote, wrong
from producers.manifest.tables import columnar
from producers.manifest.tables.delimited import csv_rows
from producers.manifest.tables.spooled import Spooled
from restyle.keys import split_uri
from restyle.s3.store import Store

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


#: Columns of an inventory as Parquet and ORC have them, plain, by the names that CSV has.
_SCHEMA = {
    name.lower(): name
    for name in (
        "Bucket", "Key", "Size", "VersionId", "IsLatest", "IsDeleteMarker", "StorageClass",
        "IntelligentTieringAccessTier",
    )
}  # fmt: skip


_A_TABLE = ", and such a list has one; if this is a table, put a header above it, such as id,image"


_TRUTH = frozenset({"true", "false"})


def is_headerless(line: str) -> bool:
    """Whether a CSV's first line is a bucket and a key of it, as S3 Inventory and Batch Operations write them."""
    cells = next(csv.reader([line[:65536]]), [])
    if len(cells) < 2 or not _BUCKET.fullmatch(cells[0]) or "image" in {cell.strip().lower() for cell in cells}:
        return False
    if "://" in cells[1]:
        return False
    key = unquote_plus(cells[1])
    return is_image_name(key) or "/" in key


def keys_csv(source: Source) -> Listing:
    """A CSV of buckets and keys, as Batch Operations takes it and Inventory writes its parts."""
    form = "a list of buckets and keys"
    rows = partial(csv_rows, source.name)
    return Listing(source.name, lambda problems: _keys(source.name, rows(source.lines()), None, problems), form)


def read(source: Source, content: dict[str, Any], store: Store) -> Listing:
    """An S3 Inventory by its manifest.json, whose parts lie in the destination bucket.

    Raises:
        ManifestError: it is one of another format than CSV.
    """
    form = content.get("fileFormat")
    if form not in {"CSV", "Parquet", "ORC"}:
        raise wrong(source.name, f"is an S3 Inventory in {form}; CSV, Parquet and ORC are read")
    schema = [name.strip() for name in str(content["fileSchema"]).split(",")]
    bucket = str(content["destinationBucket"]).removeprefix("arn:aws:s3:::")
    parts = [f"s3://{bucket}/{part['key']}" for part in content["files"]]

    @cache
    def fetched(part: str) -> Source:
        if (opened := remote(part, store)) is None:
            raise wrong(source.name, f"names {part}, which is not there")
        return opened

    @cache
    def rows(part: str) -> Spooled:
        return columnar.rows_of(fetched(part))

    def images(problems: Problems) -> Iterator[ListedImage]:
        for part in parts:
            if form == "CSV":
                fetched(part).require_text()
                yield from _keys(part, csv_rows(part, fetched(part).lines()), schema, problems)
            else:
                cells = rows(part).cells()
                names = [_SCHEMA.get(plain(name), name) for name in next(cells, (0, []))[1]]
                yield from _keys(part, cells, names, problems, is_encoded=False)

    return Listing(source.name, images, "an S3 Inventory")


def _keys(
    name: str,
    rows: Iterator[tuple[int, list[str]]],
    schema: list[str] | None,
    problems: Problems,
    *,
    is_encoded: bool = True,
) -> Iterator[ListedImage]:
    """The images among rows of buckets and keys; in CSV, keys are URL-encoded.

    ETags are not taken: an inventory may be days old, and the image another by now.
    """
    versions, first = 0, ""
    for number, row in rows:
        if len(row) < 2:
            problems.add(name, number, "", "has no bucket and key")
            continue
        first = first or row[0]
        if schema is None and row[0] != first:
            problems.add(name, number, "", f"{row[0][:100]} is another bucket than {first[:100]}{_A_TABLE}")
            continue
        fields = dict(zip(schema, row, strict=False)) if schema else _guessed(row)
        if fields.get("IsLatest", "true") == "false" or fields.get("IsDeleteMarker", "false") == "true":
            continue
        versions += bool(fields.get("VersionId"))
        key = fields.get("Key", row[1])
        uri = f"s3://{fields.get('Bucket', row[0])}/{unquote_plus(key) if is_encoded else key}"
        if uri.endswith("/"):
            continue
        key = split_uri(uri)[1]
        size = fields.get("Size", "")
        archive = fields.get("IntelligentTieringAccessTier") or fields.get("StorageClass", "")
        if reason := reason_left_out(key, int(size) if size.isdecimal() else None, archive):
            problems.leave_out(reason, key)
        else:
            yield ListedImage(key, uri, "", "")
    if versions:
        problems.warn(f"{name}: versions of objects are not read; the latest of each is taken")


def _guessed(row: list[str]) -> dict[str, str]:
    """The columns of a row that comes without a schema."""
    fields = {"Bucket": row[0], "Key": row[1]}
    if len(row) == 3 or (len(row) > 4 and row[3] in _TRUTH and row[4] in _TRUTH):
        fields["VersionId"] = row[2]
    if len(row) > 4 and row[3] in _TRUTH and row[4] in _TRUTH:
        fields |= {"IsLatest": row[3], "IsDeleteMarker": row[4]}
    return fields
