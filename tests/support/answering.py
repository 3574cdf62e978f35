"""A server of raw bytes, for what no real one does when it is asked to."""

from __future__ import annotations

import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


class Server:
    """Answers each request with the next of its answers; None: with nothing, and b"" by hanging up."""

    def __init__(self, *answers: bytes | None, tls: ssl.SSLContext | None = None, latency: float = 0) -> None:
        self.heard: list[bytes] = []
        self.connections = 0
        self._answers = list(answers)
        self._tls, self._latency = tls, latency
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Ends it."""
        for open_socket in (*self._open, self._socket):
            with suppress(OSError):  # hung up on by now, or never connected
                open_socket.shutdown(socket.SHUT_RDWR)
            open_socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            try:
                connection = self._tls.wrap_socket(connection, server_side=True) if self._tls else connection
            except OSError:
                continue
            self.connections += 1
            self._open.append(connection)
            while self._answers and (request := whole(connection)):
                self.heard.append(request)
                answer = self._answers.pop(0)
                time.sleep(self._latency)
                if answer:
                    connection.sendall(answer)
                elif answer is not None:
                    connection.close()
                    break


def whole(connection: socket.socket) -> bytes:
    """A request, with the body that its head promises."""
    request = connection.recv(65536)
    length = re.search(rb"content-length: (\d+)", request, re.IGNORECASE)
    while length and len(request) < request.index(b"\r\n\r\n") + 4 + int(length[1]):
        request += connection.recv(65536)
    return request


@contextmanager
def answering(*answers: bytes | None, tls: ssl.SSLContext | None = None, latency: float = 0) -> Iterator[Server]:
    """A server with these answers, each after so many seconds, that ends with the block."""
    server = Server(*answers, tls=tls, latency=latency)
    try:
        yield server
    finally:
        server.close()


@contextmanager
def speaking(speak: Callable[[socket.socket], None], *, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """A server that hears the whole of each request and then says what it likes."""

    class Speaker(Server):
        """One connection after the other."""

        def _serve(self) -> None:
            with suppress(OSError):
                while True:
                    connection, _ = self._socket.accept()
                    connection = self._tls.wrap_socket(connection, server_side=True) if self._tls else connection
                    self.connections += 1
                    self._open.append(connection)
                    threading.Thread(target=self._speak, args=(connection,), daemon=True).start()

        def _speak(self, connection: socket.socket) -> None:
            with suppress(OSError):
                while request := whole(connection):
                    self.heard.append(request)
                    speak(connection)

    server = Speaker(tls=tls)
    try:
        yield server
    finally:
        server.close()
