"""`python -m apps.stack.keeper`: a process that keeps a group of children alive, and ends them when it ends itself.

It ends at SIGTERM, and when no command uses the group any more, however those commands ended: each of them holds the
group's lock of users. On Linux the children end with the keeper in every case (PR_SET_PDEATHSIG). Its own lock shows
other commands that the group is up, and the group's description that it can be joined; a keeper that ends removes the
description first.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from apps.stack.locks import Lock
from restyle.runtime import core_dumps, private

#: Bytes of a log from which on the next start begins a new one.
LOG_BYTES = 5_000_000
#: Seconds that a child must live to count as started: what dies sooner will most likely die again.
STARTED = 10.0
#: Most seconds for which other commands, which only check the keeper's own lock, hold it together.
SHARED_FOR = 2.0


@dataclass
class Child:
    """A process that the keeper keeps alive."""

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
    #: How often in a row it has ended by itself soon after its start.
    deaths: int = 0
    began: float = 0.0
    due: float = 0.0

    def start(self) -> None:
        """Starts it, out of reach of the terminal's Ctrl-C."""
        path = Path(self.log)
        if path.exists() and path.stat().st_size > LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
        with private.open_log(path) as log:
            self.process = subprocess.Popen(
                self.argv, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, preexec_fn=end_with_parent,  # noqa: PLW1509 - this process has one thread
            )  # fmt: skip
        self.starts += 1
        self.began = time.monotonic()

    def mind(self, now: float) -> bool:
        """Restarts it where it has ended by itself, after growing pauses; True where its count of deaths changed."""
        if not self.restart or self.process is None:
            return False
        has_lived = now - self.began >= STARTED
        if self.process.poll() is None:
            was_dying, self.deaths = self.deaths > 0, 0 if has_lived else self.deaths
            return was_dying and has_lived
        if not self.due:
            self.deaths = 1 if has_lived else self.deaths + 1
            self.due = now + min(30.0, 2.0 ** min(self.deaths - 1, 5))
            return True
        if now >= self.due:
            self.due = 0.0
            self.start()
        return False


@dataclass
class Keeper:
    """The children, in the order of their start; they end in the opposite order."""

    children: list[Child]
    #: Held together by every command, and every other keeper, that uses the group.
    users: Lock
    #: There while the group can be joined.
    description: Path
    #: There where the group stays up without users.
    stays: Path
    #: The file with how often the children die.
    deaths: Path
    stops: int = field(default=0)

    def keep(self) -> None:
        """Keeps the children alive until it has to end, and ends them."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._stop)
        self.deaths.unlink(missing_ok=True)
        for child in self.children:
            child.start()
        while not self.stops and not self._is_unused():
            time.sleep(0.1)
            changed = [child for child in self.children if child.mind(time.monotonic())]
            if changed:
                self._tell_deaths()
        self.description.unlink(missing_ok=True)
        for child in reversed(self.children):
            self._end(child)
        self.stays.unlink(missing_ok=True)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stops += 1

    def _is_unused(self) -> bool:
        """Whether nobody uses the group; if so, nobody can join it any more."""
        return not self.stays.exists() and self.users.alone()

    def _tell_deaths(self) -> None:
        """Writes how often in a row each child has died, and its last exit code."""
        counts = {child.name: [child.deaths, child.process and child.process.returncode] for child in self.children}
        try:
            private.write(self.deaths, json.dumps(counts))
        except OSError:  # a full disk, which is no reason to leave the children alone
            return

    def _end(self, child: Child) -> None:
        """Sends SIGTERM, waits, sends SIGKILL; a second SIGTERM to the keeper ends the wait."""
        process = child.process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        deadline = time.monotonic() + child.grace
        while process.poll() is None and time.monotonic() < deadline and self.stops < 2:
            time.sleep(0.02)
        if process.poll() is None:
            process.kill()
            process.wait()


def end_with_parent() -> None:
    """Has the system kill a child when this process ends, however it ends (Linux); runs between fork and exec."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def hold(path: Path) -> None:
    """Holds the group's lock for as long as this process lives: once it is free, no child is left."""
    lock, deadline = Lock(path), time.monotonic() + SHARED_FOR
    while not lock.alone():
        if time.monotonic() > deadline:
            sys.exit("another keeper holds the lock")
        time.sleep(0.02)
    lock.write(str(os.getpid()))


def main() -> None:
    """Reads the children and paths from one line of standard input, takes the locks, and keeps the children alive."""
    core_dumps.write_none()
    orders: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
    hold(Path(orders["lock"]))
    if not all(Lock(Path(path)).share() for path in orders["uses"]):
        sys.exit("a group that this one needs is ending")
    Keeper(
        [Child(**child) for child in orders["children"]],
        Lock(Path(orders["users"])), Path(orders["story"]), Path(orders["stays"]), Path(orders["deaths"]),
    ).keep()  # fmt: skip


if __name__ == "__main__":
    main()
