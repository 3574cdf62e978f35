"""Bounds the memory for pictures: a large one waits until others have been sent, so that the process is not killed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

#: Bytes of pictures that a process holds between fetching and sending; a larger one waits until it is alone.
DEFAULT_BYTES = 128 * 1024 * 1024


class MemoryBudget:
    """A budget of bytes, shared among threads."""

    def __init__(self, size: int = DEFAULT_BYTES) -> None:
        """Starts empty."""
        self._size = size
        self._held = 0
        self._changed = threading.Condition()

    @contextmanager
    def reserve(self) -> Iterator[Reservation]:
        """A reservation, of nothing at first; released at the end, whatever happens."""
        reservation = Reservation(self)
        try:
            yield reservation
        finally:
            reservation.keep(0)

    def take(self, size: int) -> None:
        """Waits until that many bytes are free, or nothing is reserved at all."""
        with self._changed:
            self._changed.wait_for(lambda: not self._held or self._held + size <= self._size)
            self._held += size

    def release(self, size: int) -> None:
        """Releases that many bytes; a negative number takes them without waiting."""
        with self._changed:
            self._held -= size
            self._changed.notify_all()


@dataclass
class UploadBuffer:
    """A picture until it is sent. The sender takes it out, so that a call in flight holds no picture.

    Its reservation lasts until it is sent: many large ones at once may take long.
    """

    data: bytes
    reservation: Reservation

    def hand_over(self) -> bytes:
        """The picture, which from here on only the caller holds."""
        assert self.data, "a picture is handed over once, and none is paid for that is not there"
        data, self.data = self.data, b""
        return data

    def sent(self) -> None:
        """Releases the picture and its reservation."""
        self.data = b""
        self.reservation.keep(0)


class Reservation:
    """The reservation of one job."""

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self._size = 0

    def take(self, size: int) -> None:
        """Reserves memory for a picture, waiting for it. Releases what it held first, so that no two jobs block."""
        self.keep(0)
        self._budget.take(size)
        self._size = size

    def keep(self, size: int) -> None:
        """Changes the reservation to that many bytes, without waiting: where it grows, others wait."""
        if size != self._size:
            self._budget.release(self._size - size)
            self._size = size
