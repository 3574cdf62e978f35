"""Room for pictures in memory: a large one waits until others have been sent, rather than sinking the process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

#: Bytes of pictures that a process holds between fetching and sending; a larger one waits until it is alone.
ROOM = 128 * 1024 * 1024


class Room:
    """So many bytes, shared among threads."""

    def __init__(self, size: int = ROOM) -> None:
        """Starts empty."""
        self._size = size
        self._held = 0
        self._changed = threading.Condition()

    @contextmanager
    def hold(self) -> Iterator[Hold]:
        """A part of the room, nothing at first; given back at the end, whatever happens."""
        hold = Hold(self)
        try:
            yield hold
        finally:
            hold.keep(0)

    def take(self, size: int) -> None:
        """Waits until there is room for so many bytes, or nothing else in it."""
        with self._changed:
            self._changed.wait_for(lambda: not self._held or self._held + size <= self._size)
            self._held += size

    def give_back(self, size: int) -> None:
        """Makes room for others; with less than nothing, takes it from them."""
        with self._changed:
            self._held -= size
            self._changed.notify_all()


@dataclass
class Parcel:
    """A picture until it is sent: whoever sends it takes it, so that a call in flight holds no picture.

    Its room is kept for as long as the sending takes: many large ones at once may take long.
    """

    data: bytes
    hold: Hold

    def hand_over(self) -> bytes:
        """The picture, which from here on is only the receiver's."""
        assert self.data, "a picture is handed over once, and none is paid for that is not there"
        data, self.data = self.data, b""
        return data

    def sent(self) -> None:
        """Lets go of the picture and its room."""
        self.data = b""
        self.hold.keep(0)


class Hold:
    """What one job holds of the room."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._size = 0

    def take(self, size: int) -> None:
        """Takes the room for a picture; waits for it. What it had is given back: none waits for more while it holds."""
        self.keep(0)
        self._room.take(size)
        self._size = size

    def keep(self, size: int) -> None:
        """Holds so many bytes from here on: less is given back, for more it does not wait but has others wait."""
        if size != self._size:
            self._room.give_back(self._size - size)
            self._size = size
