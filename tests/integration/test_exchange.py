"""The short way's HTTP, against a socket that answers what it is told to."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from httptools import HttpParserError

from restyle.exchange import Host
from tests.support.answering import Server
from tests.support.certificates import write_localhost

GOOD = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"


@pytest.fixture
def servers() -> Iterator[list[Server]]:
    """Servers that end with the test."""
    started: list[Server] = []
    yield started
    for server in started:
        server.close()


def host(servers: list[Server], *answers: bytes | None) -> Host:
    """A server with these answers, as the short way sees it."""
    servers.append(Server(*answers))
    return Host("127.0.0.1", servers[0].port, None, connections=4, read=0.3)


def get(host: Host, verb: str = "GET") -> tuple[int, bytes]:
    """One request: status and body."""
    with host.exchange(verb, "/key", {"host": "shop"}) as answer:
        return answer.status, b"" if verb == "HEAD" else answer.body()


def test_a_connection_is_kept(servers: list[Server]) -> None:
    """Over it go one request after the other, a HEAD whose answer has no length among them."""
    shop = host(servers, GOOD, b"HTTP/1.1 200 OK\r\netag: x\r\n\r\n", GOOD)
    assert [get(shop), get(shop, "HEAD"), get(shop)] == [(200, b"hello"), (200, b""), (200, b"hello")]
    assert servers[0].connections == 1
    assert servers[0].heard[0] == b"GET /key HTTP/1.1\r\nhost: shop\r\n\r\n"
    shop.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello",
    ],
)
def test_a_connection_that_ends_is_not_kept(servers: list[Server], answer: bytes) -> None:
    """What the other side is about to close is not used again."""
    shop = host(servers, answer, GOOD)
    assert [get(shop), get(shop)] == [(200, b"hello")] * 2
    assert servers[0].connections == 2
    shop.close()


def test_a_body_in_chunks(servers: list[Server]) -> None:
    """S3 tells of errors so."""
    shop = host(
        servers, b"HTTP/1.1 404 Not Found\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", GOOD
    )
    assert [get(shop), get(shop)] == [(404, b"hello"), (200, b"hello")]
    assert servers[0].connections == 1
    shop.close()


@pytest.mark.parametrize("answer", [None, b"", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello"])
def test_what_does_not_come_in_time_or_whole(servers: list[Server], answer: bytes | None) -> None:
    """Silence, a closed connection and half an answer are errors, after the time limit at the latest."""
    shop = host(servers, answer)
    with pytest.raises(OSError):  # noqa: PT011 - of whichever kind: the long way is taken
        get(shop)


def test_what_is_no_http(servers: list[Server]) -> None:
    """Anything else is an error too, never half an answer."""
    shop = host(servers, b"SSH-2.0-OpenSSH_9.6\r\n")
    with pytest.raises(HttpParserError):
        get(shop)


def test_what_is_not_read_ends_the_connection(servers: list[Server]) -> None:
    """A body that is too large is left where it is."""
    shop = host(servers, b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello", GOOD)
    with shop.exchange("GET", "/key", {}) as answer:
        assert answer.length == 9
    assert get(shop) == (200, b"hello")
    assert servers[0].connections == 2
    shop.close()


def test_silence_over_tls_ends_in_time(servers: list[Server], tmp_path: Path) -> None:
    """Python's TLS takes the end of the system's time limit for an interruption; it must not wait for ever."""
    cert, key = write_localhost(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    servers.append(Server(GOOD, None, tls=context))
    trusted = ssl.create_default_context(cafile=str(cert))
    shop = Host("localhost", servers[0].port, trusted, connections=4, read=0.3)
    assert get(shop) == (200, b"hello")
    with pytest.raises(TimeoutError):
        get(shop)
    shop.close()
