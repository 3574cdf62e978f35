"""Real servers for tests: Valkey and S3, each from its wheel, each ending with the process that started it."""

from __future__ import annotations

import ctypes
import functools
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import botocore.session

from apps.stack.servers import free_port
from restyle.keys import Workspace
from restyle.s3.store import EMBEDDED_BUCKET, Endpoint, Store
from tests.support.chosen import PLAIN, REDIS, S3_SERVER, Access

#: What each S3 server has from the beginning.
BUCKETS = (EMBEDDED_BUCKET, "shop")


def die_with_parent() -> None:
    """Lets a child end with this process, even at its kill -9 (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _meet_a_full_disk() -> None:
    """Has a file that must not grow answered by an error, as a full disk's is, rather than by a deadly signal."""
    die_with_parent()
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def answers(port: int, *, timeout: float = 10) -> None:
    """Waits until somebody listens."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert time.monotonic() < deadline, f"nothing listens on port {port}"
            time.sleep(0.02)


@dataclass
class Valkey:
    """A Valkey server that can be killed, frozen and started again."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    options: tuple[str, ...] = ()
    access: Access = PLAIN

    @property
    def url(self) -> str:
        """Its address, as workers and commands reach it."""
        return self.access.url(self.access.login, self.port)

    @property
    def admin_url(self) -> str:
        """Its address for whoever may do everything."""
        return self.access.url(self.access.admin or self.access.login, self.port)

    @property
    def env(self) -> dict[str, str]:
        """How a fleet is told of it."""
        return {"RESTYLE_REDIS_URL": self.url, **self.access.settings}

    def start(self, *, empty: bool = False) -> None:
        """Starts it, with its data or without."""
        if empty:
            shutil.rmtree(self.folder / "appendonlydir", ignore_errors=True)
        ports = ("--port", "0", "--tls-port") if self.access.authority else ("--port",)
        command = [
            REDIS, *ports, str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder),
            "--save", "", "--appendonly", "yes", "--logfile", str(self.folder / "valkey.log"),
            *self.access.options, *self.options,
        ]  # fmt: skip
        self.process = subprocess.Popen(command, preexec_fn=_meet_a_full_disk)  # noqa: PLW1509 - one thread forks here
        answers(self.port)

    def kill(self) -> None:
        """Kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        """Stops it without closing a connection."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets it go on."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)


@contextmanager
def running_valkey(folder: Path, *options: str, access: Access = PLAIN) -> Iterator[Valkey]:
    """A Valkey of its own, or the Redis that pytest's environment names."""
    folder.mkdir(parents=True, exist_ok=True)
    server = Valkey(folder, free_port(), options=options, access=access)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@dataclass
class S3:
    """A real S3 server over a folder, with the bucket restyle-local in it."""

    folder: Path
    port: int
    access_key: str
    secret_key: str
    process: subprocess.Popen[bytes] | None = None
    #: Where buckets are part of its host's name: that name without them.
    host: str = ""

    @property
    def endpoint(self) -> Endpoint:
        """Its address and credentials."""
        return Endpoint(f"http://127.0.0.1:{self.port}", self.access_key, self.secret_key)

    @property
    def env(self) -> dict[str, str]:
        """The environment in which boto3's own chain finds it."""
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint.url,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": "us-east-1",
        }

    @property
    def store(self) -> Store:
        """The door to it."""
        return Store(embedded=self.endpoint)

    @property
    def workspace(self) -> Workspace:
        """A prefix that nobody else has."""
        return Workspace(f"s3://{EMBEDDED_BUCKET}/{secrets.token_hex(4)}")

    def start(self, *, also: Iterable[tuple[str, str]] = ()) -> None:
        """Starts it over what the folder holds; moto's holds nothing of before.

        Args:
            also: other credentials that it takes (rclone).
        """
        pairs = ((self.access_key, self.secret_key), *also)
        command = S3_SERVER.command(self.port, self.folder, BUCKETS, host=self.host)
        self.process = subprocess.Popen(
            command, preexec_fn=die_with_parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,  # noqa: PLW1509 - one thread forks here
            env={**os.environ, "RCLONE_AUTH_KEY": ",".join(f'"{key},{secret}"' for key, secret in pairs)},
        )  # fmt: skip
        answers(self.port, timeout=30)
        if S3_SERVER.name == "moto":
            for bucket in BUCKETS:
                request = urllib.request.Request(f"{self.endpoint.url}/{bucket}", method="PUT")
                urllib.request.urlopen(request).close()

    def kill(self) -> None:
        """Kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()


def read_descriptions_once() -> None:
    """Has all of botocore's clients share its descriptions: a test opens clients of its own, and each reads a megabyte.

    That took 0.1 s of CPU a client, which was a third of what the integration tests took.
    """
    if not hasattr(botocore.session.create_loader, "cache_info"):
        botocore.session.create_loader = functools.cache(botocore.session.create_loader)


@contextmanager
def running_s3(folder: Path, host: str = "") -> Iterator[S3]:
    """An S3 server of its own, with the embedded stack's bucket, and one that guides call `shop`."""
    for bucket in BUCKETS:
        (folder / bucket).mkdir(parents=True, exist_ok=True)
    keys = S3_SERVER.keys or (secrets.token_hex(8), secrets.token_hex(16))
    server = S3(folder, free_port(), *keys, host=host)
    server.start()
    try:
        yield server
    finally:
        server.kill()
