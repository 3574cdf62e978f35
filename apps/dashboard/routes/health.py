"""What a platform asks the dashboard: whether it runs, and whether Redis and S3 answer. Nobody signs in for that."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from apps.dashboard.live import Live
from apps.session import Session
from workers.health import Check, connection_checks, examine


def routes(live: Live) -> list[Route]:
    """`GET /healthz` and `GET /readyz`."""
    # The clients change once the embedded servers were brought up anew.
    held: list[tuple[Session, dict[str, Check]]] = []

    async def healthz(_request: Request) -> JSONResponse:
        return JSONResponse({"process": "ok"})

    async def readyz(_request: Request) -> JSONResponse:
        here = live.sides[0].session
        if not held or held[0][0] is not here:
            held[:] = [(here, connection_checks(here.state, here.store, here.workspace))]
        checks = held[0][1]
        status, _ = await live.call(lambda: examine(checks))
        # No more to strangers: what is wrong names hosts and buckets, and stands on the pages.
        return JSONResponse({"ready": "ok" if status == 200 else "not ok"}, status)

    return [Route("/healthz", healthz), Route("/readyz", readyz)]
