"""Where Redis is: one server by its address, or the sentinels that know which server is the primary now."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import quote, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.connection import SSLConnection, parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool, SentinelManagedConnection

from restyle.errors import ConfigurationError

#: Seconds after which a silent Redis counts as out of reach; without it a black hole hangs a worker for ever
#: (research on Celery's hang family: celery #8030, #9054).
SOCKET_TIMEOUT = 10.0
#: Seconds to connect.
CONNECT_TIMEOUT = 5.0
#: Seconds for a sentinel, which is asked before each connection; the next one knows as much.
SENTINEL_TIMEOUT = 2.0
SENTINEL_PORT = 26379
_SENTINEL = "sentinel://"
_ENCODED = "; in a user's name and a password, what is neither letter nor digit is percent-encoded"
_FORM = f"write redis://USER:PASSWORD@HOST:6379/0, or rediss:// for TLS{_ENCODED}"
_SENTINEL_FORM = f"write sentinel://USER:PASSWORD@HOST:26379;sentinel://HOST:26379;sentinel://HOST:26379/0{_ENCODED}"


def never_again() -> Retry:
    """No second try: a command whose answer was lost may have run, and the caller decides whether to run it again."""
    return Retry(NoBackoff(), 0)


@dataclass(frozen=True)
class RedisAddress:
    """An address as RESTYLE_REDIS_URL has it, and what belongs to it where it names sentinels."""

    url: str = field(repr=False)
    #: The name that the sentinels give the primary.
    master: str = "mymaster"
    #: What the sentinels themselves get; the servers' user and password are in the address.
    sentinel_username: str = ""
    sentinel_password: str = field(default="", repr=False)
    #: Whether servers and sentinels are spoken to by TLS; without sentinels the scheme says so.
    sentinel_tls: bool = False

    @property
    def is_sentinels(self) -> bool:
        """Whether it names sentinels."""
        return self.url.startswith(_SENTINEL)

    def pool(self, connections: int) -> redis.ConnectionPool:
        """Connections to the server, or to whatever is the primary when each is made.

        Raises:
            ConfigurationError: the address cannot be read.
        """
        options: dict[str, Any] = {
            "decode_responses": True,
            "socket_timeout": SOCKET_TIMEOUT,
            "socket_connect_timeout": CONNECT_TIMEOUT,
            "socket_keepalive": True,
            "max_connections": connections,
            # Of its 64 kB a connection, each answer to a job needs a hundred bytes.
            "socket_read_size": 4096,
            "retry": never_again(),
        }
        if self.is_sentinels:
            kind = SecurePrimary if self.sentinel_tls else Primary
            hosts = Sentinel(self.sentinels, sentinel_kwargs=self.sentinel_options)  # type: ignore[no-untyped-call] # redis has no types here
            options |= {"connection_class": kind, **self._server}
            return SentinelConnectionPool(self.master, hosts, **options)  # type: ignore[no-untyped-call] # redis has no types here # nor here
        try:
            _check(self.url)
            pool = redis.ConnectionPool.from_url(self.url, **options)
            str(pool.connection_kwargs.get("host", "")).encode("idna")
            pool.connection_class(**pool.connection_kwargs)  # which connects to nobody, and knows all options
        except (ValueError, TypeError, redis.RedisError):
            raise _wrong(_FORM) from None
        return pool

    # -- sentinels -----------------------------------------------------------------------------------------

    @cached_property
    def sentinels(self) -> list[tuple[str, int]]:
        """Host and port of each.

        Raises:
            ConfigurationError: the address cannot be read.
        """
        return [(str(part["host"]), int(part.get("port", SENTINEL_PORT))) for part in self._parts]

    @property
    def sentinel_options(self) -> dict[str, Any]:
        """How a client of redis-py asks a sentinel."""
        login = {"username": self.sentinel_username, "password": self.sentinel_password}
        return {
            **{name: value for name, value in login.items() if value},
            **({"ssl": True, **self.tls_options} if self.sentinel_tls else {}),
            "socket_timeout": SENTINEL_TIMEOUT,
            "socket_connect_timeout": SENTINEL_TIMEOUT,
            "retry": never_again(),
        }

    @property
    def tls_options(self) -> dict[str, Any]:
        """What the address says of certificates, in redis-py's words; whoever answers is checked."""
        options = {name: value for name, value in self._server.items() if name.startswith("ssl_")}
        return {"ssl_cert_reqs": ssl.CERT_REQUIRED, **options}

    @property
    def broker_url(self) -> str:
        """The address as Celery gets it: kombu reads user, password and database of whichever part is next."""
        if not self.is_sentinels:
            return self.url
        user, password = (quote(str(self._server.get(name, "")), safe="") for name in ("username", "password"))
        login = f"{user}:{password}@" if user or password else ""
        parts = [
            f"{_SENTINEL}{login}{f'[{host}]' if ':' in host else host}:{port}/{self._server.get('db', 0)}"
            for host, port in self.sentinels
        ]
        return ";".join(parts)

    @cached_property
    def _parts(self) -> list[dict[str, Any]]:
        """What stands in each part of the address."""
        parts = []
        for part in self.url.split(";"):
            try:
                _check(part := f"redis://{part.strip().removeprefix(_SENTINEL)}")
                read = parse_url(part)  # type: ignore[no-untyped-call] # redis has no types here
                str(read.get("host", "")).encode("idna")
            except ValueError:
                raise _wrong(_SENTINEL_FORM) from None
            parts.append(read)
        return parts

    @cached_property
    def _server(self) -> dict[str, Any]:
        """User, password, database and certificates of the servers: what any part of the address says of them."""
        options: dict[str, Any] = {}
        for part in reversed(self._parts):
            options |= {name: value for name, value in part.items() if name not in {"host", "port"}}
        return options


class Primary(SentinelManagedConnection):
    """A connection to the primary, that ends with any error, as redis-py's others do.

    Its own stays open where reading was broken off, with an answer on the way that the next question would get.
    """

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """The answer to what was sent."""
        kwargs.setdefault("disconnect_on_error", True)
        # Past the one that takes READONLY for a lost connection: restyle/coordination/redis/errors.py says what it
        # means.
        return super(SentinelManagedConnection, self).read_response(*args, **kwargs)


class SecurePrimary(Primary, SSLConnection):
    """The same by TLS."""


def _check(url: str) -> None:
    """Raises ValueError where a part of a password would be taken for a host, and named as what cannot be reached."""
    parts = urlsplit(url)
    if "@" in parts.path + parts.query + parts.fragment or not (parts.hostname or parts.scheme == "unix"):
        raise ValueError


def _wrong(why: str) -> ConfigurationError:
    """Without the words of whoever read it: they may quote a part of the password."""
    return ConfigurationError(f"RESTYLE_REDIS_URL cannot be read: {why}")
