"""Patience with an S3 that throttles, fails or hangs up: for commands, which would otherwise end among their requests.

A worker needs none: there a job goes back and is done again when S3 is well.
"""

from __future__ import annotations

import random
import threading
import time
import weakref
from collections.abc import Callable
from typing import TypeVar

from restyle.errors import RestyleError, StoreUnavailable

T = TypeVar("T")

#: Seconds for which an S3 is waited for that throttles or fails, and one that has answered and no longer does.
THROTTLED, UNREACHABLE = 300.0, 60.0
#: The first pause and the longest one, in seconds; each is about twice the one before.
FIRST, _LONGEST = 0.5, 20.0
#: Seconds after which a wait that goes on is told of again.
_AGAIN = 60.0

_all: weakref.WeakSet[Patience] = weakref.WeakSet()


class Patience:
    """Asks again, after growing pauses, what S3 did not answer well. Safe among threads.

    An S3 that has not answered this process once is not waited for: its address may be wrong.
    """

    def __init__(
        self,
        waiting: Callable[[str], None],
        *,
        throttled: float = THROTTLED,
        unreachable: float = UNREACHABLE,
        first: float = FIRST,
    ) -> None:
        """Waits for so many seconds from the first error of a request on; `waiting` gets a sentence now and then."""
        self._waiting = waiting
        self._first = first
        self._throttled, self._unreachable = throttled, unreachable
        self._has_answered = False
        self._told = float("-inf")
        self._lock = threading.Lock()
        self._over = threading.Event()
        _all.add(self)

    def end(self) -> None:
        """Waits for nothing any more, here or in any thread: each request fails with its next error."""
        self._over.set()

    def sit_out(self, ask: Callable[[], T]) -> T:
        """The answer, when there is one.

        Raises:
            StoreUnavailable: S3 is still in trouble; the last error.
        """
        since, pause = None, self._first
        while True:
            try:
                found = ask()
            except StoreUnavailable as error:
                self._has_answered |= error.http_status is not None
                since = since or time.monotonic()
                left = since + self._limit(error) - time.monotonic()
                if left <= 0:
                    raise
                self._tell(error, left)
                if self._over.wait(min(left, random.uniform(0.5, 1) * pause)):
                    raise
                pause = min(2 * pause, _LONGEST)
            except RestyleError:
                self._has_answered = True
                raise
            else:
                self._has_answered = True
                return found

    def _limit(self, error: StoreUnavailable) -> float:
        if self._over.is_set() or not self._has_answered:
            return 0.0
        return self._unreachable if error.http_status is None else self._throttled

    def _tell(self, error: StoreUnavailable, left: float) -> None:
        with self._lock:
            now = time.monotonic()
            if now - self._told < _AGAIN:
                return
            self._told = now
        self._waiting(f"{error.message}; waiting for it, up to {left:.0f} s (Ctrl-C ends it)")


def end_all() -> None:
    """Ends every patience of this process, as the process itself is to end."""
    for patience in list(_all):
        patience.end()
