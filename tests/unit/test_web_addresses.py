"""Addresses of pictures on the web: as they are asked for, as they are shown, and until when they are signed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from producers.planning.web import WebCount
from restyle.web.address import Address, read_address, shown, signed_until

_AMZ = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA%2Fx&X-Amz-Date=20300101T000000Z&X-Amz-Expires=3600"
_MASKED = _AMZ.replace("AKIA%2Fx", "***")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        (" https://CDN.Example/A b/é.jpg?v=1#x ", "https://cdn.example/A%20b/%C3%A9.jpg?v=1"),
        ("HTTPS://cdn.example:443", "https://cdn.example/"),
        ("https://cdn.example:8443/a%20b.jpg", "https://cdn.example:8443/a%20b.jpg"),
        ("https://münchen.example/a.jpg", "https://xn--mnchen-3ya.example/a.jpg"),
        ("https://[2001:DB8::1]/a.jpg", "https://[2001:db8::1]/a.jpg"),
    ],
)
def test_an_address_as_it_is_asked_for(text: str, url: str) -> None:
    """ASCII, small letters in the host, no fragment; the same address has one name."""
    assert read_address(text).url == url
    assert read_address(url).name == read_address(text).name


@pytest.mark.parametrize(
    "text",
    ["https://", "https:///a.jpg", "https://[::1", "ftp://a/b", "https://a b/c", "https://a:x/", "https://a:0/b",
     "https://me@a/b", "https://a\\@b/c", "https://" + "a" * 70 + ".example/", "https://a/" + "b" * 5000,
     "https://a/" + "é" * 3000],
)  # fmt: skip
def test_what_is_no_address(text: str) -> None:
    """The reason has nothing of what may be a secret."""
    with pytest.raises(ValueError, match=r"^(is|has) ") as caught:
        read_address(text)
    assert "me@" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://a.example/x.jpg?v=169&width=100", "https://a.example/x.jpg?v=169&width=100"),
        ("https://a.example/x.jpg?1690000000", "https://a.example/x.jpg?1690000000"),
        ("https://a.example/x.jpg?q1w2e3", "https://a.example/x.jpg?***"),
        ("https://a.example/x.jpg?token=word&w=1", "https://a.example/x.jpg?token=***&w=1"),
        ("https://a.example/x.jpg?v=" + "w" * 50, "https://a.example/x.jpg?v=***"),
        ("https://a.example/x;jsessionid=word/y.jpg", "https://a.example/x;***/y.jpg"),
        (f"https://b.example/k?{_AMZ}&X-Amz-Signature=word", f"https://b.example/k?{_MASKED}&X-Amz-Signature=***"),
    ],
)  # fmt: skip
def test_what_may_be_a_secret_is_masked(url: str, told: str) -> None:
    """Of a query only what chooses a version, a size or a form is shown; nor is the rest in what logs may print."""
    assert Address(url).shown == shown(url) == told
    assert "word" not in repr(Address(url))


def test_a_masked_address_is_none() -> None:
    """A report that is planned again does not have its pictures fetched by an address without its signature."""
    with pytest.raises(ValueError, match="where a report leaves out what may be a secret"):
        read_address(Address("https://a.example/x.jpg?token=word").shown)


@pytest.mark.parametrize(
    ("query", "ends"),
    [
        (_AMZ, datetime(2030, 1, 1, 1, tzinfo=UTC)),
        ("X-Goog-Date=20300101T000000Z&X-Goog-Expires=60", datetime(2030, 1, 1, 0, 1, tzinfo=UTC)),
        ("se=2030-01-01T00%3A00%3A00Z&sig=x&sp=r", datetime(2030, 1, 1, tzinfo=UTC)),
        ("Expires=1893456000&Signature=x&Key-Pair-Id=y", datetime(2030, 1, 1, tzinfo=UTC)),
        ("expires=1893456000", None),
        ("X-Amz-Date=x&X-Amz-Expires=60", None),
        ("X-Amz-Date=20300101T000000Z&X-Amz-Expires=99999999999999999", None),
        ("se=never&sig=x", None),
        ("v=1", None),
    ],
)
def test_until_when_a_link_is_signed(query: str, ends: datetime | None) -> None:
    """As AWS, Google, Azure and CloudFront write it; an expiry that signs nothing is a parameter like any."""
    assert signed_until(f"https://b.example/k?{query}") == ends


def test_links_that_end_before_their_turn() -> None:
    """The plan tells them by its own estimate; each address counts once."""
    count, now = WebCount(), datetime(2030, 1, 1, tzinfo=UTC)
    for turn in range(100):
        link = f"https://b.example/{turn}?X-Amz-Date=20300101T000000Z&X-Amz-Expires=50&X-Amz-Signature=x"
        count.add(link, turn, turn + 2)
        count.add(link, turn, turn + 2)
    assert count.summary(7) == "100 addresses on the web, of b.example; 7 fetched before"
    (told,) = count.warnings(100, 100.0, now)
    assert told.startswith("49 signed links end before it is the turn of their jobs")
    assert "(line 53, 54, 55, 56, 57, …)" in told
    assert count.warnings(100, 49.0, now) == []
