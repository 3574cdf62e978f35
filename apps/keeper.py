"""`python -m apps.keeper`: a process that keeps a group of children alive, and ends them all when it should end.

It should end at SIGTERM, and when the command that started it is gone (its standard input is then at an end),
even by kill -9. On Linux the children end with the keeper in every case (PR_SET_PDEATHSIG). It holds a lock on a
file as long as it lives, by which other commands know that the group is up.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

#: Seconds that children get to end when the command that wanted them was killed: nobody waits for them then, but a
#: call in flight is paid for, and most end in a few seconds.
ORPHANED_GRACE = 30.0
#: Bytes of a log at which a new one is begun at the next start.
LOG_BYTES = 5_000_000


@dataclass
class Child:
    """A process in the keeper's care."""

    name: str
    argv: list[str]
    env: dict[str, str]
    log: str
    #: Whether it is started again when it ends by itself.
    restart: bool
    #: Seconds that it gets to end after SIGTERM.
    grace: float
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    due: float = 0.0

    def start(self) -> None:
        """Starts it, out of reach of the terminal's Ctrl-C."""
        path = Path(self.log)
        if path.exists() and path.stat().st_size > LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
        with path.open("ab") as log:
            self.process = subprocess.Popen(
                self.argv, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, preexec_fn=end_with_parent,  # noqa: PLW1509 - this process has one thread
            )  # fmt: skip
        self.starts += 1

    def mind(self, now: float) -> None:
        """Starts it again where it has ended by itself; later each time."""
        if not self.restart or self.process is None or self.process.poll() is None:
            return
        if not self.due:
            self.due = now + min(30.0, 2.0 ** min(self.starts - 1, 5))
        elif now >= self.due:
            self.due = 0.0
            self.start()


@dataclass
class Keeper:
    """The children, in the order of their start; they end in the opposite order."""

    children: list[Child]
    lifeline: bool
    #: Locks of other keepers, whose children need these to the end.
    outlives: list[str]
    stops: int = field(default=0)

    def keep(self) -> None:
        """Keeps the children until it is time to end."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._stop)
        for child in self.children:
            child.start()
        orphaned = False
        while not self.stops and not orphaned:
            orphaned = self._wait()
            for child in self.children:
                child.mind(time.monotonic())
        if orphaned:
            self._wait_for_others()
        for child in reversed(self.children):
            self._end(child, min(child.grace, ORPHANED_GRACE) if orphaned else child.grace)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stops += 1

    def _wait(self) -> bool:
        """Waits a moment; True where the one who wanted the children is gone."""
        if not self.lifeline:
            time.sleep(0.2)
            return False
        readable, _, _ = select.select([0], [], [], 0.2)
        return bool(readable) and os.read(0, 1024) == b""

    def _wait_for_others(self) -> None:
        """The worker stores what it has in hand before the servers go."""
        deadline = time.monotonic() + ORPHANED_GRACE + 2
        while any(map(is_locked, self.outlives)) and time.monotonic() < deadline and not self.stops:
            time.sleep(0.05)

    def _end(self, child: Child, grace: float) -> None:
        """SIGTERM, patience, SIGKILL; a second SIGTERM to the keeper ends the patience."""
        process = child.process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        deadline = time.monotonic() + grace
        while process.poll() is None and time.monotonic() < deadline and self.stops < 2:
            time.sleep(0.02)
        if process.poll() is None:
            process.kill()
            process.wait()


def end_with_parent() -> None:
    """Lets a child be killed when this process ends in whatever way (Linux); runs between fork and exec."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def is_locked(path: str) -> bool:
    """Whether the keeper of another group lives."""
    try:
        with Path(path).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def read_line() -> bytes:
    """One line of standard input, and not a byte more: its end is the lifeline."""
    line = b""
    while not line.endswith(b"\n") and (more := os.read(0, 1)):
        line += more
    return line


def main() -> None:
    """Reads from standard input, in one line, what to keep; holds the lock; keeps."""
    told: dict[str, Any] = json.loads(read_line())
    lock = os.open(told["lock"], os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        sys.exit("another keeper holds the lock")
    Keeper([Child(**child) for child in told["children"]], told["lifeline"], told["outlives"]).keep()


if __name__ == "__main__":
    main()
