"""How long a message may wait in the queue until its job is taken for lost: by the rate at which jobs end."""

from __future__ import annotations

import time
from collections import deque

from config.celery_app import QUEUES
from restyle.coordination.runs.progress import Progress

#: However long the queue, what is pending is fed again after this many times the usual silence.
LONGEST_PATIENCE = 10


class QueuePace:
    """The rate at which all unfinished runs' jobs end."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        #: Jobs ended in all unfinished runs, by the monotonic time of each look.
        self._seen: deque[tuple[float, int]] = deque()

    def patience(self, least: float) -> float:
        """Seconds for which a pending job may simply be waiting in the queue: long where the queue is long.

        At least so many, and at most so many times that.
        """
        keys = [self._progress.state.key(queue) for queue in QUEUES.values()]
        waiting = sum(self._progress.state.ask_all(*(("LLEN", key) for key in keys)))
        done = sum(totals.planned - totals.pending for totals in self._progress.ledgers().values())
        now = time.monotonic()
        self._seen.append((now, done))
        while self._seen[0][0] < now - max(least, 60) and len(self._seen) > 2:
            self._seen.popleft()
        began, first = self._seen[0]
        if not waiting:
            return least
        rate = max(done - first, 0) / max(now - began, 1.0)
        most = LONGEST_PATIENCE * least
        return min(max(least, 2 * waiting / rate), most) if rate else most
