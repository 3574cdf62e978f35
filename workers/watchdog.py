"""The watchdog: a worker that has stopped working drains, ends itself, and is started again by its supervisor.

Celery on Redis is known to hang, alive and idle (celery #8030, #9054, kombu #2492): a socket that nobody closed, a loop
that waits forever. `Patience` decides what counts as stopped, without clocks and threads.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from celery import Celery, bootsteps, signals
from kombu.asynchronous import Hub

from config.celery_app import QUEUES
from restyle.errors import StateUnavailable
from tasks.resources import Resources

log = structlog.get_logger("restyle.watchdog")

#: Exit code of a worker that ended itself: a fault of ours (sysexits' EX_SOFTWARE).
EXIT = 70


@dataclass
class Signs:
    """Signs of life of Celery's parts, in monotonic seconds."""

    turned: float = 0.0
    """When Celery's loop last turned."""
    received: float = 0.0
    """When the last message came in."""

    def turn(self) -> None:
        """Records that the loop has turned."""
        self.turned = time.monotonic()


@dataclass(frozen=True)
class Inspection:
    """The state of the worker, inspected while Redis took writes; times in monotonic seconds."""

    at: float
    turned: float
    received: float
    beaten: float
    """When the last heartbeat went out."""
    wanting: bool
    """Slots are free, messages wait, and nothing is suspended."""


class Patience:
    """How long each sign of life has been missing, counted only while it could be expected."""

    def __init__(self, limit: float, now: float) -> None:
        self._limit = limit
        self._redis_since = self._wanting_since = now

    def away(self, now: float) -> None:
        """Redis did not answer, or refused writes: no sign of life can be expected, and all is counted anew."""
        self._redis_since = self._wanting_since = now

    def stopped(self, inspection: Inspection) -> str:
        """What has stopped; empty where nothing has."""
        if not inspection.wanting:
            self._wanting_since = inspection.at
        since = {
            "Celery's loop": max(inspection.turned, self._redis_since),
            "the heartbeat": max(inspection.beaten, self._redis_since),
            "the taking of messages": max(inspection.received, self._redis_since, self._wanting_since),
        }
        return next((name for name, moment in since.items() if inspection.at - moment > self._limit), "")


class Watchdog(threading.Thread):
    """Inspects the worker every few seconds; once a sign of life is overdue, drains it and ends the process."""

    def __init__(self, resources: Resources, threads: int, leave: Callable[[], None]) -> None:
        """`threads` take messages; `leave` ends whatever else runs beside them."""
        super().__init__(name="watchdog", daemon=True)
        self._limit = resources.settings.watchdog_seconds
        self._state, self._tools = resources.state, resources.tools
        self._grace = resources.settings.api_timeout + 30
        self._threads = threads
        self._signs = Signs()
        self._leave = leave

    def watch(self, app: Celery) -> None:
        """Has Celery leave its signs of life: each second that its loop turns, and each message."""
        signs = self._signs

        class Pulse(bootsteps.StartStopStep):
            """A part of Celery's consumer, called at each start of the loop."""

            def register_with_event_loop(self, _consumer: Any, hub: Hub) -> None:
                signs.turn()
                hub.call_repeatedly(1.0, signs.turn)

        app.steps["consumer"].add(Pulse)

        @signals.task_received.connect(weak=False)
        def on_received(**_: Any) -> None:
            signs.received = time.monotonic()

    def run(self) -> None:
        """Inspects until this worker drains; not at all where no limit is set."""
        if not self._limit:
            return
        patience = Patience(self._limit, time.monotonic())
        while not self._tools.stopping.wait(min(5.0, self._limit / 4)):
            try:
                inspection = self._inspect()
            except StateUnavailable:
                patience.away(time.monotonic())
                continue
            except Exception:
                # Goes on whatever the error is: no other thread would notice a worker that has stopped.
                log.exception("this worker could not be inspected")
                continue
            if stopped := patience.stopped(inspection):
                self._end(stopped)

    def _inspect(self) -> Inspection:
        fleet = self._tools.fleet
        # While writes are refused, no worker can send a heartbeat.
        self._state.check_writes()
        free = len(fleet.hands.snapshot()) < self._threads
        wanting = free and not fleet.suspended and not self._tools.rotation.out and self._waiting() > 0
        return Inspection(time.monotonic(), self._signs.turned, self._signs.received, fleet.last_heartbeat, wanting)

    def _waiting(self) -> int:
        return sum(self._state.ask_all(*(("LLEN", self._state.key(queue)) for queue in QUEUES.values())))

    def _end(self, stopped: str) -> None:
        """Drains as at SIGTERM, but without Celery, which may be what has stopped."""
        main = sys._current_frames().get(threading.main_thread().ident or 0)  # noqa: SLF001 - the documented way to it
        where = "".join(traceback.format_stack(main, limit=8))
        log.error(
            "stopped: this worker drains and ends, to be started again", what=stopped, seconds=self._limit, stack=where
        )
        try:
            self._tools.stopping.set()
            until = time.monotonic() + self._grace
            while self._tools.fleet.hands.snapshot() and time.monotonic() < until:
                time.sleep(0.1)
            self._leave()
        finally:
            os._exit(EXIT)
