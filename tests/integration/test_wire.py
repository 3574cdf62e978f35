"""What an API that breaks off, hangs or refuses comes to: never sent, or in doubt, and never a hang."""

from __future__ import annotations

import gzip
import socket
import ssl
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from urllib3.connection import HTTPConnection

from restyle.errors import ApiTimeout, ApiUnavailable, MalformedResponse
from restyle.http.exchange import Peer, Wire
from tests.support.answering import Server, answering, speaking
from tests.support.certificates import write_localhost
from tests.support.network import forget_network

GOOD = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx-remaining-credits: 7\r\n\r\nhello"


@pytest.fixture(autouse=True)
def _no_company(monkeypatch: pytest.MonkeyPatch) -> None:
    """No certificates and no proxy but those that a test names."""
    forget_network(monkeypatch)


def line_to(server: Server, *, scheme: str = "http", timeout: float = 0.4) -> tuple[Wire, str]:
    """A client of a server, and the server's address."""
    url = f"{scheme}://localhost:{server.port}/v1"
    return Wire(url, "SG_0123456789abcdef", timeout=timeout, connect_timeout=0.4), url


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """TLS for localhost, whose certificate the client trusts."""
    cert, key = write_localhost(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    return context


def test_a_reply_comes_whole_and_its_connection_is_kept() -> None:
    """Over one connection go request and body, one call after the other."""
    with answering(GOOD, GOOD) as server:
        line, url = line_to(server)
        for _ in range(2):
            reply = line.ask("POST", url, b'{"image":""}')
            assert (reply.status, reply.body, reply.headers["X-Remaining-Credits"]) == (200, b"hello", "7")
        line.close()
    assert server.connections == 1
    assert b"x-api-key: SG_0123456789abcdef" in server.heard[0]


def test_an_answer_may_take_longer_than_a_connection(tls: ssl.SSLContext) -> None:
    """The time to connect is no limit of a call, over a new connection and over one that was kept, with TLS or not."""
    for scheme, context in (("http", None), ("https", tls)):
        with answering(GOOD, GOOD, tls=context, latency=0.6) as server:
            line, url = line_to(server, scheme=scheme, timeout=5)
            assert [line.ask("POST", url, b"{}").body for _ in range(2)] == [b"hello"] * 2
            line.close()
        assert server.connections == 1


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "the connection broke before the answer came"),
        (None, "no answer within"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello", "no answer within"),
        (b"HTTP/1.1 200 OK\r\n\r\nhello", "no answer within"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", "no answer within"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "the connection broke before the answer came"),
    ],
)
def test_what_breaks_after_it_was_sent_is_in_doubt(answer: bytes | None, why: str) -> None:
    """Silence, a hang-up, half an answer and what is no HTTP: the call may have been paid for."""
    with answering(answer) as server:
        line, url = line_to(server)
        with pytest.raises(ApiTimeout, match=why) as caught:
            line.ask("POST", url, b"{}")
        line.close()
    assert caught.value.in_doubt


def test_a_large_picture_may_take_longer_to_send_than_to_connect() -> None:
    """Many of them at once go through one line; that is no reason to be in doubt about all of their calls."""

    class Slow(Server):
        """Reads late, and then all of it."""

        def _serve(self) -> None:
            connection, _ = self._socket.accept()
            self._open.append(connection)
            time.sleep(0.7)
            left = 20_000_000
            while left > 0:
                left -= len(connection.recv(1 << 20))
            connection.sendall(GOOD)

    server = Slow()
    line, url = line_to(server, timeout=10)
    assert line.ask("POST", url, bytes(20_000_000)).body == b"hello"
    line.close()
    server.close()


def test_half_an_answer_is_none() -> None:
    """A connection that ends before the promised length breaks the answer off, and is not used again."""
    half = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\nconnection: close\r\n\r\nhello"

    class Hasty(Server):
        """Hangs up after each answer."""

        def _serve(self) -> None:
            connection, _ = self._socket.accept()
            self._open.append(connection)
            connection.recv(65536)
            connection.sendall(half)
            connection.close()

    server = Hasty()
    line, url = line_to(server, timeout=5)
    with pytest.raises(ApiTimeout, match="the answer broke off"):
        line.ask("POST", url, b"{}")
    server.close()


def test_nothing_is_sent_where_nobody_listens() -> None:
    """A refused connection is no doubt."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    line = Wire("http://127.0.0.1/", "", timeout=1)
    with pytest.raises(ApiUnavailable, match="cannot be reached"):
        line.ask("POST", f"http://127.0.0.1:{port}/v1", b"{}")


def test_tls_limits_and_verifies(tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown certificate ends it before anything is sent; silence after the handshake is a doubt, in time."""
    with answering(GOOD, None, tls=tls) as server:
        line, url = line_to(server, scheme="https")
        assert line.ask("POST", url, b"{}").body == b"hello"
        with pytest.raises(ApiTimeout, match="no answer within") as caught:
            line.ask("POST", url, b"{}")
        assert caught.value.in_doubt
        with pytest.raises(ApiUnavailable):  # the certificate is for another name
            line.ask("POST", url.replace("localhost", "127.0.0.1"), b"{}")
        line.close()
    monkeypatch.delenv("SSL_CERT_FILE")
    with answering(GOOD, tls=tls) as server:
        line, url = line_to(server, scheme="https")
        with pytest.raises(ApiUnavailable, match=r"certificate verify failed.*SSL_CERT_FILE"):
            line.ask("POST", url, b"{}")
        line.close()


# -- answers before the answer -----------------------------------------------------------------------------


@pytest.mark.parametrize("before", [[100], [102], [103], [101], [199], [102, 103, 100, 102], [100] * 99])
def test_what_comes_before_the_answer_is_skipped(before: list[int]) -> None:
    """Any 1xx, 100s as many as Python 3.14 takes: the answer is the one that was paid for, and the next one its own."""
    early = b"".join(b"HTTP/1.1 %d Wait\r\nlink: </a.css>; rel=preload\r\n\r\n" % status for status in before)
    with answering(early + GOOD, early + GOOD.replace(b"hello", b"world")) as server:
        line, url = line_to(server, timeout=5)
        assert [line.ask("POST", url, b"{}").body for _ in range(2)] == [b"hello", b"world"]
        line.close()
    assert (server.connections, len(server.heard)) == (1, 2)


def test_what_comes_before_the_answer_may_come_in_pieces(tls: ssl.SSLContext) -> None:
    """Split anywhere, over TLS too."""
    sent = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + GOOD

    def speak(connection: socket.socket) -> None:
        for byte in sent:
            connection.sendall(bytes([byte]))

    for scheme, context in (("http", None), ("https", tls)):
        with speaking(speak, tls=context) as server:
            line, url = line_to(server, scheme=scheme, timeout=5)
            assert [line.ask("POST", url, b"{}").body for _ in range(2)] == [b"hello"] * 2
            line.close()
        assert server.connections == 1


@given(
    st.lists(
        st.sampled_from(
            [
                "plain",
                "100",
                "102",
                "103",
                "103 twice",
                "split",
                "chunked",
                "packed",
                "closes",
                "says that it closes",
                "1.0",
                "more than it says",
            ]
        ),
        min_size=2,
        max_size=12,
    )
)
@settings(deadline=None, max_examples=25)
def test_no_reply_is_another_s(manners: list[str]) -> None:
    """Whatever a gateway does within HTTP's rules, and some that it does outside them: each call has its own answer."""
    left = list(manners)

    def speak(connection: socket.socket) -> None:
        manner = left.pop(0)
        answer_in(manner, connection, server.heard[-1].partition(b"\r\n\r\n")[2])

    doubts = set[tuple[str, bool]]()
    with speaking(speak) as server:
        line, url = line_to(server, timeout=5)
        for number, before in enumerate(["", *manners[:-1]]):
            body = b'{"number": %d}' % number
            try:
                reply = line.ask("POST", url, body)
            except ApiTimeout as lost:
                # Hung up on without a word, as it was sent: nobody can tell, and it is no other's answer.
                doubts.add((before, lost.in_doubt))
                reply = line.ask("POST", url, body)
            assert reply.body == body
        line.close()
    assert doubts <= {("closes", True)}
    assert len(server.heard) == len(manners)


def answer_in(manner: str, connection: socket.socket, body: bytes) -> None:
    """Answers with the request's own body, in the manner of one odd gateway or another."""
    early = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
    before = {"100": b"HTTP/1.1 100 Continue\r\n\r\n", "102": b"HTTP/1.1 102 Processing\r\n\r\n", "103": early}
    before["103 twice"] = early * 2
    said, head, sent = b"HTTP/1.1 200 OK\r\n", b"content-length: %d\r\n" % len(body), body
    match manner:
        case "chunked":
            head, sent = b"transfer-encoding: chunked\r\n", b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        case "packed":
            sent = gzip.compress(body, mtime=0)
            head = b"content-encoding: gzip\r\ncontent-length: %d\r\n" % len(sent)
        case "says that it closes":
            head += b"connection: close\r\n"
        case "1.0":
            said = b"HTTP/1.0 200 OK\r\n"
        case "more than it says":
            sent = body + b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwrong"
    whole_answer = before.get(manner, b"") + said + head + b"\r\n" + sent
    pieces = [whole_answer[place : place + 7] for place in range(0, len(whole_answer), 7)]
    for piece in pieces if manner == "split" else [whole_answer]:
        connection.sendall(piece)
    if manner in {"closes", "says that it closes", "1.0"}:
        connection.shutdown(socket.SHUT_RDWR)
        connection.close()


# -- one deadline ------------------------------------------------------------------------------------------

HEAD = b"HTTP/1.1 200 OK\r\n" + b"x-pad: y\r\n" * 90
TRICKLES: dict[str, tuple[bytes, Callable[[int], bytes]]] = {
    "a head": (b"", lambda place: HEAD[place % len(HEAD) :][:1]),
    "a line of a head": (b"HTTP/1.1 200 OK\r\nx: ", lambda _: b"y"),
    "continues": (b"", lambda _: b"HTTP/1.1 100 Continue\r\n\r\n"),
    "early hints": (b"", lambda _: b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"),
    "a body": (b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n", lambda _: b"y"),
    "a body without an end": (b"HTTP/1.1 200 OK\r\n\r\n", lambda _: b"y"),
    "chunks": (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", lambda _: b"1\r\ny\r\n"),
    "the size of a chunk": (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", lambda _: b"0"),
    "trailers": (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", lambda _: b"x: y\r\n"),
}


@pytest.mark.parametrize(
    ("what", "scheme"), [*((what, "http") for what in TRICKLES), ("a head", "https"), ("a body", "https")]
)
def test_a_trickle_ends_at_the_deadline(what: str, scheme: str, tls: ssl.SSLContext) -> None:
    """A byte now and then keeps no call alive: its time is up, and it counts as in doubt."""
    first, then = TRICKLES[what]

    def speak(connection: socket.socket) -> None:
        connection.sendall(first)
        for place in range(300):
            connection.sendall(then(place))
            time.sleep(0.02)

    with speaking(speak, tls=tls if scheme == "https" else None) as server:
        line, url = line_to(server, scheme=scheme, timeout=0.4)
        began = time.monotonic()
        with pytest.raises(ApiTimeout, match="no answer within") as caught:
            line.ask("POST", url, b"{}")
        assert caught.value.in_doubt
        assert time.monotonic() - began < 1.5
        line.close()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_sending_has_the_same_deadline(scheme: str, tls: ssl.SSLContext) -> None:
    """A server that reads a little now and then holds no call beyond its time."""

    class Slow(Server):
        """Never reads it all."""

        def _serve(self) -> None:
            with suppress(OSError):
                connection, _ = self._socket.accept()
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                connection = self._tls.wrap_socket(connection, server_side=True) if self._tls else connection
                self._open.append(connection)
                for _ in range(300):
                    connection.recv(4096)
                    time.sleep(0.02)

    server = Slow(tls=tls if scheme == "https" else None)
    line, url = line_to(server, scheme=scheme, timeout=0.6)
    began = time.monotonic()
    with pytest.raises(ApiTimeout, match="no answer within") as caught:
        line.ask("POST", url, bytes(30_000_000))
    assert caught.value.in_doubt
    assert time.monotonic() - began < 1.8
    line.close()
    server.close()


# -- what comes back ---------------------------------------------------------------------------------------


def packed(body: bytes, encoding: str) -> bytes:
    """An answer that says how it is packed."""
    return b"HTTP/1.1 200 OK\r\ncontent-encoding: %s\r\ncontent-length: %d\r\n\r\n%s" % (
        encoding.encode(), len(body), body,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (gzip.compress(b"hello", mtime=0), "gzip"),
        (gzip.compress(b"hel", mtime=0) + gzip.compress(b"lo", mtime=0), "x-gzip"),
        (gzip.compress(b"hello", mtime=0), "identity"),
        (zlib.compress(b"hello"), "deflate"),
        (b"hello", "gzip"),
        (b"hello", "deflate"),
        (b"hello", "br"),
    ],
)
def test_a_packed_answer_is_unpacked(body: bytes, encoding: str) -> None:
    """Nobody asks for it, and a gateway packs all the same, or says that it does and does not."""
    with answering(packed(body, encoding)) as server:
        line, url = line_to(server, timeout=5)
        assert line.ask("POST", url, b"{}").body == b"hello"
        line.close()
    assert b"accept-encoding: identity" in server.heard[0]


def test_a_bomb_is_not_unpacked() -> None:
    """What unpacks to more than an answer may have is none; as it came it can be kept."""
    bomb = gzip.compress(bytes(50_000_000))
    with answering(packed(bomb, "gzip"), GOOD) as server:
        url = f"http://localhost:{server.port}/v1"
        line = Wire(url, "", timeout=5, peer=Peer(most=1_000_000))
        with pytest.raises(MalformedResponse, match="larger than 1 MB") as caught:
            line.ask("POST", url, b"{}")
        assert caught.value.reply is not None
        assert caught.value.reply.body == bomb
        line.close()


def test_an_endless_answer_is_none() -> None:
    """It is read as far as an answer may go; what was read can be kept."""

    def speak(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(100):
            connection.sendall(bytes(100_000))

    with speaking(speak) as server:
        url = f"http://localhost:{server.port}/v1"
        line = Wire(url, "", timeout=5, peer=Peer(most=1_000_000))
        with pytest.raises(MalformedResponse, match="larger than 1 MB") as caught:
            line.ask("POST", url, b"{}")
        assert caught.value.reply is not None
        assert len(caught.value.reply.body) == 1_000_000
        line.close()


def test_redirects_cookies_and_netrc_stay_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A redirect is an answer, and its body is not read for ever; no cookie comes back; a netrc is not sent."""
    (tmp_path / "netrc").write_text("machine localhost login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    moved = b"HTTP/1.1 302 Found\r\nlocation: http://localhost:1/\r\nset-cookie: a=b\r\ncontent-length: 2\r\n\r\nno"
    with answering(moved, GOOD) as server:
        line, url = line_to(server, timeout=5)
        assert line.ask("POST", url, b"{}")[0] == 302
        assert line.ask("POST", url, b"{}")[0] == 200
        line.close()
    assert (len(server.heard), server.connections) == (2, 1)
    assert not [request for request in server.heard if b"cookie" in request.lower() or b"uthorization" in request]


def test_a_head_beyond_all_bounds_is_a_lost_answer() -> None:
    """The answer may have been billed: it is in doubt, and neither read for ever nor taken for never sent."""
    many = b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 200 + b"content-length: 0\r\n\r\n"
    long = b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000 + b"\r\ncontent-length: 0\r\n\r\n"
    twice = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello"
    for answer in (many, long, twice):
        with answering(answer) as server:
            line, url = line_to(server, timeout=5)
            with pytest.raises(ApiTimeout) as caught:
                line.ask("POST", url, b"{}")
            assert caught.value.in_doubt
            line.close()


@pytest.mark.parametrize("url", ["api.segmind.com/v1", "http://", "gopher://localhost/", "http://[::1", "http://a b/"])
def test_no_address_is_no_doubt(url: str) -> None:
    """Nothing can have been sent to what is no address."""
    line = Wire("http://localhost/", "", timeout=1)
    with pytest.raises(ApiUnavailable):
        line.ask("POST", url, b"{}")
    line.close()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_connections_are_kept_alive_by_the_system(scheme: str, tls: ssl.SSLContext) -> None:
    """A router between forgets a silent connection within minutes, and a call may take as long."""
    seen = []
    with answering(GOOD, tls=tls if scheme == "https" else None) as server:
        url = f"{scheme}://localhost:{server.port}/v1"

        def look(connection: HTTPConnection) -> None:
            seen.append(connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

        line = Wire(url, "", timeout=5, peer=Peer(admit=look))
        assert line.ask("POST", url, b"{}").body == b"hello"
        line.close()
    assert seen
    assert all(seen)
