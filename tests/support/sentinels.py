"""A primary, its replica and the sentinels that watch them: real ones, each with its password."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from apps.stack.servers import free_port
from tests.support.chosen import REDIS
from tests.support.clock import Clock
from tests.support.servers import answers, die_with_parent
from tests.support.wait import wait_until

MASTER, PASSWORD, SENTINEL_PASSWORD = "shop", "of;servers", "of-sentinels"


@dataclass
class Watched:
    """Two servers under sentinels."""

    servers: dict[int, subprocess.Popen[bytes]]
    sentinels: list[int]

    @property
    def env(self) -> dict[str, str]:
        """How a fleet is told of them."""
        first, *others = (f"127.0.0.1:{port}" for port in self.sentinels)
        return {
            "RESTYLE_REDIS_URL": ";".join(
                [f"sentinel://:of%3Bservers@{first}", *(f"sentinel://{other}" for other in others)]
            )
            + "/0",
            "RESTYLE_REDIS_SENTINEL_MASTER": MASTER,
            "RESTYLE_REDIS_SENTINEL_PASSWORD": SENTINEL_PASSWORD,
        }

    def primary(self) -> int:
        """The port of the server that most sentinels call the primary."""
        ports = [self._named_by(port) for port in self.sentinels]
        return max(ports, key=ports.count)

    def fail_over(self, *, behind: float) -> None:
        """Kills the primary, its replica being so many seconds behind; answers once the sentinels name another."""
        lost = self.primary()
        (replica,) = self.servers.keys() - {lost}
        with redis.Redis(port=replica, password=PASSWORD) as line:
            if behind:
                line.replicaof("127.0.0.1", free_port())  # a server that does not answer: from here on it stands still
                Clock(behind).wait()
        self.servers[lost].kill()
        self.servers[lost].wait()
        wait_until(lambda: self.primary() == replica, timeout=30, description="a failover")

    def _named_by(self, port: int) -> int:
        with redis.Redis(port=port, password=SENTINEL_PASSWORD) as line:
            named: Any = line.sentinel_get_master_addr_by_name(MASTER)
            return int(named[1])


@contextmanager
def watched(folder: Path, *, sentinels: int = 3) -> Iterator[Watched]:
    """All of them, for as long as this lasts; one sentinel alone decides sooner."""
    started: list[subprocess.Popen[bytes]] = []

    def start(port: int, lines: list[str], *words: str) -> subprocess.Popen[bytes]:
        home = folder / str(port)
        home.mkdir(parents=True)
        config = home / "server.conf"
        config.write_text("\n".join([f"port {port}", "bind 127.0.0.1", f"dir {home}", "logfile server.log", *lines]))
        command = [REDIS, str(config), *words]
        process = subprocess.Popen(command, preexec_fn=die_with_parent)  # noqa: PLW1509 - one thread forks here
        started.append(process)
        answers(port)
        return process

    primary, replica = free_port(), free_port()
    ports = [free_port() for _ in range(sentinels)]
    server = [
        "save ''",
        "appendonly yes",
        f"requirepass {PASSWORD}",
        f"masterauth {PASSWORD}",
        "repl-ping-replica-period 1",
    ]
    watch = [
        f"requirepass {SENTINEL_PASSWORD}", f"sentinel sentinel-pass {SENTINEL_PASSWORD}",
        f"sentinel monitor {MASTER} 127.0.0.1 {primary} {sentinels // 2 + 1}",
        f"sentinel auth-pass {MASTER} {PASSWORD}",
        f"sentinel down-after-milliseconds {MASTER} 1000", f"sentinel failover-timeout {MASTER} 5000",
    ]  # fmt: skip
    try:
        servers = {primary: start(primary, server)}
        servers[replica] = start(replica, [*server, f"replicaof 127.0.0.1 {primary}"])
        with redis.Redis(port=replica, password=PASSWORD) as line:
            wait_until(
                lambda: line.info("replication")["master_link_status"] == "up", timeout=10, description="a replica"
            )
        for port in ports:
            start(port, watch, "--sentinel")
        for port in ports:
            with redis.Redis(port=port, password=SENTINEL_PASSWORD, decode_responses=True) as line:
                wait_until(
                    lambda: _knows_all(line, sentinels), timeout=20, description="sentinels that know each other"
                )
        yield Watched(servers, ports)
    finally:
        for process in started:
            process.kill()
            process.wait()


def _knows_all(line: redis.Redis, sentinels: int) -> bool:
    master: Any = line.sentinel_master(MASTER)
    return bool(master["num-other-sentinels"] == sentinels - 1 and master["num-slaves"] == 1)
