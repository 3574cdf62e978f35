"""Celery's consumer and kombu's transport, as they outlive messages that are not ours and a Redis that refuses.

Left to Celery 5.7, one message that is no message ends the worker, and comes back to end the next; one whose body has
a wrong form is never acknowledged on a pool of threads and takes its place in the prefetch window for ever; and any
"no" of Redis but a refused login ends the worker too. What is a message: workers/envelopes.py.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable
from queue import Empty
from typing import Any

import structlog
from celery.worker import state
from celery.worker.consumer import Consumer as CeleryConsumer
from kombu.transport import redis

from restyle.coordination.redis.errors import RedisError, meaning
from restyle.problems import printable
from restyle.telemetry import metrics
from workers.envelopes import NotOurs, read_entry

log = structlog.get_logger("restyle.foreign")

#: Seconds between two connections to the queue that do not last: the first pause, by which it grows, and the longest.
FIRST_PAUSE, LONGER, LONGEST_PAUSE = 0.2, 0.5, 5.0
#: Seconds for which a connection must last to count as well.
LASTS = 10.0


class Client(redis.PrefixedStrictRedis):
    """Kombu's client, that lets nothing in from the queue but messages of ours.

    It finds a Redis reachable where it takes writes: taking a message is one.
    """

    def ping(self, **_: Any) -> bool:
        """What kombu asks of each new connection."""
        self.set("nothing", "", xx=True)  # there is no such key, so that nothing changes
        return True

    def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:
        """An answer of Redis; an entry of the queue as it may be read.

        Raises:
            Empty: the entry is no message of ours. It has left the queue with this answer.
        """
        answer = super().parse_response(connection, command_name, **options)
        if command_name != "BRPOP" or not answer:
            return answer
        queue, entry = answer
        try:
            return queue, json.dumps(read_entry(entry, queue.decode()))
        except NotOurs as error:
            metrics.HINTS_DROPPED.labels("envelope").inc()
            log.warning("an entry of the queue is no message: dropped", reason=_short(error), entry=ascii(entry[:200]))
            raise Empty from None


class Outliving:
    """What both transports have in common."""

    #: To each of them kombu's answer is to connect anew, rather than to end the worker.
    connection_errors = (*redis.Transport.connection_errors, RedisError)


class _Hints:
    """What both channels have in common: a message is only a hint, and may be lost."""

    _puts_back = True

    def _get_client(self) -> Callable[..., Client]:
        """What makes a channel's client."""
        return functools.partial(Client, global_keyprefix=self.global_keyprefix)  # type: ignore[attr-defined] # kombu's

    def _restore(self, message: Any, leftmost: bool = False) -> None:
        """Puts a message back on its queue; where Redis takes none, the dispatcher feeds its job again.

        Kombu would ask a silent Redis once for each, and write them all to a file of the system's temporary folder.
        """
        try:
            if self._puts_back:
                super()._restore(message, leftmost)  # type: ignore[misc] # kombu's, which comes after this
        except (RedisError, OSError) as error:
            self._puts_back = False
            log.debug("messages are not put back", reason=_short(error))


class Channel(_Hints, redis.Channel):
    """Of one server."""


class SentinelChannel(_Hints, redis.SentinelChannel):
    """Of whatever the sentinels call the primary."""


class Transport(Outliving, redis.Transport):
    """To one server."""

    Channel = Channel


class SentinelTransport(Outliving, redis.SentinelTransport):
    """By way of sentinels."""

    Channel = SentinelChannel


#: By the scheme of an address, so that kombu has them where it goes on to the next sentinel, too.
TRANSPORTS = {
    "redis": "workers.resilient_consumer:Transport",
    "rediss": "workers.resilient_consumer:Transport",
    "sentinel": "workers.resilient_consumer:SentinelTransport",
}


class Consumer(CeleryConsumer):
    """Celery's consumer, that gives the pool only what the pool can read, and waits for Redis in words."""

    _connected = float("-inf")
    _pause = 0.0
    _away = False

    def ensure_connected(self, conn: Any) -> Any:
        """Connects, however long Redis is away or refuses, with pauses that grow; a drain ends it."""
        self._wait_a_while()
        connected = conn.ensure_connection(
            self._tell, None, FIRST_PAUSE, LONGER, LONGEST_PAUSE, callback=state.maybe_shutdown
        )
        if self._away:
            log.info("the queue is read again")
        self._away = self.first_connection_attempt = False
        self._connected = time.monotonic()
        return connected

    def _wait_a_while(self) -> None:
        """Pauses where the last connection did not last: Redis may take what a new one asks, and refuse all else."""
        lasted = time.monotonic() - self._connected
        self._pause = 0.0 if lasted > LASTS else min(max(FIRST_PAUSE, 2 * self._pause), LONGEST_PAUSE)
        until = time.monotonic() + self._pause
        while time.monotonic() < until:
            state.maybe_shutdown()
            time.sleep(min(FIRST_PAUSE, self._pause))

    def _tell(self, error: Exception, _interval: float) -> None:
        """Says once why the queue cannot be read."""
        if self._away:
            return
        self._away = True
        why = meaning(error) if isinstance(error, RedisError) else None
        log.warning("the queue cannot be read", reason=why.message if why else _short(error))

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], None]:
        """The function that takes each message."""
        take = super().create_task_handler(*args, **kwargs)
        errors = self.connection_errors  # type: ignore[attr-defined] # set where it is made

        def on_message(message: Any) -> None:
            try:
                _check_body(message.payload)
            except Exception as error:  # noqa: BLE001 - decoders raise anything at bytes that anybody may have sent
                drop(message, error)
                return
            try:
                take(message)
            except (TypeError, ValueError, KeyError, AttributeError) as error:
                drop(message, error)

        def drop(message: Any, error: Exception) -> None:
            metrics.HINTS_DROPPED.labels("message").inc()
            log.warning("message not understood: dropped", reason=_short(error))
            message.ack_log_error(log, errors)

        return on_message


def _check_body(body: object) -> None:
    """Makes sure that the body is `[args, kwargs, embed]`, as the pool takes it apart.

    Raises:
        ValueError: it is not.
    """
    match body:
        case [list(), dict(), dict() | None]:
            return
    raise ValueError("its body is not [args, kwargs, embed]")


def _short(error: Exception) -> str:
    return printable(f"{type(error).__name__}: {error}", 200)
