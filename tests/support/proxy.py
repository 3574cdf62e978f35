"""A proxy between a worker and a server, that can cut, silence and watch what passes."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

CHUNK = 65536
#: How an HTTP request begins.
REQUEST = (b"GET ", b"PUT ", b"HEAD ", b"POST ", b"DELETE ")


@dataclass
class Watch:
    """Something to do once, straight before or after a request that has these bytes."""

    pattern: bytes
    action: Callable[[], None]
    when: Literal["before", "after"]


@dataclass
class Proxy:
    """Listens on a port of its own and passes everything on."""

    target: int
    listener: socket.socket
    open_gate: threading.Event = field(default_factory=threading.Event)
    is_cut: bool = False
    #: Seconds for which each HTTP request waits on its way.
    delay: float = 0.0
    watches: list[Watch] = field(default_factory=list)
    listeners: list[Callable[[bytes], None]] = field(default_factory=list)
    _pairs: list[tuple[socket.socket, socket.socket]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.listener.getsockname()[1])

    def cut(self) -> None:
        """Ends every connection, and each new one at once."""
        self.is_cut = True
        self._drop_all()

    def mend(self) -> None:
        """Passes on again."""
        self.is_cut = False

    def swallow(self) -> None:
        """Becomes a black hole: connections stay, nothing passes."""
        self.open_gate.clear()

    def release(self) -> None:
        """Ends the black hole; what was under way is lost with its connections."""
        self._drop_all()
        self.open_gate.set()

    def once(self, pattern: bytes, action: Callable[[], None], *, when: Literal["before", "after"]) -> None:
        """Does something at the first request that has the pattern."""
        self.watches.append(Watch(pattern, action, when))

    def listen(self, hear: Callable[[bytes], None]) -> None:
        """Tells of every piece of a request that passes; its head is in one of them."""
        self.listeners.append(hear)

    def _drop_all(self) -> None:
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                close(end)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            if self.is_cut:
                close(client)
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self.target), 5)
            except OSError:
                close(client)
                continue
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._pairs.append((client, server))
            after: list[Watch] = []
            for argument in ((client, server, after, True), (server, client, after, False)):
                threading.Thread(target=self._pass_on, args=argument, daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, after: list[Watch], is_request: bool) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK):
                self.open_gate.wait()
                if is_request:
                    if self.delay and data.startswith(REQUEST):
                        time.sleep(self.delay)
                    self._meet(data, after)
                while after and not is_request:
                    after.pop().action()
                sink.sendall(data)
        close(source)
        close(sink)

    def _meet(self, data: bytes, after: list[Watch]) -> None:
        for hear in list(self.listeners):
            hear(data)
        for watch in list(self.watches):
            if watch.pattern in data:
                self.watches.remove(watch)
                if watch.when == "before":
                    watch.action()
                else:
                    after.append(watch)


def close(end: socket.socket) -> None:
    """Ends a connection for both of its threads."""
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


@contextmanager
def running_proxy(target: int) -> Iterator[Proxy]:
    """A proxy to a port of this machine."""
    proxy = Proxy(target, socket.create_server(("127.0.0.1", 0), backlog=256))
    proxy.open_gate.set()
    threading.Thread(target=proxy._serve, daemon=True).start()
    try:
        yield proxy
    finally:
        proxy.listener.close()
        proxy.open_gate.set()
        proxy.cut()
