"""Pictures that an answer only links to: fetched without the key, over https, and from public addresses alone.

The address comes from outside. What answers at it lies beyond the API's own origin only where everybody could fetch
it: the API's word must not have a worker read inner services, such as a cloud's metadata.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from urllib.parse import urlsplit

from restyle.errors import ApiTimeout, ApiUnavailable, MalformedResponse
from restyle.http.exchange import Peer, Wire
from restyle.http.public import NO_HOST, addresses, inner_address, reachable
from restyle.images import may_be_picture
from restyle.reply import Reply, quoted

#: Seconds before each try: a file may appear a moment after the answer that links to it.
_PAUSES = (0.0, 1.0, 3.0)
_PORTS = {"http": 80, "https": 443}

Origin = tuple[str, str, int]


class Links:
    """Fetches what lies behind links; to be shared among threads."""

    def __init__(self, api_url: str, *, timeout: float, connections: int = 16, direct: bool = False) -> None:
        self._own = origin(api_url)
        self._wire = Wire(
            api_url, "", timeout=timeout, connections=connections, direct=direct,
            peer=Peer(resolve=self._resolve),
        )  # fmt: skip

    def fetch(self, url: str) -> bytes:
        """A picture that has been paid for: tried again for some seconds, since it could only be paid for once more.

        Raises:
            MalformedResponse: the address is none that is followed, or no picture is there.
        """
        failure = ""
        for pause in _PAUSES:
            time.sleep(pause)
            try:
                reply = self.ask(url)
            except (ApiTimeout, ApiUnavailable) as error:
                failure = error.message
                continue
            if reply.status == 200 and may_be_picture(reply.body):
                return reply.body
            failure = f"it answers {reply.status}" + (" with what is no picture" if reply.status == 200 else "")
        raise MalformedResponse(
            f"the API links to its picture at {host_of(url)}, and it is not to be had there: {failure}",
            kind="a link that leads nowhere",
        )

    def ask(self, url: str) -> Reply:
        """What lies behind a link, by one request.

        Raises:
            MalformedResponse: the address is none that is followed.
            ApiUnavailable, ApiTimeout: as `Wire.ask`.
        """
        self._check(url)
        reply = self._wire.ask("GET", url)
        if 300 <= reply.status < 400:
            raise _refusal(url, "it leads on to another, and redirects are not followed")
        return reply

    def close(self) -> None:
        """Closes the connections."""
        self._wire.close()

    def _check(self, url: str) -> None:
        """Raises MalformedResponse where an address is not followed."""
        try:
            place, parts = origin(url), urlsplit(url)
        except ValueError:
            raise _refusal(url, "it is no address") from None
        # What stands before an @ is read differently by different readers: none of it, not even of the API's own.
        if parts.username is not None:
            raise _refusal(url, "only https:// is followed")
        if place == self._own:
            return
        if place[0] != "https":
            raise _refusal(url, "only https:// is followed")
        if inner := inner_address(place[1], place[2], is_proxied=self._wire.proxy(url) is not None):
            raise _refusal(url, "it is no address" if inner == NO_HOST else f"{inner} is an inner address")

    def _resolve(self, host: str, port: int) -> Sequence[str]:
        """Where a connection leads: a name may stand for another address by now than as it was judged."""
        return addresses(host, port) if (host.lower(), port) == self._own[1:] else reachable(host, port)


def origin(url: str) -> Origin:
    """Scheme, host and port of an address.

    Raises:
        ValueError: it has none.
    """
    parts = urlsplit(url)
    if not parts.hostname:
        raise ValueError(url)
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme, 0)


def host_of(url: str) -> str:
    """The host of an address, which may be logged: the rest may be a secret that gives access to the picture."""
    try:
        return quoted(urlsplit(url).hostname or "?")
    except ValueError:
        return "?"


def _refusal(url: str, why: str) -> MalformedResponse:
    return MalformedResponse(
        f"the API links to its picture at {host_of(url)}, and this link is not followed: {why}",
        kind="a link that is not followed",
    )
