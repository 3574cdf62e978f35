"""Sessions of requests whose connections keep one time limit, skip 1xx answers, and report when nothing was sent.

Built on what the libraries let one replace: requests' adapter, urllib3's classes of pools and connections,
http.client's response.
"""

from __future__ import annotations

import functools
import math
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any, ClassVar

from requests import Response, Session
from requests.adapters import HTTPAdapter
from urllib3 import PoolManager, Retry
from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError, NewConnectionError
from urllib3.util.ssl_ import create_urllib3_context

from restyle.http.timely import TimelyResponse

#: Asked, with a new connection, before anything is sent over it; raises OSError where nothing is to be.
Admit = Callable[[HTTPConnection], None]
#: Where a new connection may lead: the addresses of a host and port, looked up once; raises OSError where it may not.
Resolve = Callable[[str, int], Sequence[str]]

#: Bytes of a record of TLS: what its socket writes within one time limit.
_RECORD = 16 * 1024
#: TCP keepalive: seconds of silence before the first probe, seconds between probes, and how many unanswered ones end
#: the connection. Routers forget silent connections within minutes, and a call may take as long.
_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPALIVE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 6}


class NotConnected(NewConnectionError):
    """No connection came about: nothing was sent."""


@dataclass(frozen=True)
class Terms:
    """How connections of one session are made, and how long an exchange may take."""

    limit: float
    """Seconds for an exchange, from connecting to the last byte of the answer."""
    head_limit: float = math.inf
    """Seconds of them for the head of the answer."""
    admit: Admit | None = None
    """Is asked before anything is sent over a new connection."""
    resolve: Resolve | None = None
    """Says which addresses a name stands for: to those alone it connects. By a proxy it is the proxy that connects."""


def open_session(terms: Terms, *, connections: int, trusted: str) -> Session:
    """A session to be shared among threads.

    Args:
        terms: how it connects.
        connections: how many are kept open to each host.
        trusted: file or directory of certificates (restyle/http/trust.py).
    """
    session = _Plain()
    session.trust_env = False  # else requests would send what a netrc has
    session.headers.clear()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = _Adapter(terms, connections, trusted)
    for scheme in ("http://", "https://"):
        session.mount(scheme, adapter)
    return session


class _Plain(Session):
    """A session without redirects: requests would read the body of one, however long it is."""

    def get_redirect_target(self, resp: Response) -> str | None:  # noqa: ARG002 - as the base class has it
        """None."""
        return None


class _Adapter(HTTPAdapter):
    """Connections of our own kind, straight and by proxies."""

    def __init__(self, terms: Terms, connections: int, trusted: str) -> None:
        self._terms = terms
        self._context = _context(trusted, Path(trusted).stat().st_mtime_ns)
        self._making = threading.Lock()
        super().__init__(pool_connections=4, pool_maxsize=connections, max_retries=Retry(total=False))

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Pools of connections straight to a host."""
        super().init_poolmanager(*args, ssl_context=self._context, socket_options=_socket_options(), **kwargs)
        self._make_patient(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Pools of connections by a proxy; TLS to the proxy itself trusts the same certificates."""
        with self._making:
            if proxy in self.proxy_manager:
                return self.proxy_manager[proxy]
            if not proxy.lower().startswith("socks"):
                kwargs["proxy_ssl_context"] = self._context
            manager = super().proxy_manager_for(
                proxy, ssl_context=self._context, socket_options=_socket_options(), **kwargs
            )
            # Where the peer is a proxy, it is the proxy that connects to hosts.
            self._make_patient(manager, is_proxied=True)
            return manager

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:  # noqa: ARG002 - the base class's
        """Leaves the certificates to the one context: the base class has them read anew for each connection."""
        conn.cert_reqs = "CERT_REQUIRED"

    def _make_patient(self, manager: PoolManager, *, is_proxied: bool = False) -> None:
        terms = self._terms
        patience = {
            "limit": terms.limit,
            "admits": (terms.admit,) if terms.admit and not is_proxied else (),
            "resolves": (terms.resolve,) if terms.resolve and not is_proxied else (),
            "response_class": type("Response", (TimelyResponse,), {"head_limit": terms.head_limit}),
        }
        pools: dict[str, Any] = dict(manager.pool_classes_by_scheme)
        made = {}
        for scheme, pool in pools.items():
            kind = type(pool.ConnectionCls.__name__, (_Patience, pool.ConnectionCls), patience)
            made[scheme] = type(pool.__name__, (pool,), {"ConnectionCls": kind})
        manager.pool_classes_by_scheme = made


@functools.lru_cache(maxsize=4)
def _context(trusted: str, _changed: int) -> ssl.SSLContext:
    """The trusted certificates, shared by all connections: reading them takes longer than all other CPU of a call."""
    context = create_urllib3_context()
    if Path(trusted).is_dir():
        context.load_verify_locations(capath=trusted)
    else:
        context.load_verify_locations(cafile=trusted)
    return context


def _socket_options() -> list[tuple[int, int, int]]:
    options = [*HTTPConnection.default_socket_options, (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    options += [
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in _KEEPALIVE.items()
        if hasattr(socket, name)
    ]
    return options


class _Patience:
    """A mixin by which a class of connections has one time limit for each exchange.

    urllib3 limits sending by the connect timeout, within which many large pictures at once may not be sent, and its
    read timeout begins anew with each byte.
    """

    limit: ClassVar[float]
    admits: ClassVar[tuple[Admit, ...]] = ()
    resolves: ClassVar[tuple[Resolve, ...]] = ()
    sock: Any
    port: int
    _dns_host: str
    timeout: Any
    _began = _ends = 0.0

    def connect(self) -> None:
        """Connects within its own time.

        Raises:
            NotConnected: whatever happened.
        """
        self._began, self._ends = time.monotonic(), 0.0
        try:
            super().connect()  # type: ignore[misc] # the base class has no types here # of the class of connections
            for admit in self.admits:
                admit(self)  # type: ignore[arg-type] # it is a connection
        except (HTTPError, HTTPException, OSError, ValueError) as error:
            self.close()  # type: ignore[attr-defined] # the same
            raise NotConnected(self, str(error)) from error  # type: ignore[arg-type] # it is a connection

    def _new_conn(self) -> socket.socket:
        """A connection to an address that `resolves` gave, in their order, and to no other.

        urllib3 would look the name up by itself, and might get another address than was judged.
        """
        if not self.resolves:
            return super()._new_conn()  # type: ignore[misc,no-any-return] # of the class of connections
        name, failure = self._dns_host, OSError("Failed to resolve")
        try:
            for address in self.resolves[0](name, self.port):
                self._dns_host = address
                try:
                    return super()._new_conn()  # type: ignore[misc,no-any-return] # the same
                except (HTTPError, OSError) as error:
                    failure = error  # type: ignore[assignment] # either is raised
        finally:
            self._dns_host = name  # by which TLS knows whom it speaks to
        raise failure

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Sends within what is left of the exchange's time."""
        if self.sock is None:
            self.connect()
        self._ends = (self._began or time.monotonic()) + self.limit
        self._began = 0.0
        self.timeout = self._left()
        super().request(*args, **kwargs)  # type: ignore[misc] # the base class has no types here

    def send(self, data: Any) -> None:
        """Sends bytes; over TLS record by record, since Python's limit is one for each."""
        if not self._ends:
            super().send(data)  # type: ignore[misc] # no types here either; to a proxy, while connecting
            return
        size = len(data) if type(self.sock) is socket.socket else _RECORD
        for start in range(0, len(data), size or 1):
            self.sock.settimeout(self._left())
            super().send(data if size >= len(data) else memoryview(data)[start : start + size])  # type: ignore[misc] # the base class has no types here

    def getresponse(self) -> Any:
        """Reads the answer within what is left."""
        self.timeout = self._left()
        return super().getresponse()  # type: ignore[misc] # the base class has no types here

    def _left(self) -> float:
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left
