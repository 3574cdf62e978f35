"""Groups of processes that the commands of one folder share: joined where they are up, else started; ended by the last.

Each group has a keeper (apps/keeper.py) and, in `$RESTYLE_HOME/run/`, four files: `<group>.lock`, which its keeper
holds alone; `<group>.users`, which each command that uses it holds together with the others, so that the kernel counts
them; `<group>.json`, its story, there while it can be joined (mode 0600, it holds passwords); and `<group>.stays`,
there where it outlives its users. docs/decisions/0029 tells why.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apps.locks import Lock, is_held_alone
from restyle.errors import ConfigurationError, StateUnavailable

#: Seconds that a group may take to answer.
START_TIMEOUT = 20.0
#: Seconds after which a command says what it waits for.
PATIENCE = 1.5
#: Seconds until a keeper whose patience was ended must be gone.
KILL_TIMEOUT = 10.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Made:
    """What a group is started with."""

    children: list[dict[str, Any]]
    #: Its story, for those who join.
    story: dict[str, Any]
    #: Whether it answers.
    answers: Callable[[], bool] = lambda: True


@dataclass(frozen=True)
class Group:
    """A group as a command wants it."""

    name: str
    make: Callable[[], Made]
    #: Groups that its children need to their end.
    uses: tuple[str, ...] = ()
    #: Refuses one that is up and does not fit.
    check: Callable[[dict[str, Any]], None] = lambda _story: None


@dataclass
class Member:
    """One command's part in a group that is up."""

    group: Group
    users: Lock
    #: None until the group is up.
    story: dict[str, Any] | None = None
    #: Whether this command has started it.
    is_started_here: bool = False
    keeper: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        """The group's."""
        return self.group.name


class Ending(Exception):
    """A group is up and can be joined no more."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


@dataclass(frozen=True)
class Home:
    """`$RESTYLE_HOME`: the folder of one embedded stack."""

    path: Path
    #: Seconds that a group may take to end, its calls in flight included.
    end_timeout: float
    say: Say = field(default=lambda _text: None)

    def folder(self, name: str) -> Path:
        """A folder in it, which only its owner can enter."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.path / name
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    def run(self, name: str) -> Path:
        """A file of the running stack."""
        return self.path / "run" / name

    def log(self, name: str) -> Path:
        """The log of a child."""
        return self.folder("logs") / f"{name}.log"

    def secret(self, name: str, text: str) -> Path:
        """Writes a file that only its owner can read."""
        path = self.folder("run") / name
        draft = path.with_suffix(".new")
        with os.fdopen(os.open(draft, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
        draft.replace(path)
        return path

    def child(self, name: str, argv: list[str], *, env: dict[str, str] | None = None, **how: Any) -> dict[str, Any]:
        """What a keeper is told of a child."""
        defaults = {"restart": True, "grace": 10.0}
        return {
            "name": name,
            "argv": argv,
            "env": env or dict(os.environ),
            "log": str(self.log(name)),
            **defaults,
            **how,
        }

    # -- joining -------------------------------------------------------------------------------------------

    @contextmanager
    def groups(self, wanted: Sequence[Group], *, detach: bool) -> Iterator[list[Member]]:
        """Groups that are up for as long as this lasts, and longer where others use them, or they are detached.

        Raises:
            ConfigurationError: one cannot be started, or is up and does not fit.
            StateUnavailable: one that is ending does not end.
        """
        members = self._joined(wanted, detach=detach)
        with ExitStack() as leaving:
            for member in members:
                leaving.callback(self._leave, member)
            yield members

    def _joined(self, wanted: Sequence[Group], *, detach: bool) -> list[Member]:
        while True:
            members: list[Member] = []
            try:
                with self.turn("start", "Another command is starting or ending the stack of this folder"):
                    for group in wanted:
                        members.append(self._member(group))  # noqa: PERF401 - what was joined is left where one fails
                    self._start([member for member in members if member.story is None], detach=detach)
                    for member in members if detach else ():
                        self.run(f"{member.name}.stays").touch()
            except BaseException as error:
                for member in reversed(members):
                    self._leave(member)
                if not isinstance(error, Ending):
                    raise
                self._wait_for_end(error.name)
            else:
                return members

    def _member(self, group: Group) -> Member:
        """A part in a group: of one that is up, or of one that is to be started.

        Raises:
            Ending: it is up and can be joined no more.
        """
        member = Member(group, Lock(self.folder("run") / f"{group.name}.users"))
        try:
            if not member.users.share():
                raise Ending(group.name)
            if is_held_alone(self.run(f"{group.name}.lock")):
                member.story = self.story(group.name)
                if member.story is None:
                    raise Ending(group.name)
                group.check(member.story)
        except BaseException:
            member.users.close()
            raise
        return member

    def story(self, name: str) -> dict[str, Any] | None:
        """What is told of a group that can be joined; None where it is not up, or is ending."""
        try:
            told: dict[str, Any] = json.loads(self.run(f"{name}.json").read_text())
        except (OSError, ValueError):
            return None
        return told if is_held_alone(self.run(f"{name}.lock")) else None

    def _wait_for_end(self, name: str) -> None:
        """Waits until a group that is ending is gone.

        Raises:
            StateUnavailable: it does not end in time.
        """
        began, told = time.monotonic(), False
        while is_held_alone(self.run(f"{name}.lock")) or is_held_alone(self.run(f"{name}.users")):
            waited = time.monotonic() - began
            if waited > PATIENCE and not told:
                told = True
                self.say("The last stack of this folder is still ending: its calls in flight are stored first. Waiting")
            if waited > self.end_timeout:
                raise StateUnavailable(
                    f"the stack of {self.path} is still ending after {waited:.0f} s; look at {self.path / 'logs'},"
                    " and type this again, or `restyle stop` to end it now"
                )
            time.sleep(0.05)

    # -- starting ------------------------------------------------------------------------------------------

    def _start(self, members: list[Member], *, detach: bool) -> None:
        """Starts groups, all at a time; another port is tried where one was taken meanwhile."""
        waiting = list(members)
        for last in (False, False, True):
            made = [member.group.make() for member in waiting]
            for member, one in zip(waiting, made, strict=True):
                member.keeper = self._keep(member.group, one, detach=detach)
            failed = []
            for member, one in zip(waiting, made, strict=True):
                assert member.keeper is not None
                if self._answers(member, one):
                    member.story, member.is_started_here = {**one.story, "pid": member.keeper.pid}, True
                    self.secret(f"{member.name}.json", json.dumps(member.story))
                    continue
                self._end_keeper(member.keeper)
                failed.append(member)
                if last:
                    raise ConfigurationError(f"the embedded {member.name} did not start:\n{tails(one.children)}")
            waiting = failed

    def _answers(self, member: Member, made: Made) -> bool:
        """Whether a group that was just started comes up: its keeper holds its lock, and its children answer."""
        deadline, lock = time.monotonic() + START_TIMEOUT, self.run(f"{member.name}.lock")
        while time.monotonic() < deadline and member.keeper and member.keeper.poll() is None:
            if is_held_alone(lock) and made.answers():
                return True
            time.sleep(0.02)
        return False

    def _keep(self, group: Group, made: Made, *, detach: bool) -> subprocess.Popen[bytes]:
        """Starts a group's keeper."""
        for name in ("json", "stays"):
            self.run(f"{group.name}.{name}").unlink(missing_ok=True)
        if detach:
            self.run(f"{group.name}.stays").touch()
        keeper = subprocess.Popen(
            # -P: no module of the current folder takes the place of ours, or of Python's.
            [sys.executable, "-P", "-m", "apps.keeper"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            stderr=self.log("keeper").open("ab"), start_new_session=True,
        )  # fmt: skip
        files = {name: str(self.run(f"{group.name}.{name}")) for name in ("lock", "users", "stays", "deaths")}
        uses = [str(self.run(f"{name}.users")) for name in group.uses]
        told = {**files, "story": str(self.run(f"{group.name}.json")), "uses": uses, "children": made.children}
        assert keeper.stdin is not None
        keeper.stdin.write(json.dumps(told).encode() + b"\n")
        keeper.stdin.close()
        return keeper

    # -- leaving -------------------------------------------------------------------------------------------

    def _leave(self, member: Member) -> None:
        """Parts with a group; the last one ends it, and waits for its end. Ctrl-C meanwhile ends it at once."""
        with self.turn("start", "Another command is starting or ending the stack of this folder"):
            # One after the other: of two that leave together, one is the last.
            is_last = member.users.alone()
        try:
            if is_last and not self.run(f"{member.name}.stays").exists():
                self._wait_for_keeper(member)
        finally:
            member.users.close()

    def _wait_for_keeper(self, member: Member) -> None:
        """Has a keeper end, and waits for it: one of this process may not have taken its lock yet."""
        lock, own = self.run(f"{member.name}.lock"), member.keeper
        try:
            self._signal(member)
            while is_held_alone(lock) or (own and own.poll() is None):
                time.sleep(0.02)
        except KeyboardInterrupt:
            self._signal(member)
            deadline = time.monotonic() + KILL_TIMEOUT
            while is_held_alone(lock) and time.monotonic() < deadline:
                time.sleep(0.02)
            raise

    def _signal(self, member: Member) -> None:
        if member.keeper is not None:
            member.keeper.terminate()
        else:
            self.signal(member.name)

    def _end_keeper(self, keeper: subprocess.Popen[bytes]) -> None:
        """Ends a keeper that this process has started, and whose group nobody has joined."""
        keeper.terminate()
        keeper.wait()

    # -- from outside --------------------------------------------------------------------------------------

    def signal(self, name: str) -> None:
        """Sends SIGTERM to a group's keeper, where there is one."""
        lock = self.run(f"{name}.lock")
        try:
            if is_held_alone(lock):
                # Keepers of older versions stand in the story alone.
                os.kill(int(lock.read_text() or (self.story(name) or {})["pid"]), signal.SIGTERM)
        except (ProcessLookupError, FileNotFoundError, ValueError, KeyError):
            return

    def up(self) -> list[str]:
        """The groups whose keepers live, those that are ending too."""
        found = sorted(path.stem for path in (self.path / "run").glob("*.lock"))
        return [name for name in found if is_held_alone(self.run(f"{name}.lock"))]

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
            told: dict[str, tuple[int, int | None]] = json.loads(self.run(f"{name}.deaths").read_text())
        except (OSError, ValueError):
            return {}
        return told

    @contextmanager
    def turn(self, name: str, why: str) -> Iterator[None]:
        """Something that one command of this folder does at a time; says what it waits for where that takes long."""
        lock = Lock(self.folder("run") / f"{name}.turn")
        began, told = time.monotonic(), False
        try:
            while not lock.alone():
                if time.monotonic() - began > PATIENCE and not told:
                    told = True
                    self.say(f"{why}. Waiting")
                time.sleep(0.02)
            yield
        finally:
            lock.close()


def tails(children: list[dict[str, Any]], lines: int = 8) -> str:
    """The last lines of the children's logs."""
    return "\n".join(f"{child['name']}: {line}" for child in children for line in tail(Path(child["log"]), lines))


def tail(log: Path, lines: int) -> list[str]:
    """The last lines of a log; none where there is no log."""
    try:
        return log.read_text(errors="replace").splitlines()[-lines:]
    except OSError:
        return []
