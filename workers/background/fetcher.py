"""Fetches inputs from the web beside the jobs, in threads of their own: no call waits for a web server.

One thread takes tickets, and each is worked on by another, so many at a time as there are slots. A worker that dies
says nothing of its tickets any more, and they are taken by others.
"""

from __future__ import annotations

import threading
import time
from collections import Counter

import structlog

from restyle.coordination.fetches import LEASE, Fetches, HostPace, Ticket
from restyle.errors import StateUnavailable
from tasks.fetch import FetchTask, HostPatience
from tasks.resources import Resources

log = structlog.get_logger("restyle.fetch")


class FetchThread(threading.Thread):
    """Takes tickets until it is stopped."""

    def __init__(self, resources: Resources) -> None:
        super().__init__(name="fetcher", daemon=True)
        settings = resources.settings
        self._tools = resources.tools
        self._fetches = Fetches(resources.state)
        self._pace = HostPace(settings.fetch_per_host, settings.fetch_per_minute)
        self._idle = settings.dispatch_seconds
        patience = HostPatience(
            settings.max_attempts, settings.backoff_base, settings.backoff_max, settings.probe_seconds,
            settings.probe_max, settings.fetch_patience,
        )  # fmt: skip
        self._task = FetchTask(resources, self._fetches, patience)
        self._free = threading.Semaphore(settings.fetch_slots)
        self._hands: set[Ticket] = set()
        self._lock = threading.Lock()
        self._over = threading.Event()

    def stop(self) -> None:
        """Takes no more, and gives back what is not decided: a web server may take minutes."""
        self._over.set()
        for ticket in self._snapshot():
            try:
                self._fetches.end(ticket, "again")
            except StateUnavailable:
                return  # the leases end

    def run(self) -> None:
        """Takes; an error costs one turn, never the thread."""
        pause, renewed = self._idle, time.monotonic()
        while not self._over.wait(pause):
            try:
                if time.monotonic() - renewed > LEASE / 3:
                    self._fetches.renew(self._snapshot())
                    renewed = time.monotonic()
                pause = self._turn()
            except StateUnavailable:
                pause = self._idle
            except Exception:
                log.exception("no ticket")
                pause = self._idle

    def _turn(self) -> float:
        """Takes one ticket; the seconds after which to take another."""
        if self._tools.stopping.is_set() or self._tools.rotation.out:
            return self._idle
        if not self._free.acquire(timeout=1):
            return 0.0
        ticket: Ticket | float = self._idle
        try:
            ticket = self._fetches.take(self._pace, busy=self._busy())
        finally:
            if not isinstance(ticket, Ticket):
                self._free.release()
        if isinstance(ticket, float):
            return min(ticket, self._idle)
        with self._lock:
            self._hands.add(ticket)
        threading.Thread(target=self._work, args=(ticket,), name="fetch", daemon=True).start()
        return 0.0

    def _work(self, ticket: Ticket) -> None:
        try:
            self._task.work(ticket)
        finally:
            with self._lock:
                self._hands.discard(ticket)
            self._free.release()

    def _busy(self) -> list[str]:
        """Hosts that this worker alone asks as much as the fleet may: Redis may have forgotten who asks."""
        counts = Counter(ticket.host for ticket in self._snapshot())
        return [host for host, count in counts.items() if count >= self._pace.in_flight]

    def _snapshot(self) -> list[Ticket]:
        with self._lock:
            return list(self._hands)
