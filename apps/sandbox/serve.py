"""Starts a sandbox on an address, and says when it answers and on which port."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import uvicorn

from apps.sandbox.app import create_app
from apps.sandbox.faults import Protocol
from apps.sandbox.options import SandboxOptions


class Server(uvicorn.Server):
    """A uvicorn server that tells its port once it answers."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[int], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts, and says so."""
        await super().startup(sockets)
        if self.started:
            self._ready(self.servers[0].sockets[0].getsockname()[1])


def make_server(options: SandboxOptions, host: str, port: int, ready: Callable[[int], None]) -> Server:
    """A server that is not running yet; port 0 takes any free one."""
    config = uvicorn.Config(
        create_app(options),
        host=host,
        port=port,
        http=Protocol,
        log_level="critical",  # broken answers are its business, and no news
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    return Server(config, ready)


def serve(options: SandboxOptions, *, host: str, port: int, ready: Callable[[int], None]) -> None:
    """Serves until it is told to stop."""
    asyncio.run(make_server(options, host, port, ready).serve())
