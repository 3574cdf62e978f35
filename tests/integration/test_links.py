"""Where links are followed to: public addresses by https, or the API's own origin; no further, and without the key."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from restyle.errors import ApiUnavailable, MalformedResponse
from restyle.segmind.links import Links
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
        "https://127.1/x.jpg",
        "https://localhost./x.jpg",
        "https://[fec0::1]/x.jpg",
        "https://127%2e0.0.1/x.jpg",
        "https://user:word@cdn.example/",
        "https://[::1",
        "https://",
        "file:///etc/passwd",
        "ftp://cdn.example/x.jpg",
    ],
)
@pytest.mark.parametrize("is_proxied", [False, True])
def test_what_is_not_followed(api: StandIn, monkeypatch: pytest.MonkeyPatch, link: str, is_proxied: bool) -> None:
    """By a proxy neither. The error names the host alone: the rest of an address may be a secret."""
    if is_proxied:
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    links = Links(api.url, timeout=5)
    with pytest.raises(MalformedResponse, match="not followed") as caught:
        links.ask(link)
    assert caught.value.kind == "a link that is not followed"
    assert "word" not in caught.value.message
    links.close()


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
