"""Python's own HTTP client with answers that are final, against a socket that answers what it is told to."""

from __future__ import annotations

import http.client
import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import urllib3

from restyle.http.informational import FinalResponse
from tests.support.answering import answering
from tests.support.gateway import INFORMATIONAL
from tests.support.trickling import trickling

GOOD = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
OTHER = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nother"


class Hurried(FinalResponse):
    """One with limits that a test can wait for."""

    head_within = 0.3
    pace_bytes, pace_seconds = 100, 0.3


class Connection(urllib3.connection.HTTPConnection):
    """As `clients.py` makes botocore's."""

    response_class = Hurried


class Pool(urllib3.HTTPConnectionPool):
    """One connection, used again and again."""

    ConnectionCls = Connection


@contextmanager
def pool(port: int) -> Iterator[Pool]:
    """A pool to a port of this machine, without retries."""
    with Pool("127.0.0.1", port, maxsize=1, timeout=2, retries=urllib3.Retry(False)) as found:
        yield found


@pytest.mark.parametrize("before", [INFORMATIONAL[0], INFORMATIONAL[1], INFORMATIONAL[2], b"".join(INFORMATIONAL)])
def test_an_informational_answer_is_passed_over(before: bytes) -> None:
    """Of any number, alone or with others: the answer is the final one, and so is the next one over the connection."""
    with answering(before + GOOD, OTHER) as server, pool(server.port) as client:
        assert [client.request("GET", "/").data for _ in range(2)] == [b"hello", b"other"]
        assert server.connections == 1


def test_they_are_passed_over_where_the_answer_has_no_body() -> None:
    """HEAD, 204 and a body in chunks are read to their end, and no further."""
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n"
    empty = b"HTTP/1.1 204 No Content\r\n\r\n"
    chunks = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    answers = [INFORMATIONAL[2] + answer for answer in (head, empty, chunks, GOOD)]
    with answering(*answers) as server, pool(server.port) as client:
        found = [client.request(verb, "/") for verb in ("HEAD", "DELETE", "GET", "GET")]
        assert [(one.status, one.data) for one in found] == [(200, b""), (204, b""), (200, b"hello"), (200, b"hello")]
        assert server.connections == 1


@pytest.mark.parametrize("answer", [INFORMATIONAL[2] * 50 + GOOD, b"HTTP/1.1 101 Switching Protocols\r\n\r\n"])
def test_what_never_becomes_final_is_an_error(answer: bytes) -> None:
    """Nor is a protocol changed that nobody asked to change."""
    with answering(answer, OTHER) as server, pool(server.port) as client:
        with pytest.raises(urllib3.exceptions.ProtocolError):
            client.request("GET", "/")
        assert client.request("GET", "/").data == b"other"


@pytest.mark.parametrize(
    "answer",
    [
        itertools.repeat(INFORMATIONAL[0]),
        (bytes([byte]) for byte in b"HTTP/1.1 200 OK\r\nserver: one that takes its time\r\n" * 9),
        itertools.chain([b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n"], itertools.repeat(b"x")),
        itertools.chain([b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"], itertools.repeat(b"1\r\nx\r\n")),
    ],
    ids=["100 after 100", "head byte by byte", "body byte by byte", "chunk by chunk"],
)
def test_a_trickle_ends_in_time(answer: Iterator[bytes]) -> None:
    """However often something comes, before the answer, in its head or in its body."""
    with trickling(answer, pause=0.05) as port, pool(port) as client:
        begun = time.monotonic()
        with pytest.raises(urllib3.exceptions.HTTPError):
            client.request("GET", "/")
        assert time.monotonic() - begun < 2


def test_a_slow_body_that_keeps_the_pace_is_read() -> None:
    """What takes longer than the limit, and comes, is waited for."""
    answer = itertools.chain([b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"], itertools.repeat(b"x" * 100, 10))
    with trickling(answer, pause=0.1) as port, pool(port) as client:
        assert client.request("GET", "/").data == b"x" * 1000


def test_without_it_the_answers_are_mixed_up() -> None:
    """What Python does by itself: should this fail, restyle/http/informational.py is needed no longer."""
    with answering(INFORMATIONAL[2] + GOOD) as server:
        plain = http.client.HTTPConnection("127.0.0.1", server.port, timeout=2)
        plain.request("GET", "/")
        assert plain.getresponse().status == 103
        plain.close()
