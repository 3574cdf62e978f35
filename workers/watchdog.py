"""The watchdog: a worker that has stopped working drains, ends itself, and is started again by its supervisor.

Celery on Redis has hung before, alive and idle (celery #8030, #9054, kombu #2492): a socket that nobody closed, a loop
that waits for ever. What counts as stopped is decided by `Patience`, apart from clocks and threads.
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
    """Signs of life that others leave; monotonic seconds."""

    turned: float = 0.0
    """When Celery's loop last turned."""
    received: float = 0.0
    """When the last message came in."""

    def turn(self) -> None:
        """Notes that the loop has turned."""
        self.turned = time.monotonic()


@dataclass(frozen=True)
class Look:
    """What the watchdog saw while Redis answered and took writes; monotonic seconds."""

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
        """Redis did not answer, or refused: nothing can be expected of anybody, and all is counted anew."""
        self._redis_since = self._wanting_since = now

    def stopped(self, look: Look) -> str:
        """What has stopped; empty where nothing has."""
        if not look.wanting:
            self._wanting_since = look.at
        since = {
            "Celery's loop": max(look.turned, self._redis_since),
            "the heartbeat": max(look.beaten, self._redis_since),
            "the taking of messages": max(look.received, self._redis_since, self._wanting_since),
        }
        return next((name for name, moment in since.items() if look.at - moment > self._limit), "")


class Watchdog(threading.Thread):
    """Looks every few seconds; at the end of its patience it drains this worker and ends the process."""

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
            """A part of Celery's consumer, told at each start of the loop."""

            def register_with_event_loop(self, _consumer: Any, hub: Hub) -> None:
                signs.turn()
                hub.call_repeatedly(1.0, signs.turn)

        app.steps["consumer"].add(Pulse)

        @signals.task_received.connect(weak=False)
        def on_received(**_: Any) -> None:
            signs.received = time.monotonic()

    def run(self) -> None:
        """Looks until this worker drains; not at all where no patience is set."""
        if not self._limit:
            return
        patience = Patience(self._limit, time.monotonic())
        while not self._tools.stopping.wait(min(5.0, self._limit / 4)):
            try:
                look = self._look()
            except StateUnavailable:
                patience.away(time.monotonic())
                continue
            except Exception:
                # Whatever it is: nobody else would notice what this thread is there for.
                log.exception("no look at this worker")
                continue
            if stopped := patience.stopped(look):
                self._end(stopped)

    def _look(self) -> Look:
        fleet = self._tools.fleet
        # While writes are refused, nobody can say by a heartbeat that it lives.
        self._state.check_writes()
        free = len(fleet.hands.snapshot()) < self._threads
        wanting = free and not fleet.suspended and not self._tools.rotation.out and self._waiting() > 0
        return Look(time.monotonic(), self._signs.turned, self._signs.received, fleet.last_beat, wanting)

    def _waiting(self) -> int:
        return sum(self._state.ask_all(*(("LLEN", self._state.key(queue)) for queue in QUEUES.values())))

    def _end(self, stopped: str) -> None:
        """Drains as at SIGTERM, only that Celery, which may be what has stopped, is not asked to."""
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
