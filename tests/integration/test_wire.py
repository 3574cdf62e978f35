"""What an API that breaks off, hangs or refuses comes to: never sent, or in doubt, and never a hang."""

from __future__ import annotations

import socket
import ssl
import time
from pathlib import Path

import certifi
import pytest

from restyle.errors import ApiTimeout, ApiUnavailable, ConfigurationError
from restyle.wire import Wire
from tests.support.answering import Server, answering
from tests.support.certificates import write_localhost

GOOD = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx-remaining-credits: 7\r\n\r\nhello"


def line_to(
    server: Server, *, scheme: str = "http", timeout: float = 0.4, trusted: str = certifi.where()
) -> tuple[Wire, str]:
    """A client of a server, and the server's address."""
    url = f"{scheme}://localhost:{server.port}/v1"
    return Wire(url, "SG_0123456789abcdef", timeout=timeout, connect_timeout=0.4, trusted=trusted), url


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


def test_an_answer_may_take_longer_than_a_connection(tmp_path: Path) -> None:
    """The time to connect is no limit of a call, over a new connection and over one that was kept, with TLS or not."""
    cert, key = write_localhost(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    for scheme, tls in (("http", None), ("https", context)):
        with answering(GOOD, GOOD, tls=tls, latency=0.6) as server:
            line, url = line_to(server, scheme=scheme, timeout=5, trusted=str(cert))
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


def test_tls_limits_and_verifies(tmp_path: Path) -> None:
    """An unknown certificate ends it before anything is sent; silence after the handshake is a doubt, in time."""
    cert, key = write_localhost(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    with answering(GOOD, tls=context) as server:
        line, url = line_to(server, scheme="https")
        with pytest.raises(ApiUnavailable, match="certificate verify failed"):
            line.ask("POST", url, b"{}")
        line.close()
    with answering(GOOD, None, tls=context) as server:
        line, url = line_to(server, scheme="https", trusted=str(cert))
        assert line.ask("POST", url, b"{}").body == b"hello"
        with pytest.raises(ApiTimeout, match="no answer within") as caught:
            line.ask("POST", url, b"{}")
        assert caught.value.in_doubt
        with pytest.raises(ApiUnavailable):  # the certificate is for another name
            line.ask("POST", url.replace("localhost", "127.0.0.1"), b"{}")
        line.close()


def test_a_refusing_proxy_is_no_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the proxy does not let through was not sent; its password is told to nobody but it."""
    with answering(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n") as server:
        monkeypatch.setenv("https_proxy", f"http://user:secret@127.0.0.1:{server.port}")
        line = Wire("https://api.segmind.com/v1", "SG_0123456789abcdef", timeout=1)
        with pytest.raises(ApiUnavailable) as caught:
            line.ask("POST", "https://api.segmind.com/v1", b"{}")
        line.close()
    assert server.heard[0].startswith(b"CONNECT api.segmind.com:443")
    assert b"roxy-authorization: basic " in server.heard[0].lower()
    assert b"SG_" not in server.heard[0]
    assert "secret" not in str(caught.value)


def test_a_proxy_of_another_kind_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clear error before anything is spent."""
    monkeypatch.setenv("https_proxy", "socks5://127.0.0.1:1")
    with pytest.raises(ConfigurationError, match="only proxies of"):
        Wire("https://api.segmind.com/v1", "", timeout=1)
