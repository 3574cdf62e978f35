"""Starts a sandbox on an address, and reports its port once it answers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import uvicorn

from apps.sandbox.app import create_app
from apps.sandbox.faults import Protocol
from apps.sandbox.options import SandboxOptions


class Server(uvicorn.Server):
    """A uvicorn server that reports its port once it answers."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[int], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts, then calls `ready` with the port."""
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
        log_level="critical",  # broken answers are intended, and not worth a line
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    return Server(config, ready)


def serve(options: SandboxOptions, *, host: str, port: int, ready: Callable[[int], None]) -> None:
    """Serves until the process is stopped."""
    asyncio.run(make_server(options, host, port, ready).serve())
