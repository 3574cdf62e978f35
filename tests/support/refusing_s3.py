"""A gateway before an S3 server that refuses some objects, as S3 does: by its own error document."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: What is asked: the method, and the path with its query.
Asked = Callable[[str, str, Any], "tuple[int, str] | None"]


@dataclass
class Gateway:
    """Passes everything on but what it refuses."""

    port: int
    target: int
    #: Status and code for a request that is refused; None passes it on. Told method, path and headers.
    refuse: Asked = lambda _method, _path, _headers: None
    #: What its refusals say.
    message: str = "refused by the test"
    #: Headers that it does not pass on, in small letters: as of a server that does not know them.
    drop: frozenset[str] = frozenset()
    #: Headers that it adds, by those of the request.
    add: Callable[[Any], dict[str, str]] = lambda _headers: {}
    #: Requests that were refused.
    refused: list[tuple[str, str]] = field(default_factory=list)

    def passed_on(self, headers: Any) -> Iterator[tuple[str, str]]:
        """The headers of a request as the server gets them."""
        yield from ((name, value) for name, value in headers.items() if name.lower() not in self.drop)
        yield from self.add(headers).items()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"


def _handler(gateway: Gateway) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            if refusal := gateway.refuse(self.command, self.path, self.headers):
                gateway.refused.append((self.command, self.path))
                status, code = refusal
                text = f"<Error><Code>{code}</Code><Message>{gateway.message}</Message></Error>".encode()
                self._answer(status, [("content-type", "application/xml")], text)
                return
            server = http.client.HTTPConnection("127.0.0.1", gateway.target, timeout=20)
            try:
                server.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in gateway.passed_on(self.headers):
                    server.putheader(name, value)
                server.endheaders(body or None)
                answer = server.getresponse()
                text = answer.read()
                self._answer(answer.status, answer.getheaders(), text)
            finally:
                server.close()

        def _answer(self, status: int, headers: list[tuple[str, str]], text: bytes) -> None:
            self.send_response_only(status)
            length = str(len(text))
            for name, value in headers:
                if name.lower() == "content-length" and self.command == "HEAD":
                    length = value
                elif name.lower() not in {"content-length", "transfer-encoding", "connection"}:
                    self.send_header(name, value)
            self.send_header("content-length", length)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(text)

        def log_message(self, *_args: Any) -> None:
            """Says nothing."""

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = do_any  # noqa: N815 - http.server's names

    return Handler


@contextmanager
def refusing(target: int) -> Iterator[Gateway]:
    """A gateway to a port of this machine."""
    gateway = Gateway(0, target)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(gateway))
    gateway.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield gateway
    finally:
        server.shutdown()
        server.server_close()
