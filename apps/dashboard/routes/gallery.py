"""The pictures of a run's own jobs: small ones, kept in memory, and the way to the full-size objects."""

from __future__ import annotations

import asyncio
import ipaddress
from collections import OrderedDict
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from apps.dashboard.access.identity import Identity, Refused, is_loopback
from apps.dashboard.live import Live
from apps.views.overview import Side
from restyle import images
from restyle.errors import InputNotFound, RestyleError

#: Longest side of a picture on the page, in pixels, twice what is shown for sharp screens.
SIDE = 360
#: Pictures kept in memory: about 10 MB.
KEPT = 400
#: Seconds for which a link to a full-size object works.
SIGNED = 600
_NO_PICTURE = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 120 120" font-family="system-ui, sans-serif" font-size="9">'
    '<rect width="120" height="120" fill="#808080" fill-opacity=".08"/>'
    '<text x="60" y="63" text-anchor="middle" fill="#808080">no picture</text></svg>'
)

#: What a browser may show by itself, by its first bytes.
_SHOWN = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG": "image/png", b"RIFF": "image/webp", b"GIF8": "image/gif"}


class Gallery:
    """Gives pictures by a job's place in its run, and so no other object."""

    def __init__(self, live: Live) -> None:
        self.live = live
        self._small: OrderedDict[tuple[str, str, int], bytes] = OrderedDict()
        self._decoding = asyncio.Semaphore(2)

    async def small(self, request: Request, _identity: Identity) -> Response:
        """`GET /runs/{run}/pictures/{shard}/{index}/{which}`: a small picture."""
        side, uri_and_version = await self._find(request)
        return await self.shown(side, *(uri_and_version or ("", "")))

    async def shown(self, side: Side, uri: str, version: str, *, longest: int = SIDE) -> Response:
        """A picture as pages show it, kept in memory for the next who looks.

        Args:
            side: where it lies.
            uri: the object; empty for none.
            version: what differs with each version of it.
            longest: its longest side, in pixels.
        """
        key = (uri, version, longest)
        if uri and key not in self._small:
            async with self._decoding:
                small = self._small.get(key) or await self.live.call(lambda: _thumbnail(side, uri, longest))
            if small:
                self._small[key] = small
                while len(self._small) > KEPT:
                    self._small.popitem(last=False)
        if key not in self._small:
            return Response(_NO_PICTURE, 404, media_type="image/svg+xml")
        headers = {"cache-control": "private, max-age=60"}
        return Response(self._small[key], media_type="image/jpeg", headers=headers)

    async def full(self, request: Request, _identity: Identity) -> Response:
        """`GET /runs/{run}/pictures/{shard}/{index}/{which}/full`: leads to the object itself.

        By a signed link where the reader's browser can reach the S3 server, else through here: an embedded server
        listens on this machine only, one in a compose file on a network of its own.
        """
        side, uri_and_version = await self._find(request)
        if not uri_and_version:
            raise Refused(404, "There is no such picture.")
        return await give(self.live, side, uri_and_version[0], request)

    async def _find(self, request: Request) -> tuple[Side, tuple[str, str] | None]:
        params = request.path_params
        if params["which"] not in {"before", "after"}:
            raise Refused(404, "A job has a picture before and one after.")
        side, row = await self.live.row(params["run"])
        near = await self.live.near(side, row)
        return side, await self.live.call(lambda: near.picture(params["shard"], params["index"], params["which"]))


async def give(live: Live, side: Side, uri: str, request: Request) -> Response:
    """Leads to an object itself, or gives it where the reader's browser cannot reach the S3 server."""
    try:
        url = side.session.store.signed_url(uri, seconds=SIGNED)
        if can_reach(url, request.url.hostname or ""):
            return RedirectResponse(url, 303)
        stored = await live.call(lambda: side.session.store.get(uri, max_bytes=images.MAX_INPUT_BYTES))
    except (InputNotFound, ValueError) as error:
        raise Refused(404, getattr(error, "message", "This is no object in S3.")) from None
    for begin, kind in _SHOWN.items():
        if stored.data.startswith(begin):
            return Response(stored.data, media_type=kind)
    headers = {"content-disposition": "attachment"}
    return Response(stored.data, media_type="application/octet-stream", headers=headers)


def can_reach(url: str, own_host: str) -> bool:
    """Whether a browser that reached this dashboard by that host can follow a link to that S3 server."""
    host = urlsplit(url).hostname or ""
    if is_loopback(host):
        return is_loopback(own_host)
    try:
        ipaddress.ip_address(host)
    except ValueError:
        # A bare name is one of the server's own network.
        return "." in host
    return True


def _thumbnail(side: Side, uri: str, longest: int) -> bytes | None:
    """The picture, small; None where it cannot be read or is none."""
    try:
        return images.thumbnail(side.session.store.get(uri, max_bytes=images.MAX_INPUT_BYTES).data, longest)
    except (RestyleError, ValueError):
        return None
