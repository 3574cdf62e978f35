"""A call begins by a claim that is as safe as the settings want it; one that is not confirmed is given back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from restyle.coordination.claim_types import Limits
from restyle.coordination.fleet import Fleet
from restyle.coordination.redis.client import State
from restyle.coordination.redis.durability import Durability
from restyle.coordination.runs.progress import Progress
from restyle.keys import Workspace
from restyle.models import Job, ManifestSource, Message, Params, Run, RunOptions, RunStatus, utc_now
from tests.support.holding import hold
from tests.support.proxy import Proxy, running_proxy
from tests.support.servers import Valkey, running_valkey
from tests.support.wait import wait_until

WORKSPACE = Workspace("s3://bucket/durable")
RUN = "20260101T000000Z-abcdef"


@pytest.fixture(scope="module")
def primary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A Valkey of this module's own."""
    with running_valkey(tmp_path_factory.mktemp("primary")) as server:
        yield server


@pytest.fixture
def state(primary: Valkey) -> Iterator[State]:
    """The door to it, with a run that is open."""
    state = State(primary.url, namespace=WORKSPACE.namespace, account="account")
    state.ask("FLUSHALL")
    hold(state)
    progress = Progress(state)
    progress.register(
        Run(
            run_id=RUN, status=RunStatus.RUNNING, created=utc_now(), manifest=ManifestSource(uri="m.csv", sha256="0"),
            plan_digest="d", options=RunOptions(), shards=1, planned=10,
        )
    )  # fmt: skip
    assert progress.open_shard(RUN, 0, 10)
    yield state
    state.close()


@pytest.fixture
def link(primary: Valkey, tmp_path: Path) -> Iterator[Proxy]:
    """What stands between the primary and a replica that follows it."""
    with running_proxy(primary.port) as proxy, running_valkey(tmp_path / "replica") as replica:
        door, state = (State(url, namespace="", account="") for url in (replica.url, primary.url))
        state.ask("CONFIG", "SET", "repl-diskless-sync-delay", "0")
        state.close()
        door.ask("REPLICAOF", "127.0.0.1", str(proxy.port))
        wait_until(
            lambda: door.ask("INFO", "replication")["master_link_status"] == "up", timeout=20, description="a replica"
        )
        yield proxy
        door.close()


def a_worker(state: State, durability: Durability) -> Fleet:
    """A worker that has beaten."""
    fleet = Fleet(state, Limits(durability=durability), worker="w1")
    fleet.heartbeat({})
    return fleet


def claimed(fleet: Fleet, index: int = 0) -> tuple[str, float]:
    """What a claim is answered, and the seconds that it takes."""
    job = Job(id=f"sku-{index}", variant="v", image="s3://b/i.jpg", params=Params(prompt="p"), output="s3://b/o.jpg")
    message = Message(run_id=RUN, shard=0, index=index, job_id=WORKSPACE.job_id(job.id, "v"), job=job)
    if not fleet.hands.snapshot().get(message.job_id):
        fleet.take(message, f"t{index}")
    began = time.monotonic()
    claim = fleet.claim(message, f"t{index}", looked=True, looked_at=began)
    return claim.verdict, time.monotonic() - began


def calling(state: State) -> int:
    """How many calls are out by Redis's word."""
    return sum("calling" in state.ask("HKEYS", key) for key in state.ask("KEYS", state.key("lease", "*")))


def test_where_a_replica_follows_it_has_the_claim(state: State, link: Proxy) -> None:
    """One that lags confirms nothing: the claim is given back, no call begins; as it catches up, calls do."""
    fleet = a_worker(state, Durability.AUTO)
    assert claimed(fleet)[0] == "go"
    link.swallow()
    assert claimed(fleet, 1)[0] == "wait"
    assert calling(state) == 1
    assert fleet.hands.snapshot()[next(iter(fleet.hands.snapshot()))].calling_ms
    link.release()
    wait_until(lambda: claimed(fleet, 1)[0] == "go", timeout=20, description="a replica that has caught up")


def test_without_a_replica_auto_asks_nobody(state: State) -> None:
    """Where there is none to wait for, no claim waits."""
    verdict, seconds = claimed(a_worker(state, Durability.AUTO))
    assert verdict == "go"
    assert seconds < 0.5


def test_no_call_begins_without_the_replica_that_is_wanted(state: State) -> None:
    """`replica` is a demand."""
    fleet = a_worker(state, Durability.REPLICA)
    assert claimed(fleet)[0] == "wait"
    assert calling(state) == 0


def test_the_disk_has_the_claim(state: State) -> None:
    """`disk` waits for the append-only file's next second."""
    assert claimed(a_worker(state, Durability.DISK))[0] == "go"


def test_a_server_that_cannot_tell_need_not(state: State) -> None:
    """It knows no WAITAOF, or has no append-only file: calls begin, as before there was such a setting."""
    fleet = a_worker(state, Durability.DISK)
    try:
        state.ask("ACL", "SETUSER", "default", "-waitaof")
        assert claimed(fleet)[0] == "go"
        state.ask("ACL", "SETUSER", "default", "+@all")
        state.ask("CONFIG", "SET", "appendonly", "no")
        assert claimed(fleet, 1)[0] == "go"
    finally:
        state.ask("ACL", "SETUSER", "default", "+@all")
        state.ask("CONFIG", "SET", "appendonly", "yes")


def test_a_script_that_the_server_does_not_know_yet_is_sent(state: State) -> None:
    """After a restart its scripts are gone."""
    fleet = a_worker(state, Durability.DISK)
    state.ask("SCRIPT", "FLUSH")
    assert claimed(fleet)[0] == "go"
