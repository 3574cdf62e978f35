"""Which runs the living commands of one folder follow to their end, so that none of them stops another's.

Each command holds the lock of its run together with the others that follow the same one; the kernel lets go of it with
the process. Nobody holds one where nothing is embedded: what a fleet does is no matter of a folder.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from apps.stack.home import Home
from apps.stack.locks import Lock

#: Seconds for which a command that leaves a run, or one that looks, may hold its lock alone.
LEAVING = 30.0


@dataclass(frozen=True)
class Driving:
    """The part of one command."""

    home: Home
    is_embedded: bool
    _held: dict[str, Lock] = field(default_factory=dict)

    def take(self, run_id: str) -> None:
        """Follows a run, as others may; waits for one that is just leaving it."""
        if run_id in self._held or not self.is_embedded:
            return
        path, deadline = self._path(run_id), time.monotonic() + LEAVING
        while True:
            lock = Lock(path)
            if (lock.share() and lock.is_at(path)) or time.monotonic() > deadline:
                self._held[run_id] = lock
                return
            lock.close()
            time.sleep(0.02)

    def leave(self, run_id: str) -> bool:
        """Follows a run no longer: True where nobody else does, and nobody begins to before this command's end."""
        lock = self._held.get(run_id)
        return lock is None or lock.alone()

    def is_driven(self, run_id: str) -> bool:
        """Whether any other command follows a run; asked by one command at a time (`planning`)."""
        if run_id in self._held or not self._path(run_id).exists():
            return False
        lock = Lock(self._path(run_id))
        try:
            return not lock.alone()
        finally:
            lock.close()

    def tidy(self) -> None:
        """Removes the locks of runs that nobody follows any more; by one command at a time (`planning`)."""
        for path in self.home.run("driven").glob("*"):
            lock = Lock(path)
            if path.name not in self._held and lock.alone():
                path.unlink(missing_ok=True)
            lock.close()

    @contextmanager
    def planning(self) -> Iterator[None]:
        """One command of the folder looks at what is unfinished, and begins a run, at a time."""
        if not self.is_embedded:
            yield
            return
        with self.home.turn("plan", "Another command of this folder is planning"):
            yield

    def _path(self, run_id: str) -> Path:
        return self.home.run("driven") / run_id
