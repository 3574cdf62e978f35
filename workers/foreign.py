"""Messages that are not ours: what Celery would stumble over is acknowledged, dropped and logged instead.

Left to Celery 5.6, one message that is no message ends the worker, and comes back to end the next; one whose body has
a wrong form is never acknowledged on a pool of threads and takes its place in the prefetch window for ever.
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Callable
from typing import Any

import structlog
from celery.worker.consumer import Consumer as CeleryConsumer
from kombu.transport.redis import Transport as RedisTransport

log = structlog.get_logger("restyle.foreign")

#: What reading an envelope raises that has not the form which kombu writes.
_NO_ENVELOPE = (json.JSONDecodeError, UnicodeDecodeError, binascii.Error, AttributeError, KeyError, TypeError)


class Transport(RedisTransport):
    """Kombu's transport, that outlives an entry of the queue which is no message; it has left the queue already."""

    def on_readable(self, fileno: int) -> None:  # type: ignore[override] # kombu's own has this one argument
        """Reads what has come."""
        try:
            super().on_readable(fileno)
        except _NO_ENVELOPE as error:
            log.warning("an entry of the queue is no message: dropped", reason=_short(error))


class Consumer(CeleryConsumer):
    """Celery's consumer, that gives the pool only what the pool can read."""

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], None]:
        """The function that takes each message."""
        take = super().create_task_handler(*args, **kwargs)
        errors = self.connection_errors  # type: ignore[attr-defined] # set where it is made

        def on_message(message: Any) -> None:
            try:
                _check_body(message.payload)
            except Exception as error:  # noqa: BLE001 - decoders raise anything at bytes that anybody may have sent
                log.warning("message not understood: dropped", reason=_short(error))
                message.ack_log_error(log, errors)
                return
            try:
                take(message)
            except (TypeError, ValueError, KeyError, AttributeError) as error:
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
    return f"{type(error).__name__}: {error}"[:200]
