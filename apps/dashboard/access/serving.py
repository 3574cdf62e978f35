"""The server below the pages: one that waits for nobody who says nothing, and that one address cannot fill."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Callable
from typing import Protocol

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from apps.dashboard.access.identity import neighbourhood

#: Seconds within which the head of a request has to arrive.
HEAD_SECONDS = 10.0
#: Bytes of a request's head.
HEAD_BYTES = 16_384
#: Connections that one address may have at a time; a trusted proxy brings everybody's.
MAX_CONNECTIONS = 100
#: Connections that all but trusted proxies may have together; beyond, one that says nothing makes way.
MAX_ALL = 500


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
        # Who asks, and over what, is known from settings: a header may be anybody's.
        proxy_headers=False,
    )  # fmt: skip
    return Server(config, live, ready)


class Timed(H11Protocol):
    """Uvicorn's connection with a time limit for heads, which it waits for without end, and room that is bounded."""

    late: asyncio.TimerHandle | None = None
    #: Where it comes from, as it is counted; None: from a trusted proxy, which is not.
    crowd: str | None = None

    @staticmethod
    def is_proxy(address: str) -> bool:  # noqa: ARG004 - of a kind that says so
        """Whether an address is a trusted proxy's, whose connections are not counted."""
        return False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """A connection came about; one too many is closed."""
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        self.crowd = None if self.is_proxy(address) else neighbourhood(address)
        if self.crowd is not None and not self._has_room(self.crowd):
            transport.close()
            return
        self._wait()

    def _has_room(self, mine: str) -> bool:
        """Whether there is room for one more; where there is none for anybody, whoever says nothing makes it."""
        others = [other for other in self.connections if isinstance(other, Timed) and other.crowd is not None]
        crowds = Counter(other.crowd for other in others)
        if crowds[mine] > MAX_CONNECTIONS:
            return False
        if len(others) <= MAX_ALL:
            return True
        # Of those who have most, the one that has been silent for longest.
        silent = [(-crowds[other.crowd], other.late.when(), other) for other in others if other.late is not None]
        if silent:
            min(silent, key=lambda connection: connection[:2])[2].transport.close()
        return bool(silent)

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
        elif self.late is None:
            self.late = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _stop_waiting(self) -> None:
        if self.late is not None:
            self.late.cancel()
            self.late = None


def timed(is_proxy: Callable[[str], bool]) -> type[Timed]:
    """Such connections, where these addresses are a trusted proxy's."""
    return type("Timed", (Timed,), {"is_proxy": staticmethod(is_proxy)})
