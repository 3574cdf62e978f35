"""The paid answers of this process that S3 has not taken yet: while there is one, the process makes no new call."""

from __future__ import annotations

import threading


class Unsaved:
    """A gate before calls, closed by each answer that S3 does not take. Safe to share among threads."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self._open.set()
        self._answers: set[object] = set()
        self._lock = threading.Lock()

    def is_set(self) -> bool:
        """Whether calls may begin."""
        return self._open.is_set()

    def wait(self, timeout: float) -> bool:
        """Waits until calls may begin, for so many seconds at most; whether they may."""
        return self._open.wait(timeout)

    def add(self, answer: object) -> None:
        """Closes the gate for an answer."""
        with self._lock:
            self._answers.add(answer)
            self._open.clear()

    def remove(self, answer: object) -> None:
        """Opens the gate where no other answer closes it: this one is stored, or lies where others find it.

        An answer leaves its thread by more ways than one. One that left without this kept the process from calling for
        good, and its heartbeat kept the jobs that it held from everybody else.
        """
        with self._lock:
            self._answers.discard(answer)
            if not self._answers:
                self._open.set()

    def clear(self) -> None:
        """Opens the gate: S3 takes answers again, and those that are left will be taken at their next try."""
        with self._lock:
            self._answers.clear()
            self._open.set()
