"""Which runs the commands of one folder are following, so that none of them stops another's.

Each command holds a shared lock of its run; the kernel releases it with the process. Without an embedded stack there
are no locks, since a fleet's runs do not depend on the commands of a folder.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from apps.stack.home import Home
from apps.stack.locks import Lock

#: Most seconds that a command which leaves a run, or checks its lock, holds the lock alone.
LEAVING = 30.0


@dataclass(frozen=True)
class Driving:
    """The locks of one command."""

    home: Home
    is_embedded: bool
    _held: dict[str, Lock] = field(default_factory=dict)

    def take(self, run_id: str) -> None:
        """Takes the shared lock of a run; waits for a command that is just leaving it."""
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
        """Stops following a run. True where no other command follows it, and none can before this command ends."""
        lock = self._held.get(run_id)
        return lock is None or lock.alone()

    def is_driven(self, run_id: str) -> bool:
        """Whether any other command follows a run; to be called within `planning`."""
        if run_id in self._held or not self._path(run_id).exists():
            return False
        lock = Lock(self._path(run_id))
        try:
            return not lock.alone()
        finally:
            lock.close()

    def tidy(self) -> None:
        """Removes the locks of runs that nobody follows any more; to be called within `planning`."""
        for path in self.home.run("driven").glob("*"):
            lock = Lock(path)
            if path.name not in self._held and lock.alone():
                path.unlink(missing_ok=True)
            lock.close()

    @contextmanager
    def planning(self) -> Iterator[None]:
        """Within it no other command of the folder checks unfinished runs or begins one."""
        if not self.is_embedded:
            yield
            return
        with self.home.turn("plan", "Another command of this folder is planning"):
            yield

    def _path(self, run_id: str) -> Path:
        return self.home.run("driven") / run_id
