"""A web server with pictures that behaves as a test makes up: slow, failing, redirecting, and counting."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.standin import Made

#: From how often a path was asked for, this time included, to an answer.
Answer = Callable[[int], Made]


@dataclass
class WebServer:
    """Where it is, what it answers, and what came."""

    origin: str = ""
    #: By path without its query; of others it has nothing.
    files: dict[str, Made | Answer] = field(default_factory=dict)
    #: Requests by path and status.
    asked: Counter[tuple[str, int]] = field(default_factory=Counter)
    #: The headers of each request.
    headers: list[dict[str, str]] = field(default_factory=list)
    #: Seconds that each answer takes.
    seconds: float = 0.0
    #: Whether pictures have an ETag, by which a GET may be conditional.
    validates: bool = True
    in_flight: int = 0
    most_in_flight: int = 0
    #: When each request came, in Unix seconds.
    at: list[float] = field(default_factory=list)

    def put(self, name: str, data: bytes) -> str:
        """Has it serve a picture; its address."""
        self.files[f"/{name}"] = Made(data, {"content-type": "image/jpeg"})
        return f"{self.origin}/{name}"

    def have_moods(self, count: int, made: Callable[[str], bytes]) -> list[str]:
        """Has it serve so many pictures, each of its own way; their addresses, those that fail for good last.

        Some answer 500 or 429 at first, some lead on to others; one is another picture each time, one turns into a page
        the second time that it is there, one is a login page, one is gone, one is a link that has ended.
        """
        names = [f"p{number:04d}" for number in range(count)]
        for number, name in enumerate(names):
            good = Made(made(name), {"content-type": "image/jpeg"})
            self.files[f"/{name}"] = good
            if number % 20 == 3:
                self.files[f"/{name}"] = partial(_at_first, Made(b"", status=500), good)
            elif number % 20 == 7:
                self.files[f"/{name}"] = Made(b"", {"location": f"/moved/{name}"}, status=302)
                self.files[f"/moved/{name}"] = good
            elif number % 20 == 11:
                self.files[f"/{name}"] = partial(_at_first, Made(b"", {"retry-after": "0"}, status=429), good)
        self.files["/changes"] = lambda number: Made(made(f"changes {number}"))
        self.files["/turns"] = lambda number: Made(made("turns") if number == 1 else b"<!doctype html>sold out")
        self.files["/login"] = Made(b"<html><form><input type='password'></form></html>")
        self.files["/ended"] = Made(b"<Error><Code>AccessDenied</Code></Error>", status=403)
        others = ("changes", "turns", "login", "gone", "ended?Signature=geheim")
        return [f"{self.origin}/{name}" for name in (*names, *others)]

    def statuses(self) -> Counter[int]:
        """How many answers had which status."""
        found = Counter[int]()
        for (_, status), count in self.asked.items():
            found[status] += count
        return found

    def forget(self) -> None:
        """Forgets what came."""
        self.asked.clear()
        self.headers.clear()
        self.at.clear()
        self.most_in_flight = 0


def _at_first(first: Made, then: Made, number: int) -> Made:
    return first if number == 1 else then


@contextmanager
def serving_pictures() -> Iterator[WebServer]:
    """A web server on this machine that ends with the block."""
    state, lock = WebServer(), threading.Lock()
    tries = Counter[str]()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            with lock:
                tries[path] += 1
                number = tries[path]
                state.at.append(time.time())
                state.headers.append({name.lower(): value for name, value in self.headers.items()})
                state.in_flight += 1
                state.most_in_flight = max(state.most_in_flight, state.in_flight)
            try:
                time.sleep(state.seconds)
                self._answer(path, self._made(path, number))
            finally:
                with lock:
                    state.in_flight -= 1

        def _made(self, path: str, number: int) -> Made:
            found = state.files.get(path, Made(b"not found", status=404))
            made = found if isinstance(found, Made) else found(number)
            if made.status == 200 and state.validates:
                etag = f'"{hashlib.sha256(made.body).hexdigest()[:16]}"'
                if self.headers.get("if-none-match") == etag:
                    return Made(b"", {"etag": etag}, status=304)
                return Made(made.body, {**made.headers, "etag": etag})
            return made

        def _answer(self, path: str, made: Made) -> None:
            with lock:
                state.asked[path, made.status] += 1
            self.send_response(made.status)
            for name, value in made.headers.items():
                self.send_header(name, value)
            if made.status != 304:
                self.send_header("content-length", str(len(made.body)))
            self.end_headers()
            self.wfile.write(made.body)

        def log_message(self, *_: object) -> None: ...

    class Listener(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that leaves is no news."""

    server = Listener(("127.0.0.1", 0), Handler)
    state.origin = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
