"""`$RESTYLE_HOME`: the folder of one embedded stack, and the state of its groups that commands read there."""

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

#: The module of the keepers.
KEEPER = "apps.stack.keeper"
#: Seconds of waiting after which a command says what it waits for.
PATIENCE = 1.5
#: Seconds within which a keeper must be gone after a second signal.
KILL_TIMEOUT = 10.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Home:
    """The folder. Files in it that are not this user's alone are refused.

    Each group has files in its `run/` (apps/stack/groups.py).
    """

    path: Path
    #: Seconds that a group may take to end, its calls in flight included.
    end_timeout: float
    say: Say = field(default=lambda _text: None)

    def folder(self, name: str) -> Path:
        """Makes a folder in it that only this user can enter; checks it where it exists.

        Raises:
            NotOurs: it exists, and is not this user's alone.
        """
        path = private.make_folder(self.path)
        for part in name.split("/"):
            path = private.make_folder(path / part)
        return path

    def check(self) -> None:
        """Checks that only this user can have written the files of groups, where there are any.

        Raises:
            NotOurs: others can have.
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
        """The description of a child for its keeper."""
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

    def description(self, name: str) -> dict[str, Any] | None:
        """The description of a group that can be joined; None where it is not up, or is ending.

        Raises:
            NotOurs: others can have written it.
        """
        self.check()
        try:
            description: dict[str, Any] = json.loads(private.read(self.run(f"{name}.json")))
        except (OSError, ValueError):
            return None
        return description if is_held_alone(self.run(f"{name}.lock")) else None

    def signal(self, name: str) -> None:
        """Sends SIGTERM to a group's keeper, where there is one.

        Raises:
            NotOurs: the process that is named there is no keeper of this group.
        """
        lock = self.run(f"{name}.lock")
        try:
            if is_held_alone(lock):
                pids.end(int(private.read(lock)), KEEPER, lock)
        except (ProcessLookupError, FileNotFoundError, ValueError):
            return

    def up(self) -> list[str]:
        """The groups whose keepers run, also those that are ending.

        Raises:
            NotOurs: others can have written the files.
        """
        self.check()
        names = sorted(path.stem for path in (self.path / "run").glob("*.lock"))
        return [name for name in names if is_held_alone(self.run(f"{name}.lock"))]

    def end(self, name: str, timeout: float) -> bool:
        """Ends a group, whoever uses it, and waits; only waits where it is ending already. True where it is gone."""
        lock = self.run(f"{name}.lock")
        if self.description(name) is not None:  # a second signal would cut off its calls in flight
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
        """Within it no other command of this folder has the same turn; says what it waits for where that takes long.

        Raises:
            StateUnavailable: another command has had the turn for `timeout` seconds.
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
            with suppress(OSError):  # on a full disk nobody learns who has the turn
                lock.write(str(os.getpid()))
            yield
        finally:
            lock.close()


def tails(children: list[dict[str, Any]]) -> str:
    """The last lines of the children's logs."""
    return "\n".join(f"{child['name']}: {line}" for child in children for line in tail(Path(child["log"]), 8))


def tail(log: Path, lines: int) -> list[str]:
    """The last lines of a log; none where there is no log."""
    try:
        with os.fdopen(private.open_file(log, os.O_RDONLY), errors="replace") as file:
            return file.read().splitlines()[-lines:]
    except OSError:
        return []
