"""Locks of one folder's commands, by flock: the kernel releases them with the process, at kill -9 too.

Imports nothing that costs memory: keepers live as long as the stack.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from restyle.runtime import private


class Lock:
    """An open file that several processes hold together, or one alone."""

    def __init__(self, path: Path) -> None:
        """Opens the file, which stays when everybody is gone; only its owner can.

        Raises:
            NotOurs: what has its name is a link, or somebody else's.
        """
        private.make_folder(path.parent)
        self._file = private.open_file(path, os.O_CREAT | os.O_RDWR)

    def share(self) -> bool:
        """Holds it together with others; False where somebody holds it alone."""
        return self._lock(fcntl.LOCK_SH)

    def alone(self) -> bool:
        """Holds it alone; False where others hold it too: then this process holds nothing any more."""
        if self._lock(fcntl.LOCK_EX):
            return True
        # The kernel need not keep a shared lock where it cannot be made an exclusive one: the same everywhere.
        fcntl.flock(self._file, fcntl.LOCK_UN)
        return False

    def write(self, text: str) -> None:
        """Puts this into the file, in the place of all that was there."""
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, text.encode(), 0)

    def is_at(self, path: Path) -> bool:
        """Whether this very file lies there; not where somebody removed it meanwhile."""
        try:
            return os.path.samestat(os.fstat(self._file), path.stat())
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Lets go of it."""
        os.close(self._file)

    def _lock(self, how: int) -> bool:
        try:
            fcntl.flock(self._file, how | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def is_held_alone(path: Path) -> bool:
    """Whether a process holds the lock alone; who looks so disturbs nobody else who looks."""
    try:
        file = private.open_file(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False
