"""A clock that counts the time that the machine sleeps, so that what has expired meanwhile counts as expired."""

from __future__ import annotations

import time

#: Python's monotonic clock stands still while a laptop or a virtual machine sleeps (Linux: CLOCK_MONOTONIC).
_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", None)


def elapsed() -> float:
    """Seconds since some moment, time asleep included; only differences mean something."""
    return time.monotonic() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)
