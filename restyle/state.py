"""The door to Redis: one client, the scripts, and foreign errors translated at the edge.

Every change of shared state is one Lua script (restyle/lua/), so that it happens whole or not at all.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import random
import threading
from collections.abc import Callable
from importlib import resources
from typing import Any, ParamSpec, TypeVar

from restyle.absent import absent
from restyle.durability import Proof
from restyle.errors import ConfigurationError, StateUnavailable

# redis-py imports OpenTelemetry's SDK where it is installed, as in the image, for metrics that are off here: 30 ms of
# each start and 2 MB of each process. Traces import what they need of it when they are on.
with absent("opentelemetry.sdk.metrics"):
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    from restyle.scripts import Scripts, limited

P = ParamSpec("P")
R = TypeVar("R")

#: Seconds after which a silent Redis counts as out of reach; without it a black hole hangs a worker for ever
#: (research on Celery's hang family: celery #8030, #9054).
SOCKET_TIMEOUT = 10.0


def translated(method: Callable[P, R]) -> Callable[P, R]:
    """Turns the Redis client's errors into ours.

    Raises:
        StateUnavailable: Redis is out of reach, starting, or full.
    """

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(*args, **kwargs)
        except redis.AuthenticationError as error:
            raise ConfigurationError(f"Redis refuses the password of RESTYLE_REDIS_URL: {error}") from None
        except (redis.ConnectionError, redis.TimeoutError, redis.BusyLoadingError) as error:
            raise StateUnavailable(f"Redis cannot be reached: {error}") from error
        except redis.ResponseError as error:
            if str(error).startswith(("OOM", "READONLY", "MASTERDOWN", "LOADING")):
                raise StateUnavailable(f"Redis takes no writes: {error}") from error
            raise

    return call


class State:
    """A Redis client with the scripts loaded, bound to one workspace and one API account."""

    def __init__(self, url: str, *, namespace: str, account: str, connections: int = 64) -> None:
        self.namespace = namespace
        self.account = f"restyle:{account}:"
        try:
            pool = redis.ConnectionPool.from_url(
                url,
                decode_responses=True,
                socket_timeout=SOCKET_TIMEOUT,
                socket_connect_timeout=5.0,
                socket_keepalive=True,
                health_check_interval=10,
                max_connections=connections,
                # Of its 64 kB a connection, each answer to a job needs a hundred bytes.
                socket_read_size=4096,
                # A script whose answer was lost may have run: the caller decides whether to run it again.
                retry=Retry(NoBackoff(), 0),
            )
        except ValueError as error:
            raise ConfigurationError(f"RESTYLE_REDIS_URL: {error}") from None
        pool.connection_class = limited(pool.connection_class, SOCKET_TIMEOUT)
        self.redis = redis.Redis.from_pool(pool)
        self._scripts = Scripts(_script_texts(), pool)

    def of_account(self, account: str) -> State:
        """The same Redis, with another account's suspension and rate."""
        other = copy.copy(self)
        other.account = f"restyle:{account}:"
        return other

    def key(self, *parts: str) -> str:
        """A key of this workspace."""
        return self.namespace + ":".join(parts)

    @translated
    def run(self, script: str, *args: str | float) -> Any:
        """Runs a script with its own arguments behind the two prefixes."""
        return self._scripts.run(script, self.namespace, self.account, *args)

    @translated
    def run_durably(self, proof: Proof | None, script: str, *args: str | float) -> tuple[Any, bool | None]:
        """Runs a script, and waits until what it wrote is safe: its answer, and whether that was confirmed.

        None: the server cannot tell. It does not know the question (Redis before 7.2), or has no append-only file.
        """
        if proof is None:
            return self._scripts.run(script, self.namespace, self.account, *args), True
        for how in (("EVALSHA", _script_names()[script]), ("EVAL", _script_texts()[script])):
            # One connection: the proof is about what was written over it.
            with self.redis.pipeline(transaction=False) as pipeline:
                pipeline.execute_command(*how, 0, self.namespace, self.account, *args)  # type: ignore[no-untyped-call] # redis has no types here
                pipeline.execute_command(*proof.words)  # type: ignore[no-untyped-call] # nor here
                answer, confirmed = pipeline.execute(raise_on_error=False)
            if not isinstance(answer, redis.exceptions.NoScriptError):
                break
        if isinstance(answer, Exception):
            raise answer
        if isinstance(confirmed, Exception):
            return answer, None
        return answer, int(confirmed[0] if isinstance(confirmed, list) else confirmed) >= proof.least

    @translated
    def ask(self, command: str, *args: str | float) -> Any:
        """One plain command; for reading, or where a single command is the whole change."""
        return self.redis.execute_command(command, *args)  # type: ignore[no-untyped-call] # redis has no types here

    @translated
    def ask_all(self, *commands: tuple[str | float, ...]) -> list[Any]:
        """Several plain commands in one round trip."""
        with self.redis.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)  # type: ignore[no-untyped-call] # redis has no types here
            return pipeline.execute()

    @translated
    def ping(self) -> None:
        """Raises StateUnavailable where Redis does not answer."""
        self.redis.ping()

    @translated
    def clock(self) -> float:
        """Redis's own time, in Unix seconds: the only clock that shared state knows."""
        seconds, microseconds = self.ask("TIME")
        return float(seconds) + float(microseconds) / 1e6

    def close(self) -> None:
        """Closes the connections."""
        self._scripts.close()
        self.redis.close()


@functools.cache
def _script_texts() -> dict[str, str]:
    folder = resources.files("restyle") / "lua"
    prelude = (folder / "prelude.lua").read_text()
    return {
        file.name.removesuffix(".lua"): prelude + file.read_text()
        for file in folder.iterdir()
        if file.name.endswith(".lua") and file.name != "prelude.lua"
    }


@functools.cache
def _script_names() -> dict[str, str]:
    """The names by which Redis knows scripts that have run."""
    return {name: hashlib.sha1(text.encode()).hexdigest() for name, text in _script_texts().items()}  # noqa: S324 - so Redis has it


def patiently(stopping: threading.Event, ask: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Asks Redis until it answers, so that work in hand outlives its restart.

    Raises:
        StateUnavailable: Redis is out of reach, and this worker drains.
    """
    while True:
        try:
            return ask(*args, **kwargs)
        except StateUnavailable:
            if stopping.wait(random.uniform(0.2, 1.0)):
                raise
