"""A server of many connections whose answers a function makes: for what no real S3 does when it is asked to."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tests.support.gateway import read_message


@dataclass(frozen=True)
class Request:
    """A request as it came."""

    verb: str
    target: str
    head: str
    """All of its head in lower case."""
    body: bytes

    def header(self, name: str) -> str:
        """A header's value in lower case, empty where it is not there."""
        found = re.search(rf"^{name}: *(.*?)\r$", self.head, re.MULTILINE)
        return found[1] if found else ""


#: None hangs up, and b"" says nothing.
Answer = Callable[[Request], bytes | None]


def answer(status: str, body: bytes = b"", **headers: str) -> bytes:
    """An answer with these headers, `_` for `-` in their names."""
    lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode() + body


def refusal(status: str, code: str, **headers: str) -> bytes:
    """An error as S3 tells it."""
    return answer(status, f"<Error><Code>{code}</Code><Message>{code}, says S3</Message></Error>".encode(), **headers)


@dataclass
class Scripted:
    """The server, and what it was asked."""

    port: int
    heard: list[Request] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def by(self, agent: str) -> list[Request]:
        """The requests of a client, by the beginning of its name in lower case."""
        return [request for request in self.heard if request.header("user-agent").startswith(agent)]


@contextmanager
def scripted(make: Answer, *, tls: ssl.SSLContext | None = None) -> Iterator[Scripted]:
    """Serves until the block ends."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    server, open_ends = Scripted(int(listener.getsockname()[1])), {listener}

    def converse(end: socket.socket) -> None:
        with suppress(OSError):
            end = tls.wrap_socket(end, server_side=True) if tls else end
            open_ends.add(end)
            file = end.makefile("rb")
            while message := read_message(file):
                head, _, body = message.partition(b"\r\n\r\n")
                verb, target, _ = head.split(b" ", 2)
                request = Request(verb.decode(), target.decode(), head.decode("latin-1").lower() + "\r\n", body)
                server.heard.append(request)
                made = make(request)
                if made is None:
                    break
                end.sendall(made if verb != b"HEAD" else made.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
                if b"connection: close" in made:
                    break
        end.close()

    def serve() -> None:
        while True:
            try:
                end, _ = listener.accept()
            except OSError:
                return
            open_ends.add(end)
            threading.Thread(target=converse, args=(end,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield server
    finally:
        for end in open_ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
