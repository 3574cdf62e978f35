"""The sandbox's web application and its server, which reports its port once it answers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from apps.sandbox.faults import Protocol
from apps.sandbox.options import SandboxOptions
from apps.sandbox.queue import Queue
from apps.sandbox.server import Sandbox


async def _unknown(_request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    message = {404: "Model not found", 405: "Method not allowed", 429: "Rate limit exceeded"}.get(
        status, "Server error"
    )
    headers = dict(getattr(error, "headers", None) or {}) | {"x-restyle-sandbox": "1"}
    return JSONResponse({"error": message}, status, headers=headers)


def create_app(options: SandboxOptions) -> Starlette:
    """The application of one sandbox."""
    sandbox = Sandbox(options)
    queue = Queue(sandbox)
    return Starlette(
        routes=[
            Route("/v1/sdxl-img2img", sandbox.img2img, methods=["POST"]),
            *queue.routes(),
            Route("/v1/get-user-credits", sandbox.credits, methods=["GET"]),
            Route("/control", sandbox.control, methods=["GET", "POST"]),
        ],
        exception_handlers={HTTPException: _unknown},
    )


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
