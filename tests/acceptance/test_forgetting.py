"""Redis forgets: its last second, all of it, or while a worker leaves. What was paid for is paid for once."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from producers.runs.suspensions import remove_suspension
from restyle.coordination.claim_types import Limits
from restyle.coordination.fleet import Fleet
from restyle.coordination.redis.client import State
from restyle.errors import StateUnavailable
from restyle.keys import account_id
from tests.acceptance.conftest import FleetOf
from tests.support.catalog import write_catalog
from tests.support.clock import Clock
from tests.support.proxy import Proxy, running_proxy
from tests.support.rollback import rolling_back
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3, Valkey, running_valkey
from tests.support.wait import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]

#: Heartbeats as seldom as they are by default, beside what a test can wait for: the lost second has none.
BEATS = {"RESTYLE_HEARTBEAT_SECONDS": "2.5", "RESTYLE_HEARTBEAT_TTL": "6", "RESTYLE_DEAD_AFTER": "4"}


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[Valkey]:
    """A Valkey that a test may hurt."""
    with running_valkey(tmp_path / "valkey") as server:
        yield server


@pytest.fixture
def fragile(fleet: FleetOf, own_valkey: Valkey) -> FleetOf:
    """A fleet on it."""
    return fleet.with_settings(RESTYLE_REDIS_URL=own_valkey.url, RESTYLE_SHARD_JOBS="20")


def paid(sandbox: SandboxServer) -> tuple[int, dict[str, int]]:
    """Calls that were billed, and what was billed more than once."""
    return sandbox.charged, sandbox.paid_twice


def parked(fleet: FleetOf) -> int:
    """How many answers Redis keeps."""
    state = State(fleet.command.env["RESTYLE_REDIS_URL"], namespace="", account="")
    try:
        return len(state.ask("KEYS", f"{fleet.workspace.namespace}kept:*"))
    finally:
        state.close()


def resume(fleet: FleetOf) -> None:
    """As `restyle resume`, which takes a second to start."""
    remove_suspension(None, fleet.store, fleet.workspace)  # else the workers would suspend by it again
    state = State(fleet.command.env["RESTYLE_REDIS_URL"], namespace=fleet.workspace.namespace, account=account(fleet))

    def is_resumed() -> bool:
        with suppress(StateUnavailable):  # it may have been started a moment ago
            Fleet(state, Limits()).resume()
            return True
        return False

    wait_until(is_resumed, timeout=20, description="a Redis that answers")
    state.close()


def account(fleet: FleetOf) -> str:
    """What stands for the API account in Redis."""
    return account_id(fleet.command.env["RESTYLE_API_URL"], fleet.command.env["RESTYLE_API_KEY"])


@pytest.mark.parametrize(
    ("seconds", "trials"), [(1.0, 1), *(pytest.param(lost, 7, marks=pytest.mark.long) for lost in (0.5, 1.0, 2.0))]
)
@pytest.mark.timeout(900)
def test_claims_of_a_lost_second_are_paid_once(
    fragile: FleetOf, own_valkey: Valkey, sandbox: SandboxServer, seconds: float, trials: int
) -> None:
    """A run begins with slots free as Redis falls back: whose calls are out is asked before the next one."""
    jobs = 10
    write_catalog(fragile.command.folder, jobs)
    fragile = fragile.with_settings(**BEATS)
    with fragile.workers(3), rolling_back(own_valkey) as rollback:
        for trial in range(1, trials + 1):
            sandbox.control(latency=5)
            fragile.command("suspend")
            run_id = fragile.submit(f"photo of {{id}}, number {trial}", "--overwrite", "--new-seed")
            Clock(seconds + 0.2).wait()
            resume(fragile)
            wait_until(lambda: sandbox.counters()["in_flight"] == jobs, timeout=40, description="calls in flight")
            rollback.strike(seconds)
            resume(fragile)  # that of the lost second is gone too
            done = fragile.finished(run_id, within=90)
            assert (done["succeeded"], done["failed"]) == (jobs, 0)
            assert paid(sandbox) == (trial * jobs, {})


def terminate(process: subprocess.Popen[str], within: float = 40) -> int:
    """SIGTERM, and the code that the process ends with."""
    process.send_signal(signal.SIGTERM)
    return process.wait(within)


@pytest.mark.long
def test_a_drain_without_redis_stores_what_it_has_in_hand(
    fragile: FleetOf, own_valkey: Valkey, sandbox: SandboxServer
) -> None:
    """Redis is away for longer than a heartbeat lasts as SIGTERM comes: S3 is well, so the answers go there."""
    write_catalog(fragile.command.folder, 8)
    sandbox.control(latency=4)
    with fragile.worker() as worker:
        fragile.wait_for_workers(1)
        run_id = fragile.submit()
        wait_until(lambda: sandbox.counters()["in_flight"] == 8, timeout=30, description="8 calls in flight")
        own_valkey.kill()
        Clock(2.5).wait()
        assert terminate(worker) == 0
    assert sandbox.charged == 8
    own_valkey.start()
    sandbox.control(latency=0.02)
    with fragile.worker():
        done = fragile.finished(run_id, within=60)
    assert (done["succeeded"], done["failed"]) == (8, 0)
    assert paid(sandbox) == (8, {})


@pytest.fixture
def s3_proxy(s3: S3) -> Iterator[Proxy]:
    """What stands between a worker and S3."""
    with running_proxy(s3.port) as found:
        yield found


@pytest.mark.long
def test_a_drain_without_redis_and_s3_leaves_answers_on_disk(
    fragile: FleetOf, own_valkey: Valkey, sandbox: SandboxServer, s3_proxy: Proxy
) -> None:
    """The host lost its network as SIGTERM came: the answers lie in RESTYLE_HOME, and the next start there has them."""
    write_catalog(fragile.command.folder, 8)
    sandbox.control(latency=5)
    cut_off = fragile.with_settings(AWS_ENDPOINT_URL_S3=f"http://127.0.0.1:{s3_proxy.port}")
    with cut_off.worker() as worker:
        fragile.wait_for_workers(1)
        run_id = fragile.submit()
        wait_until(lambda: sandbox.counters()["in_flight"] == 8, timeout=30, description="8 calls in flight")
        own_valkey.kill()
        s3_proxy.cut()
        Clock(2.5).wait()
        assert terminate(worker) == 0
    spool = fragile.command.folder / ".restyle" / "spool"
    assert len([path for path in spool.iterdir() if path.suffix == ".json"]) == 8
    assert all(path.stat().st_mode & 0o077 == 0 for path in (spool, *spool.iterdir()))
    own_valkey.start()
    s3_proxy.mend()
    sandbox.control(latency=0.02)
    with fragile.worker():
        done = fragile.finished(run_id, within=60)
    assert (done["succeeded"], done["failed"]) == (8, 0)
    assert paid(sandbox) == (8, {})
    assert not list(spool.iterdir())


@pytest.mark.long
def test_answers_on_the_disk_of_one_machine_are_called_by_no_other(
    fragile: FleetOf, own_valkey: Valkey, sandbox: SandboxServer, s3_proxy: Proxy, tmp_path: Path
) -> None:
    """S3 is away and Redis full at SIGTERM: a worker elsewhere does the other jobs, and one here hands on the rest."""
    write_catalog(fragile.command.folder, 12)
    sandbox.control(latency=5)
    line = State(own_valkey.url, namespace="", account="")
    cut_off = fragile.with_settings(AWS_ENDPOINT_URL_S3=f"http://127.0.0.1:{s3_proxy.port}")
    with cut_off.worker() as worker:
        fragile.wait_for_workers(1)
        run_id = fragile.submit()
        wait_until(lambda: sandbox.counters()["in_flight"] == 8, timeout=30, description="8 calls in flight")
        s3_proxy.cut()
        line.ask("CONFIG", "SET", "maxmemory", "1")
        assert terminate(worker) == 0
    line.ask("CONFIG", "SET", "maxmemory", "0")
    line.close()
    sandbox.control(latency=0.02)
    elsewhere = fragile.with_settings(RESTYLE_HOME=str(tmp_path / "elsewhere"), RESTYLE_REFEED_AFTER="1")
    with elsewhere.worker():

        def is_stuck() -> bool:
            now = fragile.status(run_id)
            return now["succeeded"] == 4 and now["trouble"] is not None

        wait_until(is_stuck, timeout=60, description="4 jobs, and a word about the others")
        assert (fragile.status(run_id)["pending"], fragile.status(run_id)["in_doubt"]) == (8, 0)
        assert "on the disk of" in fragile.status(run_id)["trouble"]["reason"]
        with fragile.worker():
            done = fragile.finished(run_id, within=60)
    assert (done["succeeded"], done["failed"], done["in_doubt"]) == (12, 0, 0)
    assert paid(sandbox) == (12, {})


@pytest.mark.long
@pytest.mark.parametrize("lost", ["everything", "a second"])
def test_parked_answers_survive_a_redis_that_forgot_them(
    fragile: FleetOf, own_valkey: Valkey, sandbox: SandboxServer, s3_proxy: Proxy, lost: str
) -> None:
    """Answers wait in Redis for S3; Redis comes back without them, and SIGTERM follows: they are handed over again."""
    write_catalog(fragile.command.folder, 6)
    sandbox.control(latency=4)
    cut_off = fragile.with_settings(AWS_ENDPOINT_URL_S3=f"http://127.0.0.1:{s3_proxy.port}")
    with cut_off.worker() as worker, rolling_back(own_valkey) as rollback:
        fragile.wait_for_workers(1)
        run_id = fragile.submit()
        wait_until(lambda: sandbox.counters()["in_flight"] == 6, timeout=30, description="6 calls in flight")
        s3_proxy.cut()
        wait_until(lambda: parked(fragile) == 6, timeout=30, description="6 parked answers")
        if lost == "everything":
            own_valkey.kill()
            own_valkey.start(empty=True)
        else:
            rollback.strike(2)
        assert terminate(worker) == 0
    sandbox.control(latency=0.02)
    with fragile.worker():
        if lost == "everything":
            fragile.command("resume", run_id, "--detach")
        done = fragile.finished(run_id, within=60)
    assert (done["succeeded"], done["failed"]) == (6, 0)
    assert paid(sandbox) == (6, {})
    assert parked(fragile) == 0


@pytest.mark.long
def test_a_request_of_a_lost_second_is_asked_for(fragile: FleetOf, own_valkey: Valkey, sandbox: SandboxServer) -> None:
    """`--api v2`: the requests' notes are in S3 as Redis forgets them: none is submitted a second time."""
    write_catalog(fragile.command.folder, 10)
    fragile = fragile.with_settings(RESTYLE_API="v2", RESTYLE_POLL_SECONDS="0.2", **BEATS)
    with fragile.workers(3), rolling_back(own_valkey) as rollback:
        sandbox.control(latency=6)
        fragile.command("suspend")
        run_id = fragile.submit()
        Clock(1.2).wait()
        resume(fragile)
        prefix = fragile.workspace.run(run_id, "requests") + "/"
        wait_until(lambda: len(list(fragile.store.list(prefix))) == 10, timeout=40, description="10 requests")
        rollback.strike(1)
        resume(fragile)
        done = fragile.finished(run_id, within=90)
    assert (done["succeeded"], done["failed"]) == (10, 0)
    assert paid(sandbox) == (10, {})


@pytest.mark.long
def test_a_doubt_of_a_lost_second_is_honoured(fragile: FleetOf, own_valkey: Valkey, sandbox: SandboxServer) -> None:
    """RESTYLE_IN_DOUBT=hold: the doubt's note is in S3 as Redis forgets it: the job is left to a person."""
    ids = write_catalog(fragile.command.folder, 4)
    sandbox.script("timeout", 200, prompt_contains=ids[0])
    fragile = fragile.with_settings(RESTYLE_API_TIMEOUT="2.5", RESTYLE_IN_DOUBT="hold", **BEATS)
    with fragile.workers(2), rolling_back(own_valkey) as rollback:
        run_id = fragile.submit()
        prefix = fragile.workspace.run(run_id, "doubt") + "/"
        wait_until(lambda: list(fragile.store.list(prefix)), timeout=40, description="the note of the doubt")
        rollback.strike(1.5)
        done = fragile.finished(run_id, within=90)
    assert (done["succeeded"], done["failed"], sandbox.calls) == (3, 1, 4)


@pytest.mark.long
def test_a_failover_to_a_replica_that_lags(
    fragile: FleetOf, own_valkey: Valkey, sandbox: SandboxServer, tmp_path: Path
) -> None:
    """The replica is a second behind as it takes over: what it does not know of has not begun, or is put back."""
    with ExitStack() as stack:
        replica = stack.enter_context(running_valkey(tmp_path / "replica"))
        link = stack.enter_context(running_proxy(own_valkey.port))
        address = stack.enter_context(running_proxy(own_valkey.port))
        door, old = (State(server.url, namespace="", account="") for server in (replica, own_valkey))
        old.ask("CONFIG", "SET", "repl-diskless-sync-delay", "0")
        door.ask("REPLICAOF", "127.0.0.1", str(link.port))
        wait_until(
            lambda: door.ask("INFO", "replication")["master_link_status"] == "up", timeout=20, description="a replica"
        )
        fragile = fragile.with_settings(RESTYLE_REDIS_URL=f"redis://127.0.0.1:{address.port}/0", **BEATS)
        write_catalog(fragile.command.folder, 60)
        sandbox.control(latency=1)
        with fragile.workers(3):
            run_id = fragile.submit()
            wait_until(lambda: sandbox.charged >= 8, timeout=40, description="calls")
            link.swallow()
            Clock(1).wait()
            address.cut()
            old.close()
            own_valkey.kill()
            door.ask("REPLICAOF", "NO", "ONE")
            address.target = replica.port
            address.mend()
            done = fragile.finished(run_id, within=120)
        door.close()
    assert (done["succeeded"], done["failed"]) == (60, 0)
    assert paid(sandbox) == (60, {})
    own_valkey.start()  # for its fixture to end
