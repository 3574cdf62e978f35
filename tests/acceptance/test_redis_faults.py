"""Redis killed, emptied, frozen, cut off, and its messages doubled: nothing is paid twice, nothing is lost."""

from __future__ import annotations

import pytest

from restyle.coordination.redis.client import State
from tests.acceptance.conftest import FleetOf
from tests.acceptance.test_rate import busiest
from tests.support.catalog import write_catalog
from tests.support.clock import Clock
from tests.support.proxy import Watch, running_proxy
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3, Valkey
from tests.support.supervised import supervised
from tests.support.wait import wait_until

pytestmark = pytest.mark.acceptance


@pytest.fixture
def fragile(fleet: FleetOf, own_valkey: Valkey) -> FleetOf:
    """A fleet on it."""
    return fleet.with_settings(**own_valkey.env, RESTYLE_SHARD_JOBS="10", RESTYLE_CONCURRENCY="4")


def under_way(sandbox: SandboxServer, calls: int = 8) -> None:
    """Waits until some jobs are paid for and calls are in flight."""
    wait_until(lambda: sandbox.charged >= calls and sandbox.counters()["in_flight"] > 0, timeout=60, description="work")


@pytest.mark.long
def test_a_restart_with_its_data_needs_no_command(fragile: FleetOf, own_valkey: Valkey, sandbox: SandboxServer) -> None:
    """Valkey killed and started again in the middle of a run: workers reconnect, every job is paid for once."""
    write_catalog(fragile.command.folder, 60)
    sandbox.control(latency=0.4)
    with fragile.workers(2):
        run_id = fragile.submit()
        under_way(sandbox)
        own_valkey.kill()
        own_valkey.start()
        done = fragile.finished(run_id, within=90)
    assert (done["succeeded"], done["failed"]) == (60, 0)
    assert (sandbox.charged, sandbox.paid_twice) == (60, {})


@pytest.mark.long
def test_a_restart_without_data_needs_no_command(fragile: FleetOf, own_valkey: Valkey, sandbox: SandboxServer) -> None:
    """Valkey back empty: the run is rebuilt from S3 and goes on by itself; `resume` meanwhile does no harm."""
    write_catalog(fragile.command.folder, 60)
    sandbox.control(latency=0.4)
    with fragile.workers(2):
        run_id = fragile.submit()
        under_way(sandbox)
        own_valkey.kill()
        own_valkey.start(empty=True)
        fragile.command("resume", run_id, "--detach")
        done = fragile.finished(run_id, within=90)
    assert (done["succeeded"], done["failed"]) == (60, 0)
    assert (sandbox.charged, sandbox.paid_twice) == (60, {})
    assert done["credits_spent"] == pytest.approx(0.02 * 60)


@pytest.mark.long
def test_a_report_that_redis_was_lost_under_is_written_again(
    fragile: FleetOf, own_valkey: Valkey, s3: S3, sandbox: SandboxServer
) -> None:
    """Redis goes on naming a living worker as the report's writer, who could not say that it has given up."""
    write_catalog(fragile.command.folder, 6)
    with running_proxy(s3.port) as proxy:
        proxy.watches.append(Watch(b"/report.csv", own_valkey.kill, "after"))
        with fragile.with_settings(AWS_ENDPOINT_URL_S3=f"http://127.0.0.1:{proxy.port}").workers(1):
            run_id = fragile.submit()
            wait_until(lambda: not proxy.watches, timeout=60, description="the report")
            log = next(fragile.command.folder.glob("worker-*.log"))
            wait_until(lambda: "could not be written" in log.read_text(), timeout=60, description="the writer's word")
            own_valkey.start()
            done = fragile.finished(run_id, within=60)
    assert (done["succeeded"], sandbox.charged) == (6, 6)


@pytest.mark.long
@pytest.mark.parametrize("seconds", [6, 60])
def test_a_frozen_redis_makes_no_call_twice(
    fragile: FleetOf, own_valkey: Valkey, sandbox: SandboxServer, seconds: int
) -> None:
    """SIGSTOP for far longer than a heartbeat lives: no call begins meanwhile, none is repeated after."""
    write_catalog(fragile.command.folder, 60)
    sandbox.control(latency=0.4)
    with fragile.workers(2):
        run_id = fragile.submit()
        under_way(sandbox)
        own_valkey.freeze()
        frozen = Clock(seconds)
        wait_until(lambda: sandbox.counters()["in_flight"] == 0, timeout=40, description="calls in flight to end")
        calls = sandbox.calls
        frozen.wait()
        assert sandbox.calls == calls
        own_valkey.thaw()
        done = fragile.finished(run_id, within=90)
    assert (done["succeeded"], done["failed"]) == (60, 0)
    assert (sandbox.charged, sandbox.paid_twice) == (60, {})


@pytest.mark.long
def test_a_black_hole_ends_within_45_seconds(fragile: FleetOf, own_valkey: Valkey, sandbox: SandboxServer) -> None:
    """One worker's packets vanish: the other goes on, and the cut off one is back by itself."""
    write_catalog(fragile.command.folder, 200)
    sandbox.control(latency=0.3)
    with running_proxy(own_valkey.port) as proxy:
        lonely = fragile.with_settings(RESTYLE_REDIS_URL=f"redis://127.0.0.1:{proxy.port}/0")
        with fragile.worker(), lonely.worker():
            fragile.wait_for_workers(2)
            run_id = fragile.submit()
            under_way(sandbox)
            proxy.swallow()
            fragile.wait_for_workers(1)
            proxy.release()
            wait_until(lambda: len(living(fragile)) == 2, timeout=45, description="the worker that was cut off")
            done = fragile.finished(run_id, within=90)
    assert (done["succeeded"], done["failed"]) == (200, 0)
    assert sandbox.charged <= 200 + 4, "jobs, and the calls in flight of the one taken for dead"


@pytest.mark.long
def test_killed_connections_run_nothing_twice(fragile: FleetOf, own_valkey: Valkey, sandbox: SandboxServer) -> None:
    """Celery re-queues every running task when a connection dies; none of them is called again."""
    write_catalog(fragile.command.folder, 60)
    sandbox.control(latency=0.4)
    state = State(own_valkey.url, namespace="", account="")
    with fragile.workers(2):
        run_id = fragile.submit()
        for calls in (5, 15, 25):
            under_way(sandbox, calls)
            state.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        done = fragile.finished(run_id, within=90)
    state.close()
    assert (done["succeeded"], done["failed"]) == (60, 0)
    assert (sandbox.charged, sandbox.paid_twice) == (60, {})


def double(fragile: FleetOf, valkey: Valkey, *, lose: int = 0) -> int:
    """Has every message on the queue come twice, but for some that are lost; answers with how many there were."""
    state = State(valkey.url, namespace="", account="")
    queue = fragile.workspace.namespace + "queue:jobs"
    messages = state.ask("LRANGE", queue, 0, -1)
    state.ask("DEL", queue)
    state.ask("LPUSH", queue, *(message for message in reversed(messages[lose:]) for _ in range(2)))
    state.close()
    return len(messages)


@pytest.mark.long
def test_every_message_twice_and_some_lost(fragile: FleetOf, own_valkey: Valkey, sandbox: SandboxServer) -> None:
    """Messages are only hints: doubled ones are dropped, lost ones are fed again."""
    write_catalog(fragile.command.folder, 40)
    sandbox.control(latency=0.1)
    run_id = fragile.submit()
    assert double(fragile, own_valkey, lose=5) == 40
    with fragile.workers(2):
        done = fragile.finished(run_id, within=90)
    assert (done["succeeded"], sandbox.charged, sandbox.paid_twice) == (40, 40, {})


@pytest.mark.long
def test_doubled_messages_burn_no_rate(fragile: FleetOf, own_valkey: Valkey, sandbox: SandboxServer) -> None:
    """The queue doubled under a rate limit: paid calls = jobs, and 95 % of the limit is used."""
    write_catalog(fragile.command.folder, 400)
    sandbox.control(latency=0.2)
    fragile = fragile.with_settings(RESTYLE_MAX_RPM="300")
    run_id = fragile.submit()
    assert double(fragile, own_valkey) == 400
    with fragile.workers(2):
        done = fragile.finished(run_id, within=110)
    assert (done["succeeded"], sandbox.charged, sandbox.paid_twice) == (400, 400, {})
    begun = sorted(sandbox.counters()["begun"])
    assert busiest(begun, 60) <= 300
    assert (len(begun) - 1) / (begun[-1] - begun[0]) * 60 >= 0.95 * 300


@pytest.mark.long
def test_the_same_manifest_submitted_twice_at_once(fleet: FleetOf, sandbox: SandboxServer) -> None:
    """Two runs of the same jobs: one goes on, or both do, but each job is paid for once."""
    write_catalog(fleet.command.folder, 30)
    sandbox.control(latency=0.2)
    words = ("submit", "manifest.csv", "--prompt", "photo of {id}", "--yes", "--new")
    with fleet.workers(2):
        with fleet.command.started(*words) as left, fleet.command.started(*words) as right:
            told = [process.communicate(timeout=60) for process in (left, right)]
        runs = [out.strip() for out, _ in told if out.strip()]
        assert runs, told
        for run_id in runs:
            fleet.finished(run_id, within=90)
    assert (sandbox.charged, sandbox.paid_twice) == (30, {})


@pytest.mark.long
def test_a_worker_that_loses_redis_for_long_is_back_without_a_hand(
    fragile: FleetOf, own_valkey: Valkey, sandbox: SandboxServer
) -> None:
    """Valkey gone for 10 s: supervised workers come back or never left, and finish."""
    write_catalog(fragile.command.folder, 30)
    sandbox.control(latency=0.3)
    with supervised(fragile.command, 2):
        run_id = fragile.submit()
        under_way(sandbox, 4)
        own_valkey.kill()
        Clock(10).wait()
        own_valkey.start()
        done = fragile.finished(run_id, within=90)
    assert (done["succeeded"], sandbox.charged, sandbox.paid_twice) == (30, 30, {})


def living(fleet: FleetOf) -> dict[str, object]:
    """The workers whose heart beats."""
    found: dict[str, object] = fleet.command("status", "--json").json["workers"]
    return found
