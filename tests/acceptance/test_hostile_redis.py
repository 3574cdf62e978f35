"""Somebody who can write to Redis, while real workers are at work: nothing unplanned is paid for, read or written."""

from __future__ import annotations

import re
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

import pytest
from redis.exceptions import RedisError

from config.celery_app import JOBS
from restyle.coordination.redis.client import State
from restyle.keys import account_id, split_uri
from tests.acceptance.conftest import FleetOf
from tests.acceptance.test_foreign_messages import Queue
from tests.support.catalog import write_catalog
from tests.support.gateway import Gateway
from tests.support.hostile import Hostile
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3
from tests.support.wait import wait_until

pytestmark = pytest.mark.acceptance

#: The protocol's intervals, so short that what a change costs is over soon.
QUICK = {
    "RESTYLE_HEARTBEAT_SECONDS": "0.5", "RESTYLE_HEARTBEAT_TTL": "4", "RESTYLE_DEAD_AFTER": "3",
    "RESTYLE_DISPATCH_SECONDS": "0.2", "RESTYLE_REFEED_AFTER": "3", "RESTYLE_CONCURRENCY": "4",
    "RESTYLE_SHARD_JOBS": "20",
}  # fmt: skip


class Listening(Gateway):
    """S3 by way of somebody who notes what is asked for."""

    def __init__(self, target: int) -> None:
        """Passes everything on as it is."""
        self.asked: Counter[str] = Counter()
        super().__init__(target, lambda _number: "")

    def _answer(self, client: socket.socket, server: socket.socket, from_server: BinaryIO, request: bytes) -> bool:
        self.asked[request.split(b"\r\n", 1)[0].decode(errors="replace")] += 1
        return super()._answer(client, server, from_server, request)

    def outside(self, workspace: str) -> list[str]:
        """The requests for anything that is not below a workspace."""
        bucket, prefix = split_uri(workspace)
        inside = re.compile(rf"[A-Z]+ /{bucket}(/{prefix}/|/?\?(\S*&)?prefix={prefix}(%2F|/|&|\s))")
        return [line for line in self.asked if not inside.match(line)]


@pytest.fixture
def gateway(s3: S3) -> Iterator[Listening]:
    """What stands between everybody and S3."""
    gateway = Listening(s3.port)
    yield gateway
    gateway.close()


@contextmanager
def attacked(hostile: Hostile, queue: Queue, run_id: str, changes: int) -> Iterator[threading.Event]:
    """The changes, one after another; set once all are made."""
    done = threading.Event()

    def push(name: str, task: str, kwargs: dict[str, Any]) -> None:
        queue.name = queue.state.key(name)
        queue.push(kwargs, headers={"task": task})
        queue.name = queue.state.key(JOBS)

    def attack() -> None:
        crafted = hostile.crafted(run_id, push)
        each = max(1, changes // len(crafted))
        for change in crafted:
            with suppress(RedisError):
                change()
            hostile.change(each)
        done.set()

    thread = threading.Thread(target=attack, daemon=True)
    thread.start()
    yield done
    thread.join(60)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("jobs", "changes"), [(40, 1_000), pytest.param(200, 10_000, marks=pytest.mark.long)])
def test_a_run_outlives_whoever_writes_to_redis(
    fleet: FleetOf, sandbox: SandboxServer, redis_url: str, gateway: Listening, jobs: int, changes: int
) -> None:
    """No unplanned call, nothing read or written elsewhere, no worker ended; the run ends, or says why it does not."""
    ids = write_catalog(fleet.command.folder, jobs)
    sandbox.control(latency=0.3)
    here = fleet.with_settings(**QUICK, AWS_ENDPOINT_URL_S3=gateway.url)
    queue = Queue(redis_url, fleet.workspace.namespace)
    account = f"restyle:{account_id(sandbox.url, sandbox.api_key)}:"
    hostile = Hostile(State(redis_url, namespace=fleet.workspace.namespace, account=""), account, seed=16)
    with here.workers(2) as workers:
        run_id = here.submit()
        wait_until(lambda: sandbox.calls > 2, timeout=60, description="the first calls")
        with attacked(hostile, queue, run_id, changes) as done:
            wait_until(done.is_set, timeout=300, description="the end of the changes")
        why = ended(here, run_id)
        assert [worker.poll() for worker in workers] == [None, None]
        dump = "".join(str(hostile.state.redis.dump(key)) for key in hostile.keys)
    paid = sandbox.counters()["paid"]
    names = {name: fleet.workspace.job_id(name, "default") for name in ids}
    sys.stdout.write(f"{len(paid)} paid, twice: {sandbox.paid_twice}, {len(hostile.erased)} erased, said: {why}\n")
    assert len(paid) <= jobs
    assert not any("free pictures" in key for key in paid)
    assert gateway.outside(fleet.workspace.uri) == []
    assert sandbox.charged - len(paid) <= len(hostile.erased & set(names.values()))
    logs = "".join(log.read_text(errors="replace") for log in fleet.command.folder.glob("worker-*.log"))
    assert sandbox.api_key not in logs + dump
    assert "\x1b" not in logs


def ended(here: FleetOf, run_id: str) -> list[str]:
    """Waits for a run's end, as a person does who reads what it says: why it stood still meanwhile.

    One that is silent for long is resumed too: whoever erases the list of runs has the fleet take itself for idle.
    """
    said, began = list[str](), time.monotonic()

    def look() -> bool:
        now = here.command("status", run_id, "--json", expect=None)
        told = now.json if now.code == 0 or now.out.startswith("{") else {}
        if told.get("status") in ("finished", "cancelled"):
            return True
        reason = (told.get("trouble") or told.get("suspension") or {}).get("reason", "")
        if reason and reason not in said:
            said.append(reason)
        if reason or time.monotonic() - began > 20:
            here.command("resume", run_id, expect=None)
        return False

    wait_until(look, timeout=150, description=f"the end of {run_id}; it said: {said}")
    return said
