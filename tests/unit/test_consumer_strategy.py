"""A job's message on its way from Celery's consumer to a thread of its pool."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

from celery import Celery
from celery.concurrency.solo import TaskPool as Solo
from celery.concurrency.thread import TaskPool as Threads
from celery.worker import state

from tasks.consumer_strategy import straight


class Consumer:
    """As much of Celery's as a strategy sees."""

    connection_errors = (ConnectionError,)

    def __init__(self) -> None:
        self.pool = Threads(limit=2)


def hand_over(run: Any) -> tuple[list[object], threading.Event, list[object]]:
    """Gives a message to a task with this function; the acknowledgements, when one came, and what callbacks heard."""
    acks: list[object] = []
    acknowledged = threading.Event()
    heard: list[object] = []

    def ack(*args: object) -> None:
        acks.append(args)
        acknowledged.set()

    message = SimpleNamespace(payload=[[], {"number": 7}, {}], headers={"id": "m1"})
    on_message = straight(SimpleNamespace(run=run), None, Consumer())
    on_message(message, None, ack, None, [heard.append])
    return acks, acknowledged, heard


def test_a_message_is_acknowledged_once_its_job_has_ended() -> None:
    """While it runs it counts as active, so that Celery takes fewer when it has lost its connection."""
    go, seen = threading.Event(), []

    def run(**kwargs: object) -> None:
        go.wait(10)
        seen.append(kwargs)

    acks, acknowledged, heard = hand_over(run)
    (taken,) = heard
    assert taken in state.active_requests
    assert not acks
    go.set()
    assert acknowledged.wait(10)
    assert (len(acks), seen, taken in state.active_requests) == (1, [{"number": 7}], False)


def test_a_bug_ends_neither_the_thread_nor_the_message() -> None:
    """It is logged, and the message is acknowledged: the dispatcher feeds a job that has no outcome."""

    def run(**_: object) -> None:
        raise RuntimeError("a bug")

    acks, acknowledged, _ = hand_over(run)
    assert acknowledged.wait(10)
    assert len(acks) == 1


def test_another_pool_gets_celerys_own_strategy() -> None:
    """Where there are no threads, nothing is gone past."""
    app = Celery("test", set_as_current=False)

    @app.task(name="restyle.image", Strategy="tasks.consumer_strategy:straight")
    def image() -> None:
        """Does nothing."""

    consumer: Any = SimpleNamespace(
        pool=Solo(), hostname="h", connection_errors=(), event_dispatcher=None, disable_rate_limits=True,
        timer=SimpleNamespace(call_at=None), apply_eta_task=None, task_buckets={}, on_task_request=None,
        _limit_task=None, _limit_post_eta=None, controller=SimpleNamespace(state=SimpleNamespace(revoked=set())),
    )  # fmt: skip
    handler = straight(app.tasks["restyle.image"], app, consumer)
    assert handler.__module__ == "celery.worker.strategy"
