"""One picture from a web server: what is taken, what is told, and to where nothing is ever connected."""

from __future__ import annotations

import ipaddress
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from restyle.errors import (
    InputNotFound,
    InputRefused,
    InputUnreachable,
    InvalidImage,
    JobError,
    RestyleError,
    WebUnavailable,
)
from restyle.http.public import read_networks
from restyle.models import utc_now
from restyle.web.address import Address, read_address
from restyle.web.fetching import Fetcher, FetchTerms
from restyle.web.records import Known
from tests.support import pictures
from tests.support.network import forget_network
from tests.support.standin import Made
from tests.support.web import WebServer, serving_pictures

JPEG = pictures.encode(pictures.photo())
LOOPBACK = FetchTerms(http=True, private=read_networks("127.0.0.1"), contact="catalog@shop.example", version="1")

#: Where sockets of this process connect to, for who looks, as the interpreter itself tells. A hook is there for good.
_watched: list[list[object]] = []


def _watch(event: str, args: tuple[object, ...]) -> None:
    if event == "socket.connect":
        for found in _watched:
            found.append(args[1])


sys.addaudithook(_watch)


@pytest.fixture
def connections() -> Iterator[list[object]]:
    """The addresses that this process connects to while the test lasts."""
    found: list[object] = []
    _watched.append(found)
    yield found
    _watched.remove(found)


@pytest.fixture(autouse=True)
def _no_company(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_network(monkeypatch)


@pytest.fixture
def web() -> Iterator[WebServer]:
    """A web server."""
    with serving_pictures() as found:
        yield found


@pytest.fixture
def fetcher() -> Iterator[Fetcher]:
    """One that may ask this machine."""
    found = Fetcher(LOOPBACK)
    yield found
    found.close()


def at(url: str) -> Address:
    """An address."""
    return read_address(url, http=True)


def test_a_picture_comes_with_what_it_is_asked_by_again(web: WebServer, fetcher: Fetcher) -> None:
    """Its kind is told by its bytes; asked again with its validator, the server says that nothing has changed."""
    address = at(web.put("a.png", JPEG))
    found = fetcher.fetch(address)
    assert found is not None
    assert (found.data, found.suffix) == (JPEG, ".jpg")
    known = Known(
        address="a", sha256="0" * 64, suffix=".jpg", bytes=1, etag=found.etag, final=found.final, fetched=utc_now()
    )
    assert fetcher.fetch(address, known) is None
    assert web.statuses() == {200: 1, 304: 1}
    sent = web.headers[0]
    assert sent["user-agent"] == "restyle/1 (+catalog@shop.example)"
    assert not {"cookie", "authorization", "x-api-key"} & sent.keys()


@pytest.mark.parametrize(
    ("made", "kind", "told"),
    [
        (Made(b"", status=404), InputNotFound, "answers 404"),
        (Made(b"", status=410), InputNotFound, "answers 410"),
        (Made(b"", status=401), InputRefused, "answers 401"),
        (Made(b"", status=403), InputRefused, "answers 403"),
        (Made(b"<!doctype html><form><input type='password'>"), InputRefused, "a login page"),
        (Made(b" <!-- x --><HTML><body>sold out"), InvalidImage, "a web page"),
        (Made(b""), InvalidImage, "0 bytes"),
        (Made(b"%PDF-1.4"), InvalidImage, "a PDF document"),
        (Made(b"", {"location": "ftp://x/y"}, status=302), InputRefused, "leads on to an address that is no address"),
        (Made(b"", {"location": "http://me:geheim@x/"}, status=302), InputRefused, "has a user or a password"),
        (Made(b"", {"location": "/x"}, status=302), InputUnreachable, "leads on more than 5 times"),
        (Made(b"", status=500), WebUnavailable, "answers 500"),
        (Made(b"", status=302), WebUnavailable, "without saying where to"),
    ],
)
def test_what_is_no_picture(web: WebServer, fetcher: Fetcher, made: Made, kind: type[RestyleError], told: str) -> None:
    """Each is told for what it is, and nothing of an address that may be a secret."""
    web.files["/x"] = made
    with pytest.raises(kind, match=told) as caught:
        fetcher.fetch(at(f"{web.origin}/x?token=geheim"))
    assert type(caught.value) is kind
    assert "geheim" not in caught.value.message


def test_a_server_that_asks_for_patience(web: WebServer, fetcher: Fetcher) -> None:
    """How long is told with the error, a quarter of an hour at most."""
    for asked, wait in (("7", 7.0), ("999999", 900.0), ("soon", None)):
        web.files["/x"] = Made(b"", {"retry-after": asked}, status=429)
        with pytest.raises(WebUnavailable) as caught:
            fetcher.fetch(at(f"{web.origin}/x"))
        assert caught.value.wait == wait


def test_redirects_are_followed_and_judged_anew(web: WebServer, fetcher: Fetcher) -> None:
    """To another server too, where that is one that may be asked."""
    with serving_pictures() as other:
        target = other.put("b.jpg", JPEG)
        web.files["/a"] = Made(b"", {"location": "/ö ne"}, status=301)
        web.files["/%C3%B6%20ne"] = Made(b"", {"location": target}, status=307)
        found = fetcher.fetch(at(f"{web.origin}/a"))
    assert found is not None
    assert found.data == JPEG


def test_a_host_that_redirects_lead_to_is_asked_as_politely(web: WebServer) -> None:
    """Whatever the number of those that lead there: no more ask it at a time than may ask one that is named."""
    fetcher = Fetcher(LOOPBACK, connections=2)
    with serving_pictures() as other, ThreadPoolExecutor(8) as pool:
        other.seconds = 0.05
        for name in map(str, range(16)):
            web.files[f"/{name}"] = Made(b"", {"location": other.put(f"{name}.jpg", JPEG)}, status=302)
        assert all(pool.map(lambda n: fetcher.fetch(at(f"{web.origin}/{n}")), range(16)))
        assert other.most_in_flight == 2
    fetcher.close()


def test_a_redirect_calls_no_older_picture_unchanged(web: WebServer, fetcher: Fetcher) -> None:
    """What is known is of the address that answered: where the same one leads to another by now, all of it comes."""
    old, new = web.put("old.jpg", JPEG), web.put("new.jpg", JPEG)
    web.files["/a"] = Made(b"", {"location": old}, status=302)
    found = fetcher.fetch(at(f"{web.origin}/a"))
    assert found is not None
    known = Known(
        address="a", sha256="0" * 64, suffix=".jpg", bytes=1, etag=found.etag, final=found.final, fetched=utc_now()
    )
    assert fetcher.fetch(at(f"{web.origin}/a"), known) is None, "by the address behind it nothing has changed"
    web.files["/a"] = Made(b"", {"location": new}, status=302)
    web.forget()
    assert fetcher.fetch(at(f"{web.origin}/a"), known) is not None
    assert not [head for head in web.headers if "if-none-match" in head], "the new one has the same ETag by chance"


def test_an_answer_that_does_not_come(web: WebServer) -> None:
    """There is one time limit for all of it, and one for its head; both pass as failures of the server."""
    web.put("a.jpg", JPEG)
    web.seconds = 2
    fetcher = Fetcher(LOOPBACK, seconds=0.3)
    began = time.monotonic()
    with pytest.raises(WebUnavailable, match="no answer within"):
        fetcher.fetch(at(f"{web.origin}/a.jpg"))
    assert time.monotonic() - began < 1.5
    fetcher.close()


# -- where nothing is connected to --------------------------------------------------------------------------

INSIDE = ("127.0.0.1", "::1", "169.254.169.254", "10.1.2.3", "::ffff:10.0.0.1", "fd00:ec2::254", "100.64.0.1",
          "64:ff9b::a9fe:a9fe", "0.0.0.1")  # fmt: skip


class Names:
    """A resolver that tells what a test makes up, the next answer at each look-up."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = [*answers]
        self.asked: list[str] = []

    def __call__(self, host: str, _port: int) -> list[str]:
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.mark.parametrize("address", INSIDE)
def test_a_name_that_leads_inside_is_not_connected_to(connections: list[object], address: str) -> None:
    """Not even where it has a public address beside."""
    for answer in ([address], ["93.184.216.34", address]):
        fetcher = Fetcher(FetchTerms(), names=Names(answer))
        with pytest.raises(InputRefused, match="an address of an inner network"):
            fetcher.fetch(at("https://cdn.example/a.jpg"))
        fetcher.close()
    assert connections == []


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "[::1]", "169.254.169.254", "10.1.2.3", "2130706433", "0177.0.0.1", "0x7f.1", "127.1", "017700000001",
     "[::ffff:127.0.0.1]", "[::ffff:a9fe:a9fe]", "localhost", "localhost.", "LOCALHOST", "a.localhost"],
)  # fmt: skip
def test_an_inner_address_however_it_is_written(connections: list[object], host: str) -> None:
    """Decimal, octal, in hexadecimal or mapped into IPv6: it is read as resolvers read it."""
    fetcher = Fetcher(FetchTerms(http=True))
    for scheme in ("https", "http"):
        with pytest.raises(JobError, match="an address of an inner network"):
            fetcher.fetch(at(f"{scheme}://{host}/a.jpg"))
    fetcher.close()
    assert connections == []


def test_what_two_readers_may_read_differently(connections: list[object]) -> None:
    """It is no name of a host, and nobody is asked what it stands for."""
    fetcher = Fetcher(FetchTerms(), names=Names(["93.184.216.34"]))
    with pytest.raises(InputRefused, match="is no name of a host"):
        fetcher.fetch(at("https://999.1.1.1/a.jpg"))
    fetcher.close()
    assert connections == []


@pytest.mark.parametrize("inside", ["http://169.254.169.254/latest", "http://2852039166/", "http://inner.example/"])
def test_a_redirect_that_leads_inside(web: WebServer, connections: list[object], inside: str) -> None:
    """It is judged like any address: nobody connects to where it leads."""
    web.files["/a"] = Made(b"", {"location": inside}, status=302)
    fetcher = Fetcher(LOOPBACK, names=Names(["10.0.0.7"]))
    with pytest.raises(InputRefused, match="an address of an inner network"):
        fetcher.fetch(at(f"{web.origin}/a"))
    fetcher.close()
    port = int(web.origin.rpartition(":")[2])
    assert connections == [("127.0.0.1", port)]


def test_a_name_is_looked_up_once_for_a_connection(web: WebServer, connections: list[object]) -> None:
    """What was judged is connected to: a second answer, which leads elsewhere, is never asked for."""
    web.put("a.jpg", JPEG)
    port = int(web.origin.rpartition(":")[2])
    names = Names(["127.0.0.1"], ["169.254.169.254"])
    fetcher = Fetcher(LOOPBACK, names=names)
    assert fetcher.fetch(at(f"http://cdn.example:{port}/a.jpg")) is not None
    assert (names.asked, connections) == (["cdn.example"], [("127.0.0.1", port)])
    assert web.headers[0]["host"] == f"cdn.example:{port}"
    fetcher.close()
    again = Fetcher(LOOPBACK, names=names)
    with pytest.raises(InputRefused, match="an address of an inner network"):
        again.fetch(at(f"http://cdn.example:{port}/a.jpg"))
    again.close()
    assert len(connections) == 1


def test_by_a_proxy_neither(monkeypatch: pytest.MonkeyPatch, connections: list[object]) -> None:
    """The proxy is not asked for it."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    for answer in INSIDE:
        fetcher = Fetcher(FetchTerms(), names=Names([answer]))
        with pytest.raises(InputRefused, match="an address of an inner network"):
            fetcher.fetch(at("https://cdn.example/a.jpg"))
        fetcher.close()
    assert connections == []


def test_what_cannot_be_looked_up_may_be_there_later(connections: list[object]) -> None:
    """It is a failure that may pass; of several addresses the next one is tried."""
    fetcher = Fetcher(FetchTerms(), names=Names([]))
    with pytest.raises(WebUnavailable, match="Failed to resolve"):
        fetcher.fetch(at("https://cdn.example/a.jpg"))
    fetcher.close()
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    fetcher = Fetcher(
        FetchTerms(http=True, private=(ipaddress.ip_network("127.0.0.0/8"),)), names=Names(["127.0.0.2", "127.0.0.3"])
    )
    with pytest.raises(WebUnavailable, match="Connection refused"):
        fetcher.fetch(at(f"http://cdn.example:{port}/a.jpg"))
    fetcher.close()
    assert connections == [("127.0.0.2", port), ("127.0.0.3", port)]
