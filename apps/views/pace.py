"""The rate at which a run's jobs end, and the time that the rest takes at this rate."""

from __future__ import annotations

import time
from collections import deque

from apps.terminal.console import span_text

#: Seconds over which the rate is computed.
WINDOW = 60.0
#: Bars of the sparkline, and the seconds of each.
BARS, BAR_SECONDS = 30, 2.0
_LEVELS = "▁▂▃▄▅▆▇█"


class Pace:
    """Jobs ended a minute, over the last minute."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def add(self, done: int, *, ago: float = 0.0) -> None:
        """Records how many jobs have ended by now, or had ended `ago` seconds before; in order of time."""
        now = time.monotonic() - ago
        self._seen.append((now, done))
        while now - self._seen[0][0] > WINDOW:
            self._seen.popleft()

    @property
    def per_minute(self) -> float:
        """Jobs ended a minute."""
        (first, before), (last, after) = self._seen[0], self._seen[-1]
        return (after - before) / (last - first) * 60 if last - first > 0.5 else 0.0

    def left(self, pending: int) -> str:
        """How long the rest takes at this pace."""
        return span_text(pending / self.per_minute * 60) if self.per_minute > 0 else "?"

    @property
    def sparkline(self) -> str:
        """Jobs ended over the last minute as a row of bars, the newest at the right; empty at first."""
        (first, before), (last, _) = self._seen[0], self._seen[-1]
        bars = min(BARS, int((last - first) / BAR_SECONDS))
        counts = [0] * bars
        for at, done in self._seen:
            place = bars - 1 - int((last - at) / BAR_SECONDS)
            if 0 <= place < bars:
                counts[place] += done - before
            before = done
        most = max(counts, default=0)
        return "".join(_LEVELS[round(count / most * (len(_LEVELS) - 1))] for count in counts) if most else ""
