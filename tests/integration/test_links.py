"""Where links are followed to: public addresses by https, or the API's own origin; no further, and without the key."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from restyle.errors import ApiUnavailable, MalformedResponse
from restyle.segmind.links import Links, is_public
from tests.support import pictures
from tests.support.network import forget_network
from tests.support.standin import Made, StandIn, standing_in

JPEG = pictures.encode(pictures.photo())


@pytest.fixture(autouse=True)
def _no_company(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_network(monkeypatch)


@pytest.fixture
def api() -> Iterator[StandIn]:
    """An API on this machine, and so at an inner address."""
    with standing_in(lambda _, __: Made(b"")) as found:
        yield found


@pytest.fixture
def links(api: StandIn) -> Iterator[Links]:
    """What follows its links."""
    found = Links(api.url, timeout=5)
    yield found
    found.close()


@pytest.mark.parametrize(
    "link",
    [
        "http://cdn.example/x.jpg",
        "https://127.0.0.1:1/x.jpg",
        "https://localhost:1/x.jpg",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/x.jpg",
        "https://[::ffff:10.0.0.1]/x.jpg",
        "https://[64:ff9b::7f00:1]/x.jpg",
        "https://2130706433/x.jpg",
        "https://0x7f.1/x.jpg",
        "https://user:word@cdn.example/",
        "https://[::1",
        "https://",
        "file:///etc/passwd",
        "ftp://cdn.example/x.jpg",
    ],
)
def test_what_is_not_followed(links: Links, link: str) -> None:
    """The error names the host alone: the rest of an address may be a secret."""
    with pytest.raises(MalformedResponse, match="not followed") as caught:
        links.ask(link)
    assert caught.value.kind == "a link that is not followed"
    assert "word" not in caught.value.message


def test_another_port_of_the_api_s_host_is_not_its_own(api: StandIn, links: Links) -> None:
    """Its origin is scheme, host and port."""
    with standing_in(lambda _, __: Made(b"")) as other, pytest.raises(MalformedResponse):
        links.ask(f"{other.origin}/x.jpg")
    assert not other.fetched


def test_a_name_that_changes_its_mind_gets_nothing(api: StandIn, links: Links) -> None:
    """Public as it was looked up and inner as it was connected to: nothing is sent."""
    with standing_in(lambda _, __: Made(b"")) as other:
        with pytest.raises(ApiUnavailable, match="is an inner address"):
            links._wire.ask("GET", f"{other.origin}/x.jpg")
        assert not other.fetched


def test_redirects_are_not_followed(api: StandIn, links: Links) -> None:
    """Not even to the API itself: where they lead may change."""
    api.files["/a.jpg"] = Made(b"", {"location": f"{api.origin}/b.jpg"}, status=302)
    with pytest.raises(MalformedResponse, match="redirects are not followed"):
        links.fetch(f"{api.origin}/a.jpg")
    assert [path for path, _ in api.fetched] == ["/a.jpg"]


def test_a_file_that_is_late_is_asked_for_again(api: StandIn, links: Links) -> None:
    """It has been paid for: where a page is in its place, it is given a moment."""
    answers = [Made(b"<html>soon</html>"), Made(JPEG)]

    class Late(dict[str, Made]):
        def get(self, _path: str, _default: object = None) -> Made:
            return answers.pop(0)

    api.files = Late()
    assert links.fetch(f"{api.origin}/a.jpg") == JPEG
    assert [with_key for _, with_key in api.fetched] == [False] * 2


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True), ("2606:2800:220:1:248:1893:25c8:1946", True), ("::ffff:93.184.216.34", True),
        ("127.0.0.1", False), ("10.1.2.3", False), ("172.16.0.1", False), ("192.168.1.1", False), ("100.64.0.1", False),
        ("169.254.169.254", False), ("0.0.0.1", False), ("224.0.0.1", False), ("255.255.255.255", False),
        ("::1", False), ("::", False), ("fe80::1%eth0", False), ("fd00:ec2::254", False), ("::ffff:127.0.0.1", False),
        ("2002:7f00:1::", False), ("64:ff9b::a00:1", False), ("ff02::1", False),
    ],
)  # fmt: skip
def test_which_addresses_everybody_reaches(address: str, public: bool) -> None:
    """An address that stands for another is judged by that one."""
    assert is_public(address) is public
