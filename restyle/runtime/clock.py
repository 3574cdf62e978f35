"""A clock that goes on while the machine sleeps: what has grown stale meanwhile is found stale."""

from __future__ import annotations

import time

#: Python's monotonic clock stands still while a laptop or a virtual machine sleeps (Linux: CLOCK_MONOTONIC).
_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", None)


def elapsed() -> float:
    """Seconds since some moment, the time asleep among them; for differences alone."""
    return time.monotonic() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)
