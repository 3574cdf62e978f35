"""Pages of listings are read as botocore reads them, whatever is in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count, cycle
from typing import Any, TypeVar

import pytest

from restyle.errors import StoreUnavailable
from restyle.s3.listings import Listings
from restyle.s3.pages import take_in_quickly

SPACE = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
WHOLE = (
    "<Contents><Key>a%20&amp;b.jpg</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
    "<ETag>&quot;e1&quot;</ETag><Size>7</Size><StorageClass>GLACIER</StorageClass><Owner><ID>x</ID></Owner></Contents>"
)


class Events:
    """A client's events, of which one is listened to."""

    def register(self, name: str, listener: Any) -> None:
        """Keeps who listens."""
        assert name == "before-parse.*.ListObjectsV2"
        self.listener = listener


def taken(body: str, status: int = 200) -> tuple[list[dict[str, Any]] | None, bytes]:
    """The objects that were taken out of an answer, and what is left of it."""
    events, answer, found = Events(), {"status_code": status, "body": body.encode()}, dict[str, Any]()
    take_in_quickly(events)
    events.listener(response_dict=answer, customized_response_dict=found)
    left = answer["body"]
    assert isinstance(left, bytes)
    return found.get("Contents"), left


@pytest.mark.parametrize("space", ["", SPACE])
def test_objects_are_taken_out(space: str) -> None:
    """With what is asked of them; all else is left to botocore."""
    page = f"<ListBucketResult{space}><Name>b</Name>{WHOLE}{WHOLE}<IsTruncated>true</IsTruncated></ListBucketResult>"
    found, left = taken(page)
    assert found is not None
    assert found[1] == {
        "Key": "a%20&b.jpg", "Size": 7, "ETag": '"e1"', "StorageClass": "GLACIER",
        "LastModified": datetime(2026, 1, 1, tzinfo=UTC),
    }  # fmt: skip
    assert (len(found), b"Contents" in left, b"true" in left) == (2, False, True)


CHECKSUM = "<ChecksumAlgorithm>CRC32</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>"
PLAIN = WHOLE.replace("&amp;", "+")


@pytest.mark.parametrize(
    "each",
    [
        PLAIN, PLAIN.replace("<Size>", CHECKSUM + "<Size>"), PLAIN.replace("<Owner><ID>x</ID></Owner>", ""),
        PLAIN.replace("<StorageClass>GLACIER</StorageClass>", ""), PLAIN.replace("a%20", ""), PLAIN.replace("7", "0"),
    ],
    ids=["plain", "checksums", "no owner", "no class", "another key", "empty"],
)  # fmt: skip
@pytest.mark.parametrize("space", ["", SPACE])
def test_a_plain_page_is_read_as_the_parser_reads_it(each: str, space: str) -> None:
    """By a pattern, which leaves the rest as it came; with a comment in it, it is for the parser."""

    def page(first: str = "", between: str = "") -> str:
        start = f'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult{space}>'
        return f"{start}{first}<Name>b</Name>{each}{between}{each}</ListBucketResult>"

    quickly, left = taken(page())
    assert quickly is not None
    assert len(quickly) == 2
    assert left == page().replace(each, "").encode()
    for odd in ("<!-- odd -->", "\n  ", "<Prefix>&lt;</Prefix>"):
        assert taken(page(odd))[0] == taken(page("", odd))[0] == quickly


@pytest.mark.parametrize(
    "odd",
    [
        PLAIN.replace("<Key>", "<Key><Key>"), PLAIN.replace("</Contents>", "<Contents>"), PLAIN[:-3],
        f"<!-- {PLAIN} -->", f"<![CDATA[{PLAIN}]]>", PLAIN.replace("<Contents>", "<Contents >").replace("7", "-7"),
    ],
)  # fmt: skip
def test_what_only_a_parser_can_judge(odd: str) -> None:
    """It finds one object, or leaves all to botocore."""
    found, _ = taken(f"<ListBucketResult>{PLAIN}{odd}</ListBucketResult>")
    assert found is None or [one["Size"] for one in found] in ([7], [7, -7])


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, f"<Error>{WHOLE}</Error>"), (200, f"<Error>{WHOLE}</Error>"), (200, ""), (200, "<ListBucketResult>"),
        (200, WHOLE.replace("<Size>7</Size>", "")), (200, WHOLE.replace("7", "seven")),
        (200, WHOLE.replace("2026-01-01T00:00:00.000Z", "Thu, 01 Jan 2026 00:00:00 GMT")),
        (200, WHOLE.replace("00.000Z", "00")),
    ],
)  # fmt: skip
def test_what_is_not_as_usual_is_left_to_botocore(status: int, body: str) -> None:
    """As it came."""
    page = f"<ListBucketResult>{body}</ListBucketResult>" if body.startswith("<Contents") else body
    assert taken(page, status) == (None, page.encode())


T = TypeVar("T")


class Pages(Listings):
    """A server that lists what it is told to, and stands for its client too."""

    def __init__(self, pages: Iterator[dict[str, Any]]) -> None:
        self.pages = pages

    def patiently(self, ask: Callable[[], T]) -> T:
        """At once."""
        return ask()

    def _client(self, _bucket: str) -> Any:
        return self

    def list_objects_v2(self, **_: Any) -> dict[str, Any]:
        """The next page."""
        return next(self.pages)


def page(*keys: str, token: str = "", **more: Any) -> dict[str, Any]:
    """A page, and what it says of the next one."""
    found = {"Contents": [{"Key": key, "Size": 1} for key in keys], "IsTruncated": bool(token)}
    return found | ({"NextContinuationToken": token} if token else {}) | more


@pytest.mark.parametrize(
    "pages",
    [
        (page("a", token="1"), page("b", IsTruncated=True)),
        (page(*"ab"[n % 2], token=str(n % 2)) for n in count()),
        (page("a", "b", token=str(n)) for n in count()),
        ({"CommonPrefixes": [{"Prefix": "p/"}], "IsTruncated": True, "NextContinuationToken": str(n)} for n in count()),
        (page(token=token) for token in cycle("123")),
    ],
    ids=["no token", "tokens in a circle", "one page for ever", "one folder for ever", "empty pages in a circle"],
)
def test_a_listing_ends(pages: Any) -> None:
    """Or is an error: one that begins again and again filled the memory of whoever planned it."""
    with pytest.raises(StoreUnavailable, match="breaks off its listing"):
        list(Pages(iter(pages)).list("s3://b/"))


def test_a_listing_is_read_to_its_end() -> None:
    """Where a page is empty, has no ETags, or tells by its token alone that more follows."""
    pages = [page("a", token="1"), page(token="2"), page("b", token="3"), page("c")]
    del pages[2]["IsTruncated"]
    found = list(Pages(iter(pages)).list("s3://b/"))
    assert [(one.uri, one.etag, one.bytes) for one in found] == [
        ("s3://b/a", "", 1),
        ("s3://b/b", "", 1),
        ("s3://b/c", "", 1),
    ]
