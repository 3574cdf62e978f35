"""How a job's message comes from Celery's consumer to a thread of its pool: straight.

Celery's own strategy makes a Request of each message, which knows of time limits, retries, results, revocation and
events, and reads the message once more in the thread. Jobs have none of these, and all of it takes longer than finding
out that a job need not be done. `Task.Strategy` is Celery's own seam for this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog
from celery import signals
from celery.concurrency.thread import TaskPool
from celery.worker import state
from celery.worker.strategy import default

log = structlog.get_logger("restyle.job")

Handler = Callable[..., None]


class Taken:
    """A message in a thread's hands, as Celery's list of what is active wants it."""

    def __init__(self, task: Any, message_id: str) -> None:
        """Not acknowledged yet."""
        self.task = task
        self.id = message_id
        self.acknowledged = False

    def cancel(self, _pool: object, **_: object) -> None:
        """A call cannot be undone: it ends, and is stored."""


def straight(task: Any, app: Any, consumer: Any, **options: Any) -> Handler:
    """What takes each message of a task that is never retried and has no result."""
    if not isinstance(consumer.pool, TaskPool):
        return default(task, app, consumer, **options)
    threads: ThreadPoolExecutor = consumer.pool.executor  # type: ignore[attr-defined] # its types leave that out

    def work(kwargs: dict[str, Any], taken: Taken, ack: Callable[..., object]) -> None:
        try:
            task.run(**kwargs)
        except Exception:
            log.exception("bug")
        finally:
            taken.acknowledged = True
            state.active_requests.discard(taken)
            ack(log, consumer.connection_errors)

    def on_message(
        message: Any,
        _body: object,
        ack: Callable[..., object],
        _reject: object,
        callbacks: Iterable[Callable[[Taken], object]],
    ) -> None:
        _, kwargs, _ = message.payload
        taken = Taken(task, message.headers.get("id", ""))
        signals.task_received.send(sender=consumer, request=taken)
        # How many are active is what Celery takes fewer messages by when it has lost its connection meanwhile.
        state.active_requests.add(taken)
        threads.submit(work, kwargs, taken, ack)
        for callback in callbacks:
            callback(taken)

    return on_message
