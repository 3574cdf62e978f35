"""Pages of listings, taken in by a pattern, else by Python's own XML parser.

For a thousand objects, the parser takes four times as long as the pattern, and botocore's own ten times as long again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol, TypedDict
from xml.etree import ElementTree as ET

#: How a page begins, and an object as most servers write it; any other is left to the parser.
_START = re.compile(r"(?:<\?xml [^>]*\?>\s*)?<ListBucketResult(?: xmlns=[\"'][^\"'<>]*[\"'])?>")
_PLAIN = re.compile(
    r"<Contents><Key>([^<]*)</Key><LastModified>([^<]*)</LastModified><ETag>([^<]*)</ETag>"
    r"(?:<(Checksum(?:Algorithm|Type))>[^<]*</\4>)*<Size>([0-9]+)</Size>(?:<StorageClass>([^<]*)</StorageClass>)?"
    r"(?:<Owner>(?:<(ID|DisplayName)>[^<]*</\7>)*</Owner>)?</Contents>"
)


class Events(Protocol):
    """Those of a botocore client."""

    def register(self, event_name: str, handler: Callable[..., None]) -> None:
        """Has a function called at an event."""


class Raw(TypedDict):
    """What botocore has of an answer before it is parsed; the rest does not matter here."""

    status_code: int
    body: bytes


def take_in_quickly(events: Events) -> None:
    """Has a client's events read the objects of ListObjectsV2; where they cannot, botocore reads them as ever.

    By this name they are read before botocore parses an answer as a whole, to see whether it is an error.
    """
    events.register("before-parse.*.ListObjectsV2", _take_contents)


def _take_contents(response_dict: Raw, customized_response_dict: dict[str, object], **_: object) -> None:
    """Takes the objects out of an answer, so that botocore parses what is left of it."""
    if response_dict["status_code"] != 200:
        return
    try:
        if plain := _plainly(response_dict["body"].decode()):
            customized_response_dict["Contents"], response_dict["body"] = plain
            return
        root = ET.fromstring(response_dict["body"])  # noqa: S314 - as botocore itself does
        space = f"{root.tag.partition('}')[0]}}}" if root.tag.startswith("{") else ""
        if root.tag != f"{space}ListBucketResult":
            return  # S3 may answer with an error after its 200
        skip, name = len(space), f"{space}Contents"
        objects = [
            _object({part.tag[skip:]: part.text or "" for part in entry}) for entry in root if entry.tag == name
        ]  # fmt: skip
    except (ET.ParseError, ValueError, KeyError):
        return  # botocore says what is wrong with it
    root[:] = [entry for entry in root if entry.tag != name]
    customized_response_dict["Contents"] = objects
    response_dict["body"] = ET.tostring(root)


def _plainly(page: str) -> tuple[list[dict[str, object]], bytes] | None:
    """The objects of a page and what is left of it; None where there is anything that only a parser can judge.

    Raises:
        ValueError: a time is in no usual form.
    """
    page = page.replace("&quot;", '"')
    if "&" in page or "<!" in page or not _START.match(page):
        return None
    before, *parts = _PLAIN.split(page)
    rest = "".join((before, *parts[7::8]))
    if not parts or "Contents" in rest:
        return None
    columns = parts[0::8], parts[1::8], parts[2::8], parts[4::8], parts[5::8]
    return [_of_row(row) for row in zip(*columns, strict=True)], rest.encode()


def _of_row(row: Sequence[str | None]) -> dict[str, object]:
    key, written, etag, size, storage = row
    entry: dict[str, object] = {
        "Key": key,
        "Size": int(size or 0),
        "ETag": etag,
        "LastModified": _moment(written or ""),
    }
    return entry if storage is None else {**entry, "StorageClass": storage}


def _object(parts: dict[str, str]) -> dict[str, object]:
    """An entry as botocore has it, with what is asked of it here."""
    entry: dict[str, object] = {"Key": parts["Key"], "Size": int(parts["Size"])}
    if "ETag" in parts:
        entry["ETag"] = parts["ETag"]
    if "StorageClass" in parts:
        entry["StorageClass"] = parts["StorageClass"]
    if "LastModified" in parts:
        entry["LastModified"] = _moment(parts["LastModified"])
    return entry


def _moment(text: str) -> datetime:
    """A time in its usual form."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("of no time zone")
    return moment
