"""Makes bad answers, each as a real server or network would."""

from __future__ import annotations

import asyncio
import io
import random
import socket
import struct
from collections.abc import Mapping

from PIL import Image
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

#: The key of a request's transport in its scope.
TRANSPORT = "restyle.transport"

MESSAGES = {
    "400": "prompt: refused on demand",
    "401": "API key is not valid",
    "403": "This model is not enabled for your team",
    "404": "Model not found",
    "406": "Not enough credits",
    "422": "The model could not make the picture",
    "500": "Server error",
    "502": "Bad gateway",
    "503": "Service unavailable",
    "504": "Gateway timeout",
}


def fault_at(rates: Mapping[str, float]) -> str:
    """A fault drawn at these rates; empty, as it mostly is: none."""
    drawn = random.random()
    for name, rate in rates.items():
        if drawn < rate:
            return name
        drawn -= rate
    return ""


class Protocol(H11Protocol):
    """uvicorn's protocol; a request can also reach its transport, in order to break it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvicorn narrows it so
        """Keeps the transport in the state that the requests' scopes are made from."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, TRANSPORT: transport}


def transport_of(request: Request) -> asyncio.Transport | None:
    """The transport of a request's connection; None under a server that is not ours."""
    transport = request.scope.get("state", {}).get(TRANSPORT)
    return transport if isinstance(transport, asyncio.Transport) else None


def reset(request: Request) -> None:
    """Breaks the connection with a TCP reset, as a crashing server does."""
    transport = transport_of(request)
    if transport is None:
        return
    raw: socket.socket = transport.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def spoil(fault: str, good: Response, request: Request) -> Response:
    """A good answer with this fault, under the status 200."""
    body = bytes(good.body)
    kept = {name: value for name, value in good.headers.items() if name.startswith("x-")}
    match fault:
        case "truncated":
            return Response(body[: len(body) // 2], media_type=good.media_type or "image/jpeg", headers=kept)
        case "html":
            return HTMLResponse("<!doctype html><title>502</title><h1>Bad gateway</h1>", headers=kept)
        case "garbage":
            return Response(bytes(range(256)) * 8, media_type="image/jpeg", headers=kept)
        case "empty":
            return Response(b"", media_type="image/jpeg", headers=kept)
        case "lost":
            reset(request)
        case "reset_midway":
            return BrokenOff(body, good.media_type or "image/jpeg", kept, request)
    return good


def bad_picture(fault: str, sent: bytes, made: bytes) -> bytes:
    """A whole but useless picture, in the place of the one that was made."""
    with Image.open(io.BytesIO(made)) as opened:
        picture = opened.convert("RGB")
    match fault:
        case "black":
            picture = Image.new("RGB", picture.size)
        case "flat":
            picture = Image.new("RGB", picture.size, (180, 180, 180))
        case "same":
            with Image.open(io.BytesIO(sent)) as opened:
                picture = opened.convert("RGB")
        case "stretched":
            picture = picture.resize((picture.width, picture.height * 2))
        case "small":
            picture = picture.reduce(4)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=90)
    return out.getvalue()


class BrokenOff(Response):
    """Promises the whole body, sends half of it, and breaks the connection."""

    def __init__(self, body: bytes, media_type: str, headers: dict[str, str], request: Request) -> None:
        super().__init__(body, media_type=media_type, headers=headers)
        self._request = request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's own form
        """Sends the first half."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        half = bytes(self.body)[: len(self.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
        await asyncio.sleep(0.05)
        reset(self._request)
