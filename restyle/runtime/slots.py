"""Slots for calls in flight: runs of high priority go first, equals in the order in which they came."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

#: The order of a run's priorities.
RANKS = {"high": 0, "normal": 1, "low": 2}


class Slots:
    """A semaphore whose waiters have a rank. Safe among threads."""

    def __init__(self, size: int) -> None:
        """Starts with that many free slots."""
        self._free = size
        self._waiting: list[tuple[int, int, threading.Event]] = []
        self._numbers = count()
        self._lock = threading.Lock()

    @contextmanager
    def one(self, priority: str) -> Iterator[None]:
        """Holds a slot."""
        turn = None
        with self._lock:
            if self._free and not self._waiting:
                self._free -= 1
            else:
                turn = threading.Event()
                heapq.heappush(self._waiting, (RANKS[priority], next(self._numbers), turn))
        if turn:
            turn.wait()
        try:
            yield
        finally:
            with self._lock:
                if self._waiting:
                    heapq.heappop(self._waiting)[2].set()
                else:
                    self._free += 1
