"""The short way to Redis: one script, one round trip, over connections that are kept.

redis-py's own way to a script takes its client through retries, metrics and a pool that looks at each connection first,
for three times the CPU of the round trip; every job takes it three times. Connecting, logging in and reading are still
redis-py's.
"""

from __future__ import annotations

import hashlib
import socket
import time
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from hiredis import pack_command
from redis.exceptions import NoScriptError, RedisError, ResponseError

from restyle.sockets import wait_at_most

if TYPE_CHECKING:
    from redis import Connection, ConnectionPool

#: Seconds for which an idle connection is taken for open without a look.
_FRESH = 1.0


class Script(NamedTuple):
    """A script's text, and the name by which Redis knows it once it has run."""

    text: str
    sha: str


class Scripts:
    """Scripts by name. Safe to share among threads."""

    def __init__(self, texts: Mapping[str, str], pool: ConnectionPool) -> None:
        """Connects as the pool does, with connections of its own."""
        self._pool = pool
        self._scripts = {name: Script(text, hashlib.sha1(text.encode()).hexdigest()) for name, text in texts.items()}  # noqa: S324 - Redis names them so
        self._idle: deque[tuple[float, Connection]] = deque()

    def run(self, name: str, *args: str | float) -> Any:
        """Runs a script, which has no keys; its answer.

        Raises:
            redis.RedisError: it may have run, or not.
        """
        script = self._scripts[name]
        connection = self._idle_one() or self._pool.connection_class(**self._pool.connection_kwargs)
        try:
            try:
                answer = _ask(connection, "EVALSHA", script.sha, 0, *args)
            except NoScriptError:
                answer = _ask(connection, "EVAL", script.text, 0, *args)
        except ResponseError:
            self._idle.append((time.monotonic(), connection))
            raise
        except BaseException:
            _drop(connection)
            raise
        self._idle.append((time.monotonic(), connection))
        return answer

    def close(self) -> None:
        """Closes the connections that nobody uses."""
        while self._idle:
            _drop(self._idle.pop()[1])

    def _idle_one(self) -> Connection | None:
        while True:
            try:
                since, connection = self._idle.pop()
            except IndexError:
                return None
            if time.monotonic() - since < _FRESH or _is_open(connection):
                return connection
            _drop(connection)


def _is_open(connection: Connection) -> bool:
    try:
        return not connection.can_read()
    except (RedisError, OSError):
        return False


def _drop(connection: Connection) -> None:
    connection.disconnect()  # type: ignore[no-untyped-call] # redis has no types here


def _ask(connection: Connection, *words: Any) -> Any:
    packed = [pack_command(words)]
    connection.send_packed_command(packed, check_health=False)  # type: ignore[no-untyped-call] # nor here
    return connection.read_response()


def limited(connection_class: type[Connection], seconds: float) -> type[Connection]:
    """The same class of connections, with the system's time limit for each read and write in place of Python's."""

    class Limited(connection_class):  # type: ignore[misc,valid-type] # one of three, by the address's scheme
        """A connection that waits at no cost."""

        def _connect(self) -> socket.socket:
            connection: socket.socket = super()._connect()
            wait_at_most(connection, seconds)
            return connection

    return Limited
