"""Spells of a Redis that refuses or is silent: each is logged once, and its end, however many threads meet it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from restyle.errors import StateUnavailable

#: What is logged: how a spell began; or, with None, that the last one is over, after so many seconds.
Listener = Callable[[StateUnavailable | None, float], None]


class Spells:
    """Where every thread of a process says how Redis has answered it."""

    def __init__(self) -> None:
        """Nobody listens yet."""
        self._lock = threading.Lock()
        self._listener: Listener | None = None
        self._now: StateUnavailable | None = None
        self._codes: set[str] = set()
        self._since = 0.0

    def listen(self, listener: Listener) -> None:
        """Takes what logs each spell."""
        self._listener = listener

    @property
    def is_reported(self) -> bool:
        """Whether a spell lasts that the listener knows of."""
        return self._now is not None and self._listener is not None

    @property
    def now(self) -> StateUnavailable | None:
        """The spell that lasts; None where Redis has taken the last script."""
        return self._now

    def begin(self, trouble: StateUnavailable) -> None:
        """Redis has refused, or not answered; of a spell each code is logged once."""
        with self._lock:
            if self._now is None:
                self._since = time.monotonic()
                self._codes.clear()
            is_new = trouble.refusal not in self._codes
            self._codes.add(trouble.refusal)
            self._now = trouble
        if is_new and self._listener:
            self._listener(trouble, 0.0)

    def end(self, *, taken_when_full: bool = False) -> None:
        """Redis has taken a write; one that a full Redis takes too says nothing of its memory."""
        now = self._now  # nearly always None, and no lock is needed to see it
        if now is None or (taken_when_full and now.refusal == "OOM"):
            return
        with self._lock:
            lasted, seconds = self._now is not None, time.monotonic() - self._since
            self._now = None
        if lasted and self._listener:
            self._listener(None, seconds)
