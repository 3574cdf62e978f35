"""The server below the pages: one that waits for nobody who says nothing, and that one address cannot fill."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Protocol

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

#: Seconds within which the head of a request has to arrive.
HEAD_SECONDS = 10.0
#: Bytes of a request's head.
HEAD_BYTES = 16_384
#: Connections that one address may have at a time; a trusted proxy brings everybody's.
MAX_CONNECTIONS = 100


class Ends(Protocol):
    """What learns that the server ends."""

    stopping: bool


class Server(uvicorn.Server):
    """A uvicorn server that tells its port once it answers, and ends its streams when it is told to stop."""

    def __init__(self, config: uvicorn.Config, live: Ends, ready: Callable[[int], None]) -> None:
        super().__init__(config)
        self._live, self._ready = live, ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts, and says so."""
        await super().startup(sockets)
        if self.started:
            self._ready(self.servers[0].sockets[0].getsockname()[1])

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stops; nobody waits for a stream."""
        self._live.stopping = True
        await super().shutdown(sockets)


def serve(
    app: ASGIApp, live: Ends, host: str, port: int, ready: Callable[[int], None], is_proxy: Callable[[str], bool]
) -> Server:
    """A server that is not running yet; port 0 takes any free one."""
    config = uvicorn.Config(
        app, host=host, port=port, log_level="error", access_log=False, lifespan="off", server_header=False,
        timeout_graceful_shutdown=2, http=timed(is_proxy), h11_max_incomplete_event_size=HEAD_BYTES,
        # Who asks, and over what, is told by settings: a header of anybody's tells nothing.
        proxy_headers=False,
    )  # fmt: skip
    return Server(config, live, ready)


def timed(is_proxy: Callable[[str], bool]) -> type[H11Protocol]:
    """Uvicorn's protocol with a time limit for heads, which it waits for without end, and one for connections."""

    class Timed(H11Protocol):
        """A connection."""

        _late: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
            """A connection came about; one too many is closed."""
            super().connection_made(transport)
            address = self.client[0] if self.client else ""
            clients = [getattr(other, "client", None) for other in self.connections]
            same = sum(1 for client in clients if client and client[0] == address)
            if same > MAX_CONNECTIONS and not is_proxy(address):
                transport.close()
                return
            self._wait()

        def data_received(self, data: bytes) -> None:
            """Bytes came; the limit stands while a head is waited for."""
            super().data_received(data)
            self._wait()

        def connection_lost(self, exc: Exception | None) -> None:
            """The connection is gone."""
            self._stop_waiting()
            super().connection_lost(exc)

        def _wait(self) -> None:
            # There is none before the first request, whatever its type says.
            cycle: RequestResponseCycle | None = self.cycle
            if cycle is not None and not cycle.response_complete:
                self._stop_waiting()
            elif self._late is None:
                self._late = self.loop.call_later(HEAD_SECONDS, self.transport.close)

        def _stop_waiting(self) -> None:
            if self._late is not None:
                self._late.cancel()
                self._late = None

    return Timed
