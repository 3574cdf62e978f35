"""HTTP as both doors of the API need it: one request, one reply or one error. Never retries, follows no redirect."""

from __future__ import annotations

import functools
import re
import ssl
import time
from collections.abc import Mapping, Sized
from traceback import clear_frames
from typing import Any, NamedTuple, cast
from urllib.request import getproxies

import certifi
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager, Timeout, make_headers
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ProxyError,
    ProxySchemeUnknown,
    ReadTimeoutError,
    SSLError,
)
from urllib3.response import BaseHTTPResponse
from urllib3.util.request import ACCEPT_ENCODING
from urllib3.util.ssl_ import create_urllib3_context

from restyle.answers import quoted
from restyle.errors import ApiTimeout, ApiUnavailable, ConfigurationError, MalformedResponse

_CHUNK = 256 * 1024
#: Bytes of an answer beyond which it is no picture of ours: four samples in base64 take about 20 MB.
_MAX_ANSWER = 128 * 1024 * 1024


class Reply(NamedTuple):
    """What came back, however it is to be read."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    #: How long it took.
    seconds: float


class Wire:
    """Connections to one address, and wherever else it asks for. To be shared among threads."""

    def __init__(
        self, url: str, api_key: str, *, timeout: float, connect_timeout: float = 5.0, connections: int = 16,
        trusted: str = certifi.where(),
    ) -> None:  # fmt: skip
        """Connects to nobody yet.

        Args:
            url: decides on the proxy.
            api_key: goes along with each request; empty: none does.
            timeout: seconds for a whole reply.
            connect_timeout: seconds for a connection.
            connections: how many are kept open.
            trusted: the file of certificates by which TLS knows whom it speaks to.

        Raises:
            ConfigurationError: the proxy of the environment is none that can be used.
        """
        self._key = api_key
        self._timeout = timeout
        # urllib3 alone: requests merges settings, cookies and headers at each request, for more CPU than its sending.
        limits = Timeout(connect=connect_timeout, read=timeout)
        self._pools = _pools(url, timeout, trusted, num_pools=2, maxsize=connections, retries=False, timeout=limits)
        self._headers = {"user-agent": "restyle", "accept": "*/*", "accept-encoding": ACCEPT_ENCODING}
        if api_key:
            self._headers["x-api-key"] = api_key

    def close(self) -> None:
        """Closes the connections."""
        self._pools.clear()

    def ask(self, verb: str, url: str, body: Sized | bytes = b"") -> Reply:
        """One request; a body is JSON.

        Raises:
            ApiUnavailable: it was not sent.
            ApiTimeout: in doubt: it may have been sent.
            MalformedResponse: the reply is too large.
        """
        headers, began, has_answered = self._headers, time.monotonic(), False
        if body:
            headers = headers | {"content-type": "application/json", "content-length": str(len(body))}
        try:
            response = self._pools.urlopen(
                verb, url, body=cast("Any", body) or None, headers=headers, redirect=False, preload_content=False
            )
            has_answered = True
            try:
                content = self._read(response, began)
            except BaseException:
                response.close()  # a connection with an unread answer is not used again
                raise
            return Reply(response.status, response.headers, content, time.monotonic() - began)
        except (HTTPError, OSError) as error:
            # urllib3's frames have what was being sent, and are kept by a cycle until there is a look for garbage.
            clear_frames(error.__traceback__)
            if not has_answered and _never_sent(error):
                raise ApiUnavailable(self._clean(f"the API cannot be reached: {_cause(error)}")) from None
            if isinstance(error, ReadTimeoutError | TimeoutError) or time.monotonic() - began >= self._timeout:
                raise ApiTimeout(f"no answer within {self._timeout:g} s", in_doubt=True) from None
            what = "the answer broke off" if has_answered else "the connection broke before the answer came"
            raise ApiTimeout(self._clean(f"{what}: {_cause(error)}"), in_doubt=True) from None

    def _read(self, response: BaseHTTPResponse, began: float) -> bytes:
        """The whole answer, within the one time limit: the library's own counts anew with each packet."""
        chunks, size = [], 0
        while chunk := response.read(_CHUNK, decode_content=True):
            chunks.append(chunk)
            size += len(chunk)
            if size > _MAX_ANSWER:
                raise MalformedResponse(f"the answer is larger than {_MAX_ANSWER // 1_000_000} MB", response.status)
            self._check_time(began)
        self._check_time(began)
        return b"".join(chunks)

    def _check_time(self, began: float) -> None:
        if time.monotonic() - began > self._timeout:
            raise TimeoutError

    def _clean(self, text: str) -> str:
        return quoted(text, self._key)


def _pools(url: str, limit: float, trusted: str, **options: Any) -> PoolManager:
    """Pools of connections, through the proxy that the environment names for this address."""
    if url.startswith("https:"):
        options["ssl_context"] = _trust(trusted)
    proxy, login = _proxy(url)
    if proxy:
        try:
            pools: PoolManager = ProxyManager(proxy, proxy_headers=login, **options)
        except ProxySchemeUnknown:
            raise ConfigurationError("HTTP_PROXY, HTTPS_PROXY: only proxies of http:// and https:// are used") from None
    else:
        pools = PoolManager(**options)

    class Plain(HTTPConnectionPool):
        ConnectionCls = _patient(HTTPConnection, limit)

    class Tls(HTTPSConnectionPool):
        ConnectionCls = _patient(HTTPSConnection, limit)  # type: ignore[assignment] # it is a kind of its argument

    pools.pool_classes_by_scheme = {"http": Plain, "https": Tls}
    return pools


def _proxy(url: str) -> tuple[str, dict[str, str] | None]:
    """The proxy that the environment names for this address, as requests understands it, and how to log in there."""
    if not getproxies():
        return "", None
    # Imported where there is one: 4 MB of each worker.
    from requests.utils import get_auth_from_url, get_environ_proxies, prepend_scheme_if_needed, select_proxy

    proxy = select_proxy(url, get_environ_proxies(url))
    if not proxy:
        return "", None
    proxy = str(prepend_scheme_if_needed(proxy, "http"))  # type: ignore[no-untyped-call] # requests has no types here
    user, password = get_auth_from_url(proxy)
    return proxy, make_headers(proxy_basic_auth=f"{user}:{password}") if user else None


def _patient(kind: type[HTTPConnection], limit: float) -> type[HTTPConnection]:
    """The same class of connections, that sends for as long as a whole reply may take.

    urllib3 sends within the time to connect, which many large pictures at once need not fit through a line in.
    """

    class Patient(kind):  # type: ignore[misc,valid-type] # one of two
        """A connection that sends slowly where it has to."""

        def request(self, *args: Any, **kwargs: Any) -> None:
            """Connects within its own time, then sends."""
            if self.sock is None:
                self.connect()
            self.timeout = limit
            super().request(*args, **kwargs)

    return Patient


@functools.cache
def _trust(trusted: str) -> ssl.SSLContext:
    """Whom all connections trust: reading it for each would take longer than a call's whole CPU."""
    context = create_urllib3_context()
    context.load_verify_locations(trusted)
    return context


def _cause(error: BaseException) -> str:
    """The innermost reason, without the library's wrapping."""
    text = str(getattr(error, "args", [error])[0] if getattr(error, "args", None) else error)
    found = re.search(r"(Connection refused|Connection reset by peer|Name or service not known|timed out"
                      r"|Connection aborted|RemoteDisconnected[^']*'[^']*|certificate verify failed"
                      r"|IncompleteRead|Failed to resolve)", text)  # fmt: skip
    return found.group(1) if found else type(error).__name__


#: What errors of TLS say that end a connection before anything was sent over it.
_HANDSHAKE = (
    "CERTIFICATE", "HANDSHAKE", "WRONG_VERSION", "PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL", "NO_PROTOCOLS", "HOSTNAME",
)  # fmt: skip


def _never_sent(error: HTTPError | OSError) -> bool:
    """Whether no connection came about, so that nothing can have been billed; TLS may also fail after its handshake."""
    if isinstance(error, SSLError):
        said = repr(error).upper()
        return any(word in said for word in _HANDSHAKE)
    return isinstance(error, NewConnectionError | ConnectTimeoutError | ProxyError)
