"""Somebody who can write to Redis, while real workers are at work: nothing unplanned is paid for, read or written."""

from __future__ import annotations

import re
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO

import pytest
from redis.exceptions import RedisError

from producers.runs.snapshot import read_run
from restyle.coordination.redis.client import State
from restyle.keys import account_id, split_uri
from tests.acceptance.conftest import FleetOf
from tests.acceptance.test_foreign_messages import Queue
from tests.support.catalog import write_catalog
from tests.support.clock import Clock
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
    "RESTYLE_SHARD_JOBS": "20", "RESTYLE_HOLDER_SECONDS": "9",
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


@pytest.fixture
def hostile(fleet: FleetOf, sandbox: SandboxServer, redis_url: str) -> Hostile:
    """Who writes to Redis."""
    account = f"restyle:{account_id(sandbox.url, sandbox.api_key)}:"
    return Hostile(State(redis_url, namespace=fleet.workspace.namespace, account=""), account)


@dataclass(frozen=True)
class Attack:
    """Changes at random over so many seconds of a run of so many jobs, by a seed."""

    jobs: int
    changes: int
    seconds: float
    seed: int

    def __str__(self) -> str:
        """The test's name."""
        return f"{self.jobs}-{self.changes}-{self.seed}"


def carry_out(attack: Attack, hostile: Hostile, queue: Queue, run_id: str) -> None:
    """The changes, one after another, the crafted ones among those at random, while a run is at work."""

    def push(name: str, task: str, kwargs: dict[str, Any]) -> None:
        queue.name = queue.state.key(name)
        queue.push(kwargs, headers={"task": task})

    crafted = hostile.crafted(run_id, push)
    assert len(crafted) >= 50
    for change in crafted:
        pause = Clock(attack.seconds / len(crafted))
        with suppress(RedisError):
            change()
        hostile.change(attack.changes // len(crafted))
        pause.wait()


SHORT = Attack(40, 1_000, 3, 16)
LONG = (Attack(200, 10_000, 40, seed) for seed in (16, 17, 18))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("attack", [pytest.param(attack, marks=pytest.mark.long) for attack in (SHORT, *LONG)], ids=str)
def test_a_run_outlives_whoever_writes_to_redis(
    fleet: FleetOf, sandbox: SandboxServer, gateway: Listening, hostile: Hostile, attack: Attack
) -> None:
    """No unplanned call, nothing read or written elsewhere, no worker ended; the run ends, or says why it does not."""
    ids = write_catalog(fleet.command.folder, attack.jobs)
    sandbox.control(latency=0.3)
    hostile.chance.seed(attack.seed)
    here = fleet.with_settings(**QUICK, AWS_ENDPOINT_URL_S3=gateway.url)
    with here.workers(2) as workers:
        run_id = here.submit()
        wait_until(lambda: sandbox.calls > 2, timeout=60, description="the first calls")
        began = time.monotonic()
        queue = Queue(fleet.command.env["RESTYLE_REDIS_URL"], fleet.workspace.namespace)
        carry_out(attack, hostile, queue, run_id)
        took = time.monotonic() - began
        reasons = ended(here, run_id)
        assert [worker.poll() for worker in workers] == [None, None]
        dump = "".join(str(hostile.state.redis.dump(key)) for key in hostile.keys)
    paid = sandbox.counters()["paid"]
    names = {name: fleet.workspace.job_id(name, "default") for name in ids}
    sys.stdout.write(
        f"{attack.changes:,} changes in {took:.0f} s, the end after {time.monotonic() - began:.0f} s; {len(paid)} paid,"
        f" twice: {sandbox.paid_twice}; {len(hostile.erased)} leases erased; reasons: {reasons}\n"
    )
    assert len(paid) <= attack.jobs
    assert not any("free pictures" in key for key in paid)
    assert gateway.outside(fleet.workspace.uri) == []
    assert sandbox.charged - len(paid) <= len(hostile.erased & set(names.values()))
    logs = "".join(log.read_text(errors="replace") for log in fleet.command.folder.glob("worker-*.log"))
    assert sandbox.api_key not in logs + dump
    assert "\x1b" not in logs


@pytest.mark.parametrize("everything", [False, pytest.param(True, marks=pytest.mark.long)])
def test_a_run_whose_keys_are_erased_goes_on_by_itself(
    fleet: FleetOf, sandbox: SandboxServer, hostile: Hostile, everything: bool
) -> None:
    """Without the list of runs and the hold of the workspace, and without a single key, it does not stand still."""
    write_catalog(fleet.command.folder, 12)
    sandbox.control(latency=0.5)
    here = fleet.with_settings(**QUICK | {"RESTYLE_HOLDER_SECONDS": "3", "RESTYLE_HEARTBEAT_TTL": "2"})
    key, redis = hostile.state.key, hostile.state.redis
    with here.workers(1):
        run_id = here.submit()
        wait_until(lambda: sandbox.calls >= 3, timeout=40, description="3 calls")
        redis.delete(*(hostile.keys if everything else (key("runs"), key("holder"))))
        done = here.finished(run_id, within=60)
    assert (done["succeeded"], done["failed"], sandbox.charged) == (12, 0, 12)


#: What a person types to let a run go on, where status says so.
RESUME = re.compile(r"restyle resume( \S+)?")
#: Seconds for which a run may stand still without a word, and for which a person waits where status says `wait`.
SILENCE = 60.0


def ended(here: FleetOf, run_id: str) -> list[str]:
    """Waits for a run's end, as a person does who reads what `status` says and types what stands there as next."""
    reasons, since, moved, last = dict[str, str](), dict[str, float](), time.monotonic(), -1
    began, pause = moved, Clock(2)

    def look() -> bool:
        nonlocal moved, last, pause
        if read_run(run_id, store=here.store, workspace=here.workspace).finished:
            return True
        pause.wait()
        pause, status, now = Clock(2), here.command("status", run_id, "--json", expect=None), time.monotonic()
        told = {"reason": status.err, "next": status.err}
        found: dict[str, Any] = status.json if status.out.startswith("{") else {"trouble": told, "pending": -1}
        for note in filter(None, (found.get("trouble"), found.get("suspension"))):
            reasons[note["reason"]] = note["next"]
            if RESUME.search(note["next"]) and now - since.setdefault(note["reason"], now) >= (
                SILENCE if note["next"].startswith("wait") else 0
            ):
                reasons[note["reason"]] += f" -> {here.command('resume', run_id, expect=None).err[-500:]}"
        if found.get("trouble") or found.get("suspension") or found["pending"] != last:
            moved, last = now, found["pending"]
        assert now - moved < SILENCE, f"it stands still without a word: {found}"
        assert now - began < 240, f"it does not end, and says why: {reasons}"
        return False

    wait_until(look, timeout=300, description=f"the end of {run_id}")
    return list(reasons)
