"""Groups of processes that the commands of one folder share. A command joins or starts them; the last one ends them.

Each group has a keeper (apps/stack/keeper.py) and, in `$RESTYLE_HOME/run/`, four files: `<group>.lock`, which its
keeper holds alone; `<group>.users`, which each command that uses it holds together with the others, so that the kernel
counts them; `<group>.json`, its description, there while it can be joined (mode 0600, it holds passwords); and
`<group>.stays`, there where it outlives its users. Why: docs/decisions/0029.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from apps.stack.home import KEEPER, KILL_TIMEOUT, PATIENCE, Home, tails
from apps.stack.locks import Lock, is_held_alone
from apps.terminal.signals import is_urgent
from restyle.errors import ConfigurationError, StateUnavailable
from restyle.runtime import private
from restyle.runtime.environment import plain

#: Seconds that a group may take to answer.
START_TIMEOUT = 20.0
#: Seconds that one command may take to start or end its groups.
TURN_TIMEOUT = 4 * START_TIMEOUT

#: Deaths in a row, each soon after the start, from which on a child counts as unable to start.
DEATHS = 3

STARTING = "Another command is starting or ending the stack of this folder"


@dataclass(frozen=True)
class Made:
    """What is needed to start a group."""

    children: list[dict[str, Any]]
    #: Its description, for commands that join.
    description: dict[str, Any]
    #: Whether it answers.
    answers: Callable[[], bool] = lambda: True
    #: What to do where it does not start, by the end of its log.
    advice: Callable[[str], str] = lambda _log: ""


@dataclass(frozen=True)
class Group:
    """A group that a command needs."""

    name: str
    make: Callable[[], Made]
    #: Groups that its children need until they end.
    uses: tuple[str, ...] = ()
    #: Raises where a group that is up does not fit, by its description.
    check: Callable[[dict[str, Any]], None] = lambda _description: None


@dataclass
class Member:
    """One command's membership in a group."""

    group: Group
    users: Lock
    #: None until the group is up.
    description: dict[str, Any] | None = None
    #: Whether this command has started it.
    is_started_here: bool = False
    keeper: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        """The group's name."""
        return self.group.name


class Ending(Exception):
    """A group is up, but is ending and can no longer be joined."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


@dataclass(frozen=True)
class Groups:
    """The groups of one folder, as a command joins and leaves them."""

    home: Home

    # -- joining -------------------------------------------------------------------------------------------

    @contextmanager
    def joined(self, groups: Sequence[Group], *, detach: bool) -> Iterator[list[Member]]:
        """Has these groups up within the context, and longer where others use them, or they are detached.

        Raises:
            ConfigurationError: one cannot be started, or is up and does not fit.
            StateUnavailable: one that is ending does not end.
        """
        try:
            members = self._join(groups, detach=detach)
        except OSError as error:
            raise ConfigurationError(
                f"the embedded stack cannot be started in {self.home.path}: {error.strerror or error}. Set RESTYLE_HOME"
                " to a folder on a disk of this machine that you may write to, with room on it"
            ) from None
        with ExitStack() as leaving:
            for member in members:
                leaving.callback(self._leave, member)
            yield members

    def _join(self, groups: Sequence[Group], *, detach: bool) -> list[Member]:
        while True:
            members: list[Member] = []
            try:
                with self.home.turn("start", STARTING, TURN_TIMEOUT):
                    for group in groups:
                        members.append(self._member(group))  # noqa: PERF401 - those joined are left again where one fails
                    self._start([member for member in members if member.description is None], detach=detach)
                    for member in members if detach else ():
                        self._have_stay(member.name)
            except BaseException as error:
                for member in reversed(members):
                    self._leave(member)
                if not isinstance(error, Ending):
                    raise
                self._wait_for_end(error.name)
            else:
                return members

    def _member(self, group: Group) -> Member:
        """A membership in a group that is up; without a description where it is yet to be started.

        Raises:
            Ending: it is ending, and can no longer be joined.
        """
        member = Member(group, Lock(self.home.folder("run") / f"{group.name}.users"))
        try:
            if not member.users.share():
                raise Ending(group.name)
            if is_held_alone(self.home.run(f"{group.name}.lock")):
                member.description = self.home.description(group.name)
                if member.description is None:
                    raise Ending(group.name)
                group.check(member.description)
        except BaseException:
            member.users.close()
            raise
        return member

    def _wait_for_end(self, name: str) -> None:
        """Waits until a group that is ending is gone.

        Raises:
            StateUnavailable: it does not end in time.
        """
        began, is_announced = time.monotonic(), False
        while is_held_alone(self.home.run(f"{name}.lock")) or is_held_alone(self.home.run(f"{name}.users")):
            waited = time.monotonic() - began
            if waited > PATIENCE and not is_announced:
                is_announced = True
                self.home.say(
                    "The last stack of this folder is still ending: its calls in flight are stored first. Waiting"
                )
            if waited > self.home.end_timeout:
                raise StateUnavailable(
                    f"the stack of {self.home.path} is still ending after {waited:.0f} s; look at its logs/, and type"
                    " this again, or `restyle stop` to end it now"
                )
            time.sleep(0.05)

    # -- starting ------------------------------------------------------------------------------------------

    def _start(self, members: list[Member], *, detach: bool) -> None:
        """Starts groups, all at once; retries with other ports where one was taken meanwhile."""
        waiting = list(members)
        for last in (False, False, True):
            made = [member.group.make() for member in waiting]
            for member, one in zip(waiting, made, strict=True):
                member.keeper = self._keep(member.group, one, detach=detach)
            failed = []
            for member, one in zip(waiting, made, strict=True):
                assert member.keeper is not None
                if self._answers(member, one):
                    member.description, member.is_started_here = {**one.description, "pid": member.keeper.pid}, True
                    self.home.secret(f"{member.name}.json", json.dumps(member.description))
                    continue
                self._end_keeper(member.keeper)
                failed.append(member)
                if last:
                    log = tails(one.children)
                    raise ConfigurationError(f"the embedded {member.name} did not start:\n{log}{one.advice(log)}")
            waiting = failed

    def _answers(self, member: Member, made: Made) -> bool:
        """Whether a group that was just started comes up: its keeper holds its lock, and its children answer."""
        deadline, lock = time.monotonic() + START_TIMEOUT, self.home.run(f"{member.name}.lock")
        while time.monotonic() < deadline and member.keeper and member.keeper.poll() is None:
            if is_held_alone(lock) and made.answers():
                return True
            if any(count >= DEATHS for count, _ in self.home.deaths(member.name).values()):
                return False
            time.sleep(0.02)
        return False

    def _keep(self, group: Group, made: Made, *, detach: bool) -> subprocess.Popen[bytes]:
        """Starts a group's keeper."""
        for name in ("json", "stays", "deaths"):
            self.home.run(f"{group.name}.{name}").unlink(missing_ok=True)
        if detach:
            self._have_stay(group.name)
        keeper = subprocess.Popen(
            # -P: so that no module of the current folder shadows ours or Python's.
            [sys.executable, "-P", "-m", KEEPER], env=plain(), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            stderr=private.open_log(self.home.log("keeper")), start_new_session=True,
        )  # fmt: skip
        files = {name: str(self.home.run(f"{group.name}.{name}")) for name in ("lock", "users", "stays", "deaths")}
        uses = [str(self.home.run(f"{name}.users")) for name in group.uses]
        orders = {**files, "story": str(self.home.run(f"{group.name}.json")), "uses": uses, "children": made.children}
        assert keeper.stdin is not None
        keeper.stdin.write(json.dumps(orders).encode() + b"\n")
        keeper.stdin.close()
        return keeper

    def _have_stay(self, name: str) -> None:
        """Lets a group outlive its users."""
        os.close(private.open_file(self.home.run(f"{name}.stays"), os.O_CREAT | os.O_WRONLY))

    # -- leaving -------------------------------------------------------------------------------------------

    def _leave(self, member: Member) -> None:
        """Leaves a group; the last command ends it, and waits for its end. Ctrl-C meanwhile ends it at once."""
        try:
            with self.home.turn("start", STARTING, 0 if is_urgent() else TURN_TIMEOUT):
                # One at a time, so that of two that leave together exactly one is the last.
                is_last = member.users.alone()
        except StateUnavailable:  # the process that has the turn is stopped
            is_last = member.users.alone()
        try:
            if is_last and not self.home.run(f"{member.name}.stays").exists():
                self._wait_for_keeper(member)
        finally:
            member.users.close()

    def _wait_for_keeper(self, member: Member) -> None:
        """Ends a keeper, and waits for it; one that this process started may not have taken its lock yet."""
        lock, own = self.home.run(f"{member.name}.lock"), member.keeper
        try:
            self._signal(member)
            while is_held_alone(lock) or (own and own.poll() is None):
                time.sleep(0.02)
                if is_urgent():
                    self._signal(member)  # a second signal has it kill its children
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
            self.home.signal(member.name)

    def _end_keeper(self, keeper: subprocess.Popen[bytes]) -> None:
        """Ends a keeper that this process has started, and whose group nobody has joined."""
        keeper.terminate()
        keeper.wait()
