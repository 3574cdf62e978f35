"""Patience with an S3 that throttles, fails or hangs up: for commands, which would otherwise end half-way.

A worker needs none: it returns the job, which is done again when S3 is well.
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

#: Longest waits, in seconds: for an S3 that throttles or answers errors, and for one that no longer answers.
THROTTLED, UNREACHABLE = 300.0, 60.0
#: The first pause and the longest one, in seconds; each is about twice the one before.
FIRST, _LONGEST = 0.5, 20.0
#: Seconds between two notices of a wait that goes on.
_AGAIN = 60.0

_all: weakref.WeakSet[Patience] = weakref.WeakSet()


class Patience:
    """Repeats failed requests after growing pauses. Safe among threads.

    It does not wait for an S3 that has never answered this process: its address may be wrong.
    """

    def __init__(
        self,
        waiting: Callable[[str], None],
        *,
        throttled: float = THROTTLED,
        unreachable: float = UNREACHABLE,
        first: float = FIRST,
    ) -> None:
        """Waits that many seconds from the first error of a request; `waiting` gets a sentence at intervals."""
        self._waiting = waiting
        self._first = first
        self._throttled, self._unreachable = throttled, unreachable
        self._has_answered = False
        self._last_logged = float("-inf")
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._is_gone: Callable[[], bool] = lambda: False
        _all.add(self)

    def unless(self, is_gone: Callable[[], bool]) -> None:
        """Waits for no S3 that is known to be gone for good."""
        self._is_gone = is_gone

    def end(self) -> None:
        """Ends all waits, in every thread: each request now fails with its next error."""
        self._over.set()

    def sit_out(self, ask: Callable[[], T]) -> T:
        """The result of `ask`, once it succeeds.

        Raises:
            StoreUnavailable: S3 is still in trouble; the last error.
        """
        since, pause = None, self._first
        while True:
            try:
                result = ask()
            except StoreUnavailable as error:
                self._has_answered |= error.http_status is not None
                since = since or time.monotonic()
                left = since + self._limit(error) - time.monotonic()
                if left <= 0 or self._is_gone():
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
                return result

    def _limit(self, error: StoreUnavailable) -> float:
        if self._over.is_set() or not self._has_answered:
            return 0.0
        return self._unreachable if error.http_status is None else self._throttled

    def _tell(self, error: StoreUnavailable, left: float) -> None:
        with self._lock:
            now = time.monotonic()
            if now - self._last_logged < _AGAIN:
                return
            self._last_logged = now
        self._waiting(f"{error.message}; waiting for it, up to {left:.0f} s (Ctrl-C ends it)")


def end_all() -> None:
    """Ends every patience of this process, which is about to end itself."""
    for patience in list(_all):
        patience.end()
