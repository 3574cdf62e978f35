"""A proxy as companies have them: it forwards plain requests, tunnels TLS, may ask for a password, may refuse."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

CHUNK = 65536


@dataclass
class Forwarding:
    """What passed, and how the proxy is to be reached."""

    port: int = 0
    #: Verb and target of each request that it let through; and of those that it did not.
    passed: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def url(self, login: str = "") -> str:
        """Its address, with a user and password in it or not."""
        return f"http://{login + '@' if login else ''}127.0.0.1:{self.port}"


@contextmanager
def forwarding(*, login: str = "", refusal: int = 0) -> Iterator[Forwarding]:
    """A proxy that lets through whoever has the login, `user:password`; or nobody, with a refusal's status."""
    state = Forwarding()
    wanted = f"Basic {base64.b64encode(login.encode()).decode()}" if login else None

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _admitted(self) -> bool:
            given = self.headers.get("proxy-authorization")
            status = refusal or (407 if wanted and given != wanted else 0)
            (state.refused if status else state.passed).append(f"{self.command} {self.path}")
            if status:
                page = b"<html><h1>The proxy of Corp says no</h1></html>"
                self.send_response(status)
                self.send_header("content-type", "text/html")
                self.send_header("content-length", str(len(page)))
                self.send_header("connection", "close")
                self.end_headers()
                self.wfile.write(page)
                self.close_connection = True
            return not status

        def do_CONNECT(self) -> None:
            if not self._admitted():
                return
            host, _, port = self.path.rpartition(":")
            with socket.create_connection((host, int(port)), 5) as target:
                self.send_response(200)
                self.end_headers()
                back = threading.Thread(target=_pass_on, args=(target, self.connection), daemon=True)
                back.start()
                _pass_on(self.connection, target)
                back.join(5)
            self.close_connection = True

        def do_GET(self) -> None:
            if not self._admitted():
                return
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            head = f"{self.command} {parts.path} HTTP/1.1\r\n" + "".join(
                f"{name}: {value}\r\n" for name, value in self.headers.items() if not name.lower().startswith("proxy-")
            )
            with socket.create_connection((parts.hostname or "", parts.port or 80), 5) as target:
                target.sendall(head.encode() + b"connection: close\r\n\r\n" + body)
                _pass_on(target, self.connection)
            self.close_connection = True

        do_POST = do_GET  # noqa: N815 - the base class's own form

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(CHUNK):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
