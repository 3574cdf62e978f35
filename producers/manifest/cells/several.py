"""Several pictures in one cell: which they are, and rows that have one each. Read by rows.py."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Sequence

from producers.manifest.entry import Row
from producers.manifest.place import is_image_name
from restyle.web.address import shown

_ADDRESS = re.compile(r"(?:s3|https?)://", re.IGNORECASE)
_BETWEEN = re.compile(r"[|;,\r\n]+")
_MARKS = frozenset("|;,\r\n")
_SHOWN = 3


def pictures_in(cell: str) -> list[str]:
    """The pictures that a cell names, where it looks like more than one, or like a list of one; else none.

    A comma, a bar or a semicolon alone makes no list: an object's key may have them.
    """
    if cell.count("://") < 2 and _MARKS.isdisjoint(cell):
        return []
    text = cell.strip()
    starts = [match.start() for match in _ADDRESS.finditer(text)]
    if len(starts) > 1:
        ends = [*starts[1:], len(text)]
        return [_bare(text[start:end]) for start, end in zip(starts, ends, strict=True)]
    parts = [_bare(part) for part in _BETWEEN.split(text)]
    named = [part for part in parts if part]
    if len(parts) > 1 and named and all(map(is_image_name, named)):
        return named
    return named if "\n" in text or "\r" in text else []


def _list(cell: str) -> object:
    """A cell that is a list of JSON, as one; else the cell."""
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return cell


def _bare(part: str) -> str:
    return part.strip(" \t\r\n,;|[]\"'")


def why_not_one(pictures: Sequence[str]) -> str:
    """What to say of a cell with several pictures."""
    if len(pictures) == 1:
        return f"has more than the name of {shown(pictures[0])[:100]}; is a separator left over?"
    named = map(shown, pictures[:_SHOWN])
    names = ", ".join(posixpath.basename(name.rstrip("/"))[:60] or name[:60] for name in named)
    more = ", …" if len(pictures) > _SHOWN else ""
    return f"looks like {len(pictures)} pictures ({names}{more}); give each its own row"


def each_its_own(row: Row) -> Iterator[Row]:
    """A row for each picture of a row whose image is a list, numbered from 1; other rows as they are."""
    images = row.given.get("image")
    if isinstance(images, str):
        images = _list(images) if images[0] == "[" and images[-1] == "]" else None
    if not isinstance(images, list) or not all(isinstance(image, str) for image in images):
        yield row
        return
    seen = dict.fromkeys(image.strip() for image in images if image.strip())
    if not seen:
        yield row._replace(given={name: cell for name, cell in row.given.items() if name != "image"})
    for number, image in enumerate(seen, 1):
        yield row._replace(given=row.given | {"image": image}, number=number)
