"""Locks between the commands of one folder, by flock: the kernel releases them with the process, also at kill -9.

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
        """Opens the file, which stays when nobody holds it any more.

        Raises:
            NotOurs: the path is a link, or somebody else's.
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
        # Some kernels drop the shared lock where it cannot become exclusive: dropped here, it is the same everywhere.
        fcntl.flock(self._file, fcntl.LOCK_UN)
        return False

    def write(self, text: str) -> None:
        """Replaces the file's content."""
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, text.encode(), 0)

    def is_at(self, path: Path) -> bool:
        """Whether the open file is the one at this path; not where somebody removed it meanwhile."""
        try:
            return os.path.samestat(os.fstat(self._file), path.stat())
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Releases it."""
        os.close(self._file)

    def _lock(self, how: int) -> bool:
        try:
            fcntl.flock(self._file, how | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def is_held_alone(path: Path) -> bool:
    """Whether a process holds the lock alone; checked by a shared lock, so several may check at once."""
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
