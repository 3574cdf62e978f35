"""A gateway before a real server: it does what HTTP allows and few servers do, and what gateways do all the same."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

#: Sent before an answer, each of them alone and all of them together.
INFORMATIONAL = (
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 102 Processing\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n",
)
SLOW_DOWN = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>SlowDown</Code>'
    b"<Message>Please reduce your request rate.</Message></Error>"
)

#: What an ingress answers whose S3 is away.
LOST = b"<html><h1>404 Not Found</h1></html>"

#: What it does to the answer with this number: "" passes it on as it is.
Plan = Callable[[int], str]


def each_ninth(number: int) -> str:
    """Each of four oddities at each ninth answer."""
    return {0: "informational", 2: "split", 4: "close", 6: "throttle"}.get(number % 9, "")


def throttles_each_third(number: int) -> str:
    """503 SlowDown to each third request."""
    return "throttle" if number % 3 == 0 else ""


def loses_each_fifth(number: int) -> str:
    """A page of 404 to each fifth request."""
    return "lost" if number % 5 == 0 else ""


class Gateway:
    """Passes requests on, one by one, and their answers as its plan says."""

    def __init__(self, target: int, plan: Plan) -> None:
        self.plan = plan
        #: How many answers of each kind there were.
        self.answered: Counter[str] = Counter()
        self._target = target
        self._numbers = itertools.count(1)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Ends it, and every connection."""
        for end in (self._listener, *list(self._open)):
            _close(end)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open.add(client)
            threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        """All requests of a connection."""
        with suppress(OSError, ValueError):  # the server may be killed in the middle of an answer
            server = socket.create_connection(("127.0.0.1", self._target))
            self._open.add(server)
            from_client, from_server = client.makefile("rb"), server.makefile("rb")
            while request := read_message(from_client):
                if not self._answer(client, server, from_server, request):
                    break
            _close(server)
            self._open.discard(server)
        _close(client)
        self._open.discard(client)

    def _answer(self, client: socket.socket, server: socket.socket, from_server: BinaryIO, request: bytes) -> bool:
        """One request; whether the connection goes on."""
        number = next(self._numbers)
        kind = self.plan(number)
        self.answered[kind] += 1
        has_body = not request.startswith(b"HEAD ")
        if kind == "throttle":
            head = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/xml\r\ncontent-length: %d\r\n\r\n"
            client.sendall(head % len(SLOW_DOWN) + (SLOW_DOWN if has_body else b""))
            return True
        if kind == "lost":
            head = b"HTTP/1.1 404 Not Found\r\ncontent-type: text/html\r\ncontent-length: %d\r\n\r\n"
            client.sendall(head % len(LOST) + (LOST if has_body else b""))
            return True
        server.sendall(request)
        answer = read_message(from_server, has_body=has_body)
        if not answer or kind == "close":
            return False
        if kind == "cut":
            head, _, body = answer.partition(b"\r\n\r\n")
            client.sendall(head + b"\r\n\r\n" + body[: len(body) // 2])
            return False
        if kind == "informational":
            chosen = number % (len(INFORMATIONAL) + 1)
            client.sendall(INFORMATIONAL[chosen] if chosen < len(INFORMATIONAL) else b"".join(INFORMATIONAL))
            time.sleep(0.02)  # the answer itself comes in another packet, as from a server that thinks
        if kind == "split":
            head, _, body = answer.partition(b"\r\n\r\n")
            for begin in range(0, len(head) + 4, 7):
                client.sendall((head + b"\r\n\r\n")[begin : begin + 7])
            answer = body
        client.sendall(answer)
        return True


def read_message(file: BinaryIO, *, has_body: bool = True) -> bytes:
    """A request, or an answer, with its body as it came; nothing where the connection ended."""
    lines, length, is_chunked = [], 0, False
    while (line := file.readline()) not in {b"\r\n", b""}:
        lines.append(line)
        name, _, value = line.lower().partition(b":")
        length = int(value) if name == b"content-length" else length
        is_chunked |= name == b"transfer-encoding" and b"chunked" in value
    if not line:
        return b""
    parts = [*lines, line]
    if not has_body:
        return b"".join(parts)
    while is_chunked:
        parts.append(size := file.readline())
        parts.append(file.read(int(size, 16) + 2))
        is_chunked = int(size, 16) > 0
    return b"".join([*parts, file.read(length)])


def _close(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


@contextmanager
def running_gateway(target: int, plan: Plan = each_ninth) -> Iterator[Gateway]:
    """A gateway to a port of this machine."""
    gateway = Gateway(target, plan)
    try:
        yield gateway
    finally:
        gateway.close()
