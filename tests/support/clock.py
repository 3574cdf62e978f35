"""How long a fault is to last: the one thing that takes time by itself."""

from __future__ import annotations

import time


class Clock:
    """Runs from its making."""

    def __init__(self, seconds: float) -> None:
        """Starts now."""
        self._until = time.monotonic() + seconds

    def wait(self) -> None:
        """Until it is over."""
        time.sleep(max(0.0, self._until - time.monotonic()))
