"""The sandbox's web application: its routes."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

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
