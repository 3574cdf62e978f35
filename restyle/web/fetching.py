"""One picture from a web server: a GET, conditional where something is known; redirects and bytes are judged.

Never a cookie, a netrc or a key. Connections lead to public addresses alone, looked up once (restyle/http/public.py).
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from urllib.parse import urljoin, urlsplit

from restyle.errors import (
    ApiTimeout,
    ApiUnavailable,
    InputNotFound,
    InputRefused,
    InputUnreachable,
    InvalidImage,
    MalformedResponse,
    WebUnavailable,
)
from restyle.http.exchange import Peer, Wire
from restyle.http.public import NO_HOST, Names, Network, inner_address, is_in, reachable
from restyle.http.retry_after import moment, reset_wait
from restyle.images.formats.kinds import format_of, what_it_is
from restyle.models import utc_now
from restyle.reply import Reply
from restyle.web.address import Address, read_address
from restyle.web.records import Known

#: Bytes of a picture.
MAX_BYTES = 60_000_000
#: Bytes beyond which pictures are read one at a time in a process.
LARGE = 8_000_000
MAX_REDIRECTS = 5
#: Seconds to connect, until the head of the answer is there, and for all of it.
CONNECT_SECONDS, HEAD_SECONDS, SECONDS = 5.0, 30.0, 300.0

_SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WebP": ".webp", "TIFF": ".tif", "GIF": ".gif", "AVIF": ".avif",
             "BMP": ".bmp"}  # fmt: skip
_PAGE = re.compile(rb"\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body|title|script)", re.IGNORECASE | re.DOTALL)
_LOGIN = re.compile(rb"""<input[^>]{0,500}\btype\s*=\s*["']?password""", re.IGNORECASE)
_HEAD = 64 * 1024
_VALIDATOR = re.compile(r"[\x20-\x7e]{1,500}")


@dataclass(frozen=True)
class Fetched:
    """A picture as it came."""

    data: bytes
    suffix: str
    etag: str = ""
    last_modified: str = ""
    final: str = ""
    """The name of the address that answered, behind all redirects."""


@dataclass(frozen=True)
class FetchTerms:
    """How this worker fetches."""

    http: bool = False
    """Whether http:// is fetched from."""
    private: Sequence[Network] = ()
    """Inner networks that are asked all the same."""
    contact: str = ""
    """Whom the administrator of a server can write to: part of the User-Agent."""
    version: str = ""


class _Turns:
    """How many ask a host that a redirect leads to: no more at a time than of one that a manifest names."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._counts = Counter[str]()
        self._changed = threading.Condition()

    @contextmanager
    def at(self, host: str, seconds: float) -> Iterator[None]:
        """Waits for its turn, for so many seconds, and has it while the context lasts.

        Raises:
            WebUnavailable: it has not come.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._counts[host] < self._most, seconds):
                raise WebUnavailable(f"{host}, to which it leads, is asked for as much as it may be")
            self._counts[host] += 1
        try:
            yield
        finally:
            with self._changed:
                self._counts[host] -= 1
                if not self._counts[host]:
                    del self._counts[host]
                self._changed.notify_all()


class Fetcher:
    """Fetches pictures from web servers. To be shared among threads."""

    def __init__(
        self, terms: FetchTerms, *, connections: int = 8, names: Names | None = None, seconds: float = SECONDS
    ) -> None:
        """Connects to nobody yet.

        Args:
            terms: how it fetches.
            connections: how many are kept open to each host, and how many may ask one that redirects lead to.
            names: looks names up; default: as the system does.
            seconds: for a whole answer.
        """
        self._terms, self._names = terms, names
        self._turns, self._seconds = _Turns(connections), seconds
        agent = f"restyle/{terms.version}" if terms.version else "restyle"
        self._wire = Wire(
            "https://localhost/", "", timeout=seconds, connect_timeout=CONNECT_SECONDS, connections=connections,
            peer=Peer(
                "the web server", f"{agent} (+{terms.contact})" if terms.contact else agent, resolve=self._resolve,
                most=MAX_BYTES, large=LARGE, head_seconds=min(HEAD_SECONDS, seconds),
            ),
        )  # fmt: skip

    def fetch(self, address: Address, known: Known | None = None) -> Fetched | None:
        """What lies at an address; None: what is known is still so.

        Raises:
            InputNotFound, InputRefused, InputUnreachable, InvalidImage: there is no picture to be had; asking again
                would not help.
            WebUnavailable: the server fails, cannot be reached, or asks for patience.
        """
        at = address
        for _ in range(MAX_REDIRECTS + 1):
            # What is known is of the address that answered: another may call an older picture unchanged.
            headers = _conditions(known) if known and known.final == at.name else {}
            # The host that the manifest names is counted by the fleet (restyle/coordination/fetches.py).
            with nullcontext() if at.host == address.host else self._turns.at(at.host, self._seconds):
                reply = self._ask(at, headers)
            if reply.status not in {301, 302, 303, 307, 308}:
                fetched = self._judged(address, reply, is_known=bool(headers))
                return replace(fetched, final=at.name) if fetched else None
            at = self._following(at, reply)
        raise InputUnreachable(f"it leads on more than {MAX_REDIRECTS} times", reply.status)

    def close(self) -> None:
        """Closes the connections."""
        self._wire.close()

    def _ask(self, at: Address, headers: Mapping[str, str]) -> Reply:
        self._check(at)
        try:
            return self._wire.ask("GET", at.url, headers=headers)
        except MalformedResponse as error:
            if error.kind == "too large":
                raise InvalidImage(f"is larger than {MAX_BYTES // 1_000_000} MB") from None
            raise WebUnavailable(error.message) from None
        except (ApiUnavailable, ApiTimeout) as error:
            if "has no such address" in error.message:
                raise InputRefused(f"{at.host} cannot be asked by this address: it is none") from None
            if NO_HOST in error.message:
                raise InputRefused(f"{at.host} is {NO_HOST}") from None
            if "is an inner address" in error.message:
                raise _inner(at) from None
            raise WebUnavailable(error.message, error.http_status) from None

    def _check(self, at: Address) -> None:
        """Refuses an address that leads inside before a connection, or a proxy's, is begun."""
        if self._wire.proxy(at.url) is None:
            return  # each new connection is judged by `_resolve`
        parts = urlsplit(at.url)
        host, port = parts.hostname or "", parts.port or {"http": 80, "https": 443}[parts.scheme]
        inner = inner_address(host, port, is_proxied=True, names=self._names)
        if inner == NO_HOST:
            raise InputRefused(f"{at.host} is {NO_HOST}")
        if inner and not is_in(inner, self._terms.private):
            raise _inner(at)

    def _resolve(self, host: str, port: int) -> Sequence[str]:
        return reachable(host, port, allowed=self._terms.private, names=self._names)

    def _following(self, at: Address, reply: Reply) -> Address:
        """Where a redirect leads, judged like any address."""
        location = reply.headers.get("location", "")
        try:
            # The bytes of a header come as Latin-1; servers write UTF-8 there.
            text = location.encode("latin-1").decode() if location else ""
        except UnicodeError:
            text = location
        if not text:
            raise WebUnavailable(f"it answers {reply.status} without saying where to", reply.status)
        try:
            return read_address(urljoin(at.url, text), http=self._terms.http)
        except ValueError as reason:
            raise InputRefused(f"it leads on to an address that {reason}", reply.status) from None

    def _judged(self, address: Address, reply: Reply, *, is_known: bool) -> Fetched | None:
        status = reply.status
        if status == 200:
            return _picture(reply)
        if status == 304 and is_known:
            return None
        if status in {404, 410}:
            raise InputNotFound(f"the web server answers {status}: there is no such picture", status)
        if status in {401, 403, 451}:
            raise InputRefused(f"the web server answers {status}: it does not give this picture to us{_ended(address)}",
                               status)  # fmt: skip
        wait = reset_wait(reply.headers) if status in {429, 503} else None
        raise WebUnavailable(f"the web server answers {status}", status, wait=wait)


def _conditions(known: Known) -> dict[str, str]:
    """The headers by which a server answers 304 where nothing has changed (RFC 9110, 13.1)."""
    headers = {"if-none-match": known.etag} if known.etag else {}
    return headers | ({"if-modified-since": known.last_modified} if known.last_modified else {})


def _picture(reply: Reply) -> Fetched:
    body = reply.body
    kind = format_of(body[:64])
    if kind:
        etag, modified = reply.headers.get("etag", ""), reply.headers.get("last-modified", "")
        return Fetched(
            body, _SUFFIXES[kind], etag if _VALIDATOR.fullmatch(etag) else "",
            modified if _VALIDATOR.fullmatch(modified) and moment(modified) else "",
        )  # fmt: skip
    if _PAGE.match(body[:_HEAD]):
        if _LOGIN.search(body[:_HEAD]):
            raise InputRefused("the web server answers with a login page, not with a picture", reply.status)
        raise InvalidImage("the web server answers with a web page (HTML), not with a picture")
    raise InvalidImage(f"what the web server sends {what_it_is(body)}")


def _inner(at: Address) -> InputRefused:
    return InputRefused(
        f"{at.host} is, or leads to, an address of an inner network, which workers do not ask; where it is meant, list"
        " it in RESTYLE_FETCH_PRIVATE"
    )


def _ended(address: Address) -> str:
    ends = address.ends
    return f"; it is a signed link that ended at {ends:%Y-%m-%d %H:%M} UTC" if ends and ends <= utc_now() else ""
