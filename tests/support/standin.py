"""A stand-in for the API that answers whatever a test makes up, and counts the calls that it would bill."""

from __future__ import annotations

import json
import ssl
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Made:
    """An answer: its body, its headers, its status."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 200


#: From the request's JSON and how often its prompt was asked for, this time included, to an answer.
Answering = Callable[[dict[str, Any], int], Made]


@dataclass
class StandIn:
    """Where it is, and what came."""

    answering: Answering
    origin: str = ""
    #: Calls by prompt.
    calls: Counter[str] = field(default_factory=Counter)
    #: What else was asked for, each with whether the key came along.
    fetched: list[tuple[str, bool]] = field(default_factory=list)
    #: What lies at other paths.
    files: dict[str, Made] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The address of the blocking call."""
        return f"{self.origin}/v1/sdxl-img2img"


@contextmanager
def standing_in(answering: Answering, *, tls: ssl.SSLContext | None = None) -> Iterator[StandIn]:
    """A stand-in that ends with the block; with TLS, for `localhost`."""
    state, lock = StandIn(answering), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with lock:
                state.calls[asked["prompt"]] += 1
                number = state.calls[asked["prompt"]]
            self._answer(state.answering(asked, number))

        def do_GET(self) -> None:
            state.fetched.append((self.path, "x-api-key" in self.headers))
            self._answer(state.files.get(self.path, Made(b"not found", status=404)))

        def _answer(self, made: Made) -> None:
            self.send_response(made.status)
            for name, value in made.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(made.body)))
            self.end_headers()
            self.wfile.write(made.body)

        def log_message(self, *_: object) -> None: ...

    class Listener(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that leaves, or does not trust it, is no news."""
            if not isinstance(sys.exception(), OSError):
                super().handle_error(request, client_address)

    server = Listener(("127.0.0.1", 0), Handler)
    state.origin = f"http://127.0.0.1:{server.server_port}"
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        state.origin = f"https://localhost:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
