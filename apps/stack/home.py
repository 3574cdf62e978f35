"""`$RESTYLE_HOME`: the folder of one embedded stack, and what every command can see there of its groups."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apps.stack import pids
from apps.stack.locks import Lock, is_held_alone
from restyle.errors import StateUnavailable
from restyle.runtime import private

#: The module that keeps a group.
KEEPER = "apps.stack.keeper"
#: Seconds after which a command says what it waits for.
PATIENCE = 1.5
#: Seconds until a keeper whose patience was ended must be gone.
KILL_TIMEOUT = 10.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Home:
    """The folder, of which nothing is believed that is not this user's.

    Each group has files in its `run/` (apps/stack/groups.py).
    """

    path: Path
    #: Seconds that a group may take to end, its calls in flight included.
    end_timeout: float
    say: Say = field(default=lambda _text: None)

    def folder(self, name: str) -> Path:
        """A folder in it, which only its owner can enter.

        Raises:
            NotOurs: there is one of somebody else's, or open to others.
        """
        path = private.make_folder(self.path)
        for part in name.split("/"):
            path = private.make_folder(path / part)
        return path

    def check(self) -> None:
        """Makes sure that what stands there of groups was written by this user; nothing may be there yet.

        Raises:
            NotOurs: others can have written it.
        """
        for path in (self.path, self.path / "run"):
            private.check_folder(path)

    def run(self, name: str) -> Path:
        """A file of the running stack."""
        return self.path / "run" / name

    def log(self, name: str) -> Path:
        """The log of a child."""
        return self.folder("logs") / f"{name}.log"

    def secret(self, name: str, text: str) -> Path:
        """Writes a file that only its owner can read."""
        path = self.folder("run") / name
        private.write(path, text)
        return path

    def child(self, name: str, argv: list[str], *, env: dict[str, str], **how: Any) -> dict[str, Any]:
        """What a keeper is told of a child."""
        defaults = {"restart": True, "grace": 10.0}
        return {
            "name": name,
            "argv": argv,
            "env": env,
            "log": str(self.log(name)),
            **defaults,
            **how,
        }

    # -- its groups ----------------------------------------------------------------------------------------

    def story(self, name: str) -> dict[str, Any] | None:
        """What is story of a group that can be joined; None where it is not up, or is ending.

        Raises:
            NotOurs: others can have written it.
        """
        self.check()
        try:
            story: dict[str, Any] = json.loads(private.read(self.run(f"{name}.json")))
        except (OSError, ValueError):
            return None
        return story if is_held_alone(self.run(f"{name}.lock")) else None

    def signal(self, name: str) -> None:
        """Sends SIGTERM to a group's keeper, where there is one.

        Raises:
            NotOurs: the process that stands there is no keeper of this group.
        """
        lock = self.run(f"{name}.lock")
        try:
            if is_held_alone(lock):
                # Keepers of older versions stand in the story alone.
                pids.end(int(private.read(lock) or (self.story(name) or {})["pid"]), KEEPER, lock)
        except (ProcessLookupError, FileNotFoundError, ValueError, KeyError):
            return

    def up(self) -> list[str]:
        """The groups whose keepers live, those that are ending too.

        Raises:
            NotOurs: others can have written what stands there.
        """
        self.check()
        names = sorted(path.stem for path in (self.path / "run").glob("*.lock"))
        return [name for name in names if is_held_alone(self.run(f"{name}.lock"))]

    def end(self, name: str, timeout: float) -> bool:
        """Ends a group, whoever uses it; one that is ending already is waited for. True where it is gone."""
        lock = self.run(f"{name}.lock")
        if self.story(name) is not None:  # a second signal would end the patience with its calls in flight
            self.signal(name)
        for patience in (timeout, KILL_TIMEOUT):
            deadline = time.monotonic() + patience
            while is_held_alone(lock) and time.monotonic() < deadline:
                time.sleep(0.05)
            if not is_held_alone(lock):
                return True
            self.signal(name)
        return False

    def deaths(self, name: str) -> dict[str, tuple[int, int | None]]:
        """How often in a row each child of a group has died soon after its start, and its last exit code."""
        try:
            counts: dict[str, tuple[int, int | None]] = json.loads(private.read(self.run(f"{name}.deaths")))
        except (OSError, ValueError):
            return {}
        return counts

    @contextmanager
    def turn(self, name: str, why: str, timeout: float = float("inf")) -> Iterator[None]:
        """Something that one command of this folder does at a time; says what it waits for where that takes long.

        Raises:
            StateUnavailable: the other command has not come to its end in so many seconds.
        """
        path = self.folder("run") / f"{name}.turn"
        lock, began, is_announced = Lock(path), time.monotonic(), False
        try:
            while not lock.alone():
                waited = time.monotonic() - began
                if waited > timeout:
                    raise StateUnavailable(f"{why} for {waited:.0f} s now: look at process {private.read(path)}")
                if waited > PATIENCE and not is_announced:
                    is_announced = True
                    self.say(f"{why} (process {private.read(path)}). Waiting")
                time.sleep(0.02)
            with suppress(OSError):  # on a full disk: nobody is told who has the turn
                lock.write(str(os.getpid()))
            yield
        finally:
            lock.close()


def tails(children: list[dict[str, Any]], lines: int = 8) -> str:
    """The last lines of the children's logs."""
    return "\n".join(f"{child['name']}: {line}" for child in children for line in tail(Path(child["log"]), lines))


def tail(log: Path, lines: int) -> list[str]:
    """The last lines of a log; none where there is no log."""
    try:
        with os.fdopen(private.open_file(log, os.O_RDONLY), errors="replace") as file:
            return file.read().splitlines()[-lines:]
    except OSError:
        return []
