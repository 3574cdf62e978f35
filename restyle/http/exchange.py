"""HTTP as the API and webhooks need it: one request, one reply or one error, within one time limit.

Never retries, follows no redirect, keeps no cookies, sends no netrc. Certificates and proxies: restyle/http/trust.py.
Why requests is used, and how one time limit holds: docs/decisions/0023-answers-of-the-api.md.
"""

from __future__ import annotations

import math
import re
import threading
import time
import zlib
from collections.abc import Mapping, Sized
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

import requests
from requests import PreparedRequest, Request
from urllib3.exceptions import HTTPError, ReadTimeoutError
from urllib3.response import BaseHTTPResponse

from restyle.errors import ApiTimeout, ApiUnavailable, MalformedResponse
from restyle.http.connecting import Admit, Resolve, Terms, open_session
from restyle.http.trust import Proxy, authorities, check_address, proxy_for
from restyle.http.unreached import cause, forget_frames, never_sent, refused, unreached
from restyle.reply import Reply, quoted

_CHUNK = 256 * 1024
#: Most bytes of an answer: four samples in base64 take about 20 MB.
MAX_ANSWER = 64 * 1024 * 1024
_PAGE = re.compile(rb"\s*<(?:!doctype|html)", re.IGNORECASE)
#: Hosts whose proxies are remembered.
_REMEMBERED = 100


@dataclass(frozen=True)
class Peer:
    """Who is asked, how it is connected to, and what an answer may come to."""

    name: str = "the API"
    """In the words of errors."""
    agent: str = "restyle"
    """The User-Agent that it sees."""
    admit: Admit | None = None
    """Is asked before anything is sent over a new connection."""
    resolve: Resolve | None = None
    """Says which addresses a name stands for, where no proxy connects."""
    most: int = MAX_ANSWER
    """Bytes of an answer's body."""
    large: int = 0
    """Bytes beyond which bodies are read one at a time, so that many at once do not fill memory; 0: never."""
    head_seconds: float = math.inf
    """Seconds until all of an answer's head is there."""


class Wire:
    """Connections to one address, and wherever else it asks for. To be shared among threads."""

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        timeout: float,
        connect_timeout: float = 5.0,
        connections: int = 16,
        direct: bool = False,
        peer: Peer | None = None,
    ) -> None:
        """Connects to nobody yet.

        Args:
            url: where most requests go.
            api_key: goes along with each request; empty: none does.
            timeout: seconds for a whole exchange, from connecting to the last byte of the reply.
            connect_timeout: seconds for a connection.
            connections: how many are kept open.
            direct: goes by no proxy, whatever the environment says.
            peer: who is asked; default: the API.

        Raises:
            ConfigurationError: the address, or the certificates or the proxy of the environment are of no use.
        """
        check_address(url)
        self._key = api_key
        self._timeout, self._connect_timeout = timeout, min(connect_timeout, timeout)
        self._direct = direct
        self._peer = peer or Peer()
        self._large = threading.Lock()
        self._proxies: dict[tuple[str, str], Proxy | None] = {}
        self.proxy(url)
        terms = Terms(timeout, self._peer.head_seconds, self._peer.admit, self._peer.resolve)
        self._session = open_session(terms, connections=connections, trusted=authorities())
        self._session.headers.update({"user-agent": self._peer.agent, "accept": "*/*", "accept-encoding": "identity"})
        if api_key:
            self._session.headers["x-api-key"] = api_key

    def close(self) -> None:
        """Closes the connections."""
        self._session.close()

    def ask(self, verb: str, url: str, body: Sized | bytes = b"", *, headers: Mapping[str, str] | None = None) -> Reply:
        """One request; a body is JSON.

        Raises:
            ApiUnavailable: it was not sent.
            ApiTimeout: in doubt: it may have been sent.
            MalformedResponse: the reply is too large.
        """
        began, has_answered, proxy = time.monotonic(), False, self.proxy(url)
        sent = {**(headers or {}), **({"content-type": "application/json"} if body else {})}
        try:
            # requests asks for an iterable, and takes what has a length and can be gone through.
            request = self._session.prepare_request(Request(verb, url, sent, data=cast("Any", body) or None))
        except requests.RequestException as error:
            raise ApiUnavailable(self._clean(f"{self._peer.name} has no such address: {error}")) from None
        try:
            response = self._send(request, proxy)
            has_answered = True
            try:
                content = self._read(response, began)
            finally:
                response.close()  # one that was read to its end is back in the pool by now
        except (HTTPError, OSError) as error:
            forget_frames(error)
            raise self._translated(error, began, has_answered=has_answered, proxy=proxy) from None
        reply = Reply(response.status_code, response.headers, content, time.monotonic() - began)
        if foreign := self._of_a_proxy(reply, url, str(response.reason), proxy):
            raise foreign
        return reply

    def _send(self, request: PreparedRequest, proxy: Proxy | None) -> requests.Response:
        """Sends a request, and reads the head of its answer."""
        return self._session.send(
            request,
            stream=True,
            allow_redirects=False,
            verify=True,
            cert=None,
            proxies={"http": proxy.url, "https": proxy.url} if proxy else {},
            timeout=(self._connect_timeout, self._timeout),
        )

    def _of_a_proxy(self, reply: Reply, url: str, reason: str, proxy: Proxy | None) -> ApiUnavailable | None:
        """The error of an answer that is not the API's; None: it is.

        Only a proxy answers 407 (RFC 9110, 15.5.8). Without TLS a proxy can also answer in the API's place, with an
        HTML page, which the API does not send: a 403 means that it forwarded nothing, a 502 that it may have.
        """
        is_page = bool(proxy) and not url.startswith("https:") and _PAGE.match(reply.body[:1000])
        if reply.status != 407 and not (is_page and reply.status in {403, 502, 503, 504}):
            return None
        message = f"{self._peer.name} cannot be reached: {refused(proxy, f'{reply.status} {reason}')}"
        return ApiUnavailable(self._clean(message), reply.status if reply.status >= 500 else None)

    def _read(self, response: requests.Response, began: float) -> bytes:
        """The whole answer, unpacked where it comes packed though that was not requested."""
        raw: BaseHTTPResponse = response.raw
        chunks, size, peer = list[bytes](), 0, self._peer
        stream = raw.stream(_CHUNK, decode_content=False)

        def read(until: int) -> None:
            nonlocal size
            while size < until and (chunk := next(stream, b"")):
                chunks.append(chunk)
                size += len(chunk)
                if size > peer.most:
                    raise self._too_large(response, b"".join(chunks), began)

        read(peer.large)
        with self._large if size >= peer.large > 0 else nullcontext():
            read(peer.most + 1)
            content = b"".join(chunks)
            unpacked = _unpacked(content, response.headers, peer.most)
        if len(unpacked) > peer.most:
            raise self._too_large(response, content, began)
        return unpacked

    def _too_large(self, response: requests.Response, content: bytes, began: float) -> MalformedResponse:
        error = MalformedResponse(
            f"the answer is larger than {self._peer.most // 1_000_000} MB", response.status_code, kind="too large"
        )
        seconds = time.monotonic() - began
        error.reply = Reply(response.status_code, response.headers, content[: self._peer.most], seconds)
        return error

    def _translated(
        self, error: HTTPError | OSError, began: float, *, has_answered: bool, proxy: Proxy | None
    ) -> ApiUnavailable | ApiTimeout:
        """A library's error as ours."""
        if not has_answered and never_sent(error):
            return ApiUnavailable(self._clean(f"{self._peer.name} cannot be reached: {unreached(error, proxy)}"))
        if isinstance(error, requests.Timeout | ReadTimeoutError) or time.monotonic() - began >= self._timeout:
            return ApiTimeout(f"no answer within {self._timeout:g} s", in_doubt=True)
        what = "the answer broke off" if has_answered else "the connection broke before the answer came"
        return ApiTimeout(self._clean(f"{what}: {cause(error)}"), in_doubt=True)

    def proxy(self, url: str) -> Proxy | None:
        """The proxy for an address, read from the environment once for each host."""
        try:
            place = urlsplit(url)[:2]
        except ValueError:
            return None  # it is no address, which requests says better
        if self._direct:
            return None
        if place not in self._proxies:
            if len(self._proxies) >= _REMEMBERED:
                self._proxies.clear()
            self._proxies[place] = proxy_for(url)
        return self._proxies[place]

    def _clean(self, text: str) -> str:
        return quoted(text, self._key)


def _unpacked(content: bytes, headers: Mapping[str, str], most: int) -> bytes:
    """The content without gzip (declared or not) or deflate, up to one byte more than allowed; else as it came."""
    is_deflated = headers.get("content-encoding", "").lower() == "deflate" and content[:1] == b"\x78"  # RFC 1950
    if not content.startswith(b"\x1f\x8b") and not is_deflated:
        return content
    unpacked, left = bytearray(), content
    try:
        while left and len(unpacked) <= most:
            unpacking = zlib.decompressobj(zlib.MAX_WBITS | 32)  # either, by its head
            unpacked += unpacking.decompress(left, most + 1 - len(unpacked))
            left = unpacking.unused_data  # gzip may have several members, one behind the other (RFC 1952, 2.2)
    except zlib.error:
        return bytes(unpacked) or content
    return bytes(unpacked)
