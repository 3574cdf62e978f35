"""Requests and answers over connections that are kept: as much of HTTP as the short way to S3 needs, and no more.

llhttp reads the answers (by httptools, as uvicorn does). http.client and urllib3 spend twice the CPU on a request that
the network and signing take together, most of it on headers.
"""

from __future__ import annotations

import socket
import time
import weakref
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ssl import SSLContext, SSLSocket

from httptools import HttpResponseParser
from urllib3.util.wait import wait_for_read

from restyle.sockets import wait_at_most

_CHUNK = 64 * 1024
#: A body is waited for by this many bytes, which are set aside for it before they come.
_PIECE = 4 * 1024 * 1024
#: Seconds for which an idle connection is taken for open without a look: servers keep them for longer.
_FRESH = 1.0
#: A body up to this many bytes goes out in one piece with its head.
_SMALL = 16 * 1024


class Received:
    """What has come of an answer, as the parser calls it. It does not know the parser: no cycle outlives its use."""

    def __init__(self) -> None:
        #: Names in lower case.
        self.headers: dict[str, str] = {}
        self.parts: list[bytes] = []
        self.has_head = False
        self.is_over = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """A line of the head."""
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The end of the head."""
        self.has_head = True

    def on_body(self, part: bytes) -> None:
        """A part of the body."""
        self.parts.append(part)

    def on_message_complete(self) -> None:
        """The end of the answer."""
        self.is_over = True


class Answer:
    """An answer whose head is there; the rest is read when it is asked for."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        #: TLS comes by the record.
        self._all = 0 if isinstance(connection, SSLSocket) else socket.MSG_WAITALL
        self._received = Received()
        self._parser = HttpResponseParser(self._received)
        while not self._received.has_head:
            self._receive()
        self.status = self._parser.get_status_code()

    @property
    def headers(self) -> Mapping[str, str]:
        """Names in lower case."""
        return self._received.headers

    @property
    def length(self) -> int:
        """Bytes of the body, as the head has them; 0 where it does not say."""
        return int(self.headers.get("content-length") or 0)

    def body(self) -> bytes:
        """Waits for all of it."""
        received = self._received
        if self.length and "transfer-encoding" not in self.headers:
            # Nothing is left to parse, so that it need not come piece by piece.
            missing = self.length - sum(map(len, received.parts))
            while missing:
                part = self._connection.recv(min(missing, _PIECE), self._all)
                if not part:
                    raise ConnectionError("the answer broke off")
                received.parts.append(part)
                missing -= len(part)
            received.is_over = True
        while not received.is_over:
            self._receive()
        return b"".join(received.parts)

    def is_read(self, *, has_body: bool) -> bool:
        """Whether nothing of it is to come, and the connection stays open for the next.

        The parser cannot be asked: it has forgotten the answer once it is over, and of a HEAD it expects a body.
        """
        is_open = self._parser.get_http_version() == "1.1" and self.headers.get("connection", "").lower() != "close"
        return is_open and (self._received.is_over or not has_body)

    def _receive(self) -> None:
        received = self._connection.recv(_CHUNK)
        if not received:
            raise ConnectionError("the answer broke off")
        self._parser.feed_data(received)


class Host:
    """A host, and the connections to it that are kept. Safe to share among threads."""

    def __init__(
        self, name: str, port: int, tls: SSLContext | None, *, connections: int, connect: float = 5, read: float = 30
    ) -> None:
        """Connects to nobody yet; the time limits are seconds for a connection, and for each part of an answer."""
        self._address = (name, port)
        self._tls = tls
        self._connections = connections
        self._connect, self._read = connect, read
        self._idle: deque[tuple[float, socket.socket]] = deque()
        weakref.finalize(self, _close, self._idle)

    @contextmanager
    def exchange(self, verb: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> Iterator[Answer]:
        """One request; its answer, whose head is there. What of it is not read ends the connection.

        Raises:
            OSError: no connection, or it broke.
            HttpParserError: what came is no HTTP.
        """
        lines = [f"{verb} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        if verb == "PUT":
            lines.append(f"content-length: {len(body)}")
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        connection, is_kept = self._idle_one() or self._new_one(), False
        try:
            if len(body) <= _SMALL:
                connection.sendall(head + body)
            else:
                _send(connection, head, body)
            answer = Answer(connection)
            yield answer
            is_kept = answer.is_read(has_body=verb != "HEAD") and len(self._idle) < self._connections
        finally:
            if is_kept:
                self._idle.append((time.monotonic(), connection))
            else:
                connection.close()

    def close(self) -> None:
        """Closes the connections that nobody uses."""
        _close(self._idle)

    def _idle_one(self) -> socket.socket | None:
        while True:
            try:
                since, connection = self._idle.pop()
            except IndexError:
                return None
            if time.monotonic() - since < _FRESH or not wait_for_read(connection, timeout=0):
                return connection
            connection.close()  # the other side has closed it

    def _new_one(self) -> socket.socket:
        plain = socket.create_connection(self._address, self._connect)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            connection = self._tls.wrap_socket(plain, server_hostname=self._address[0]) if self._tls else plain
        except BaseException:
            plain.close()
            raise
        wait_at_most(connection, self._read)
        return connection


def _send(connection: socket.socket, head: bytes, body: bytes) -> None:
    """Sends both in one go where the socket can."""
    sent = 0 if isinstance(connection, SSLSocket) else connection.sendmsg([head, body])
    for part in (head, body):
        if sent < len(part):
            connection.sendall(memoryview(part)[sent:])
        sent = max(0, sent - len(part))


def _close(connections: deque[tuple[float, socket.socket]]) -> None:
    while connections:
        connections.pop()[1].close()
