"""The embedded stack: a real Valkey, a real S3 server, the sandbox and a worker, for whoever has configured none.

Each is a group of its own (apps/stack/groups.py): every command of the folder joins what is up and starts what is
missing, and the last one to leave ends it. A worker serves one workspace: the sandbox's and the real one have each
their own.
"""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from apps.stack.groups import DEATHS, STARTING, TURN_TIMEOUT, Group, Groups, Member
from apps.stack.home import Home, Say, tail
from apps.stack.servers import (
    S3,
    SANDBOX,
    VALKEY,
    WORKER,
    make_s3,
    make_sandbox,
    server_groups,
    worker_group,
)
from config.settings import Settings
from restyle.runtime import private
from restyle.s3.store import EMBEDDED_BUCKET

#: Seconds that a group may take to end, beyond those of a call.
END_SLACK = 60.0


#: Bytes of free disk below which it counts as full: paid pictures could not be stored.
FULL_DISK = 1_000_000


@dataclass(frozen=True)
class Trouble:
    """Why an embedded worker does not start."""

    deaths: int
    code: int | None
    log: Path
    tail: list[str]


@dataclass(frozen=True)
class Stack:
    """The servers that are up, as settings by which clients are opened, and this command's memberships."""

    settings: Settings
    home: Home
    members: list[Member] = field(default_factory=list)

    def with_more(self, more: Stack) -> Stack:
        """This stack and one that was joined later, with the later one's settings."""
        return Stack(more.settings, self.home, [*self.members, *more.members])

    @property
    def worker(self) -> Member | None:
        """This command's membership in its worker's group."""
        return next((member for member in self.members if member.name.startswith(WORKER)), None)

    def ended(self) -> str:
        """The first group of this stack that has ended, or is ending; empty where all are up."""
        return next((member.name for member in self.members if self._is_over(member)), "")

    def _is_over(self, member: Member) -> bool:
        description = self.home.description(member.name)
        return description is None or description.get("pid") != (member.description or {}).get("pid")

    def has_worker(self) -> bool:
        """Whether a worker of any command is up in this folder."""
        return any(name.startswith(WORKER) for name in self.home.up())

    def trouble(self) -> Trouble | None:
        """Why this command's worker does not start; None where it does, or has died fewer than three times."""
        if self.worker is None:
            return None
        deaths, code = self.home.deaths(self.worker.name).get("worker", (0, None))
        if deaths < DEATHS:
            return None
        log = self.home.log("worker")
        return Trouble(deaths, code, log, tail(log, 12))

    def abandon(self) -> bool:
        """Ends this command's worker at once, whatever it is doing; False where other commands use it."""
        worker = self.worker
        if worker is None or not worker.users.alone():
            return worker is None
        self.home.end(worker.name, timeout=0.05)
        return True

    def is_disk_full(self) -> bool:
        """Whether the disk of this folder's servers is full."""
        servers = any(member.name in {VALKEY, S3} for member in self.members)
        return servers and shutil.disk_usage(self.home.path).free < FULL_DISK


def home_of(settings: Settings, say: Say = lambda _text: None) -> Home:
    """The folder of these settings' stack.

    Raises:
        NotOurs: the path is another user's link.
    """
    return Home(private.resolved(settings.home), settings.api_timeout + END_SLACK, say)


@contextmanager
def stack(settings: Settings, *, worker: bool, sandbox: bool, detach: bool = False, say: Say) -> Iterator[Stack]:
    """Joins what is up and starts what is missing; each part runs until the last command that uses it has ended.

    Only parts that are not configured are started: where a Redis or a workspace is set, that one is used.

    Args:
        settings: as read.
        worker: whether there must be a worker.
        sandbox: whether there must be a sandbox of the API.
        detach: whether all of it stays up afterwards.
        say: gets a sentence on what the command waits for.

    Raises:
        ConfigurationError: a part cannot be started (the message has the end of its log), or is up and does not fit.
        StateUnavailable: a part that is ending does not end.
    """
    home = home_of(settings, say)
    members: list[Member] = []
    with ExitStack() as held:

        def join(*groups: Group) -> dict[str, Any]:
            joined = held.enter_context(Groups(home).joined(groups, detach=detach))
            members.extend(joined)
            return {key: value for member in joined for key, value in (member.description or {}).items()}

        if servers := server_groups(settings, home):
            settings = with_servers(settings, join(*servers))
        if sandbox and settings.local_sandbox is None:
            settings = with_sandbox(settings, join(Group(SANDBOX, partial(make_sandbox, home))))
        if worker:
            join(worker_group(settings, home))
        yield Stack(settings, home, members)


@contextmanager
def s3(settings: Settings, *, say: Say = lambda _text: None) -> Iterator[Settings | None]:
    """The settings, completed with the embedded S3 where no workspace is set; None where that was never used."""
    if settings.workspace is not None:
        yield settings
        return
    home = home_of(settings, say)
    if not (home.path / "s3" / EMBEDDED_BUCKET).exists():
        yield None
        return
    with Groups(home).joined([Group(S3, partial(make_s3, home))], detach=False) as (member,):
        yield with_servers(settings, member.description or {})


def stop(settings: Settings, *, timeout: float, say: Say = lambda _text: None) -> tuple[list[str], list[str]]:
    """Ends every group of this folder, workers first: the names of those that ended, and of those that did not."""
    home = home_of(settings, say)
    if not (home.path / "run").exists():
        return [], []
    with home.turn("start", STARTING, TURN_TIMEOUT):
        names = sorted(home.up(), key=lambda name: (not name.startswith("worker"), name != SANDBOX))
        ended = {name: home.end(name, timeout) for name in names}
    return [name for name in names if ended[name]], [name for name in names if not ended[name]]


def with_servers(settings: Settings, description: Mapping[str, Any]) -> Settings:
    """The settings, completed with the servers that are up."""
    update: dict[str, Any] = {}
    if settings.redis_url is None and "redis_url" in description:
        update |= {
            "redis_url": SecretStr(description["redis_url"]),
            "local_redis": description.get("host", socket.gethostname()),
        }
    if settings.workspace is None and "s3_url" in description:
        update |= {
            "workspace": f"s3://{EMBEDDED_BUCKET}",
            "local_s3_endpoint": description["s3_url"],
            "local_s3_access_key": SecretStr(description["s3_access_key"]),
            "local_s3_secret_key": SecretStr(description["s3_secret_key"]),
        }
    return settings.model_copy(update=update)


def with_sandbox(settings: Settings, description: Mapping[str, Any]) -> Settings:
    """The settings, completed with the sandbox that is up."""
    update = {
        "sandbox": True, "api_url": description["url"], "api_key": SecretStr(description["key"]), "local_sandbox": True,
    }  # fmt: skip
    return settings.model_copy(update=update)


def with_running_sandbox(settings: Settings) -> Settings | None:
    """The same; None where none is up in this folder. It is not joined: it may end meanwhile."""
    home = home_of(settings)
    description = home.description(SANDBOX) if SANDBOX in home.up() else None
    return with_sandbox(settings, description) if description else None
