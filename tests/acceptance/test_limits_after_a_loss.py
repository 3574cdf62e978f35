"""What bounds spending outlives Redis: after it has come back empty, not one call is made beyond what was allowed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from restyle.coordination.redis.client import State
from tests.acceptance.conftest import FleetOf
from tests.support.catalog import write_catalog
from tests.support.clock import Clock
from tests.support.proxy import Proxy, running_proxy
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3
from tests.support.wait import wait_until

# Their short forms are in tests/integration, with a fleet in one process.
pytestmark = [pytest.mark.acceptance, pytest.mark.long]

#: Seconds that each request to S3 takes where it is slow.
SLOW = 0.25


@pytest.fixture
def proxy(s3: S3) -> Iterator[Proxy]:
    """What stands between everybody and S3."""
    with running_proxy(s3.port) as found:
        yield found


@pytest.fixture
def bounded(fleet: FleetOf, proxy: Proxy, sandbox: SandboxServer) -> FleetOf:
    """A fleet whose calls cost a credit each, in shards of five jobs."""
    sandbox.control(price=1, latency=0.05)
    return fleet.with_settings(
        AWS_ENDPOINT_URL_S3=f"http://127.0.0.1:{proxy.port}", RESTYLE_PRICE="1", RESTYLE_SHARD_JOBS="5",
        RESTYLE_CONCURRENCY="4",
    )  # fmt: skip


def lose_everything(fleet: FleetOf) -> None:
    """Redis is empty from one moment to the next."""
    state = State(fleet.command.env["RESTYLE_REDIS_URL"], namespace="", account="")
    state.ask("FLUSHALL")
    state.close()


def stands(fleet: FleetOf, run_id: str, reason: str, *, within: float = 60) -> None:
    """Waits until a run stands still for a reason and no call is out."""

    def look() -> bool:
        now = fleet.status(run_id)
        return (now["suspension"] or {}).get("reason") == reason and now["in_flight"] == 0

    wait_until(look, timeout=within, description=f"{run_id} to be suspended: {reason}")


def test_a_budget_outlives_redis(bounded: FleetOf, proxy: Proxy, sandbox: SandboxServer) -> None:
    """30 credits are spent of 30 in several shards; Redis is empty, S3 slow, somebody types resume: 30 are spent."""
    write_catalog(bounded.command.folder, 60)
    with bounded.workers(1):
        run_id = bounded.submit("photo of {id}", "--budget", "30")
        stands(bounded, run_id, "budget")
        assert sandbox.charged == 30
        proxy.delay = SLOW
        lose_everything(bounded)
        bounded.command("resume", run_id, "--detach")
        stands(bounded, run_id, "budget")
        proxy.delay = 0
        assert sandbox.charged == 30
        bounded.command("resume", run_id, "--budget", "33", "--json", expect=4)
    assert (sandbox.charged, sandbox.paid_twice) == (33, {})


def test_a_days_budget_outlives_redis(bounded: FleetOf, proxy: Proxy, sandbox: SandboxServer) -> None:
    """A run of 12 has ended, another has spent 8 of the day's 20; Redis is empty: nothing more is spent today."""
    bounded = bounded.with_settings(RESTYLE_DAILY_BUDGET="20")
    write_catalog(bounded.command.folder, 40)
    with bounded.workers(1):
        bounded.finished(bounded.submit("first {id}", "--limit", "12"), within=60)
        second = bounded.submit("second {id}")
        stands(bounded, second, "budget")
        assert sandbox.charged == 20
        proxy.delay = SLOW
        lose_everything(bounded)
        bounded.command("resume", second, "--detach")
        stands(bounded, second, "budget")
        assert sandbox.charged == 20


def test_an_approval_outlives_redis(bounded: FleetOf, proxy: Proxy, sandbox: SandboxServer) -> None:
    """A sample of 4 is done and nobody has approved; Redis is empty, somebody types resume: 4 are paid for."""
    write_catalog(bounded.command.folder, 30)
    with bounded.workers(1):
        run_id = bounded.submit("photo of {id}", "--sample", "4", "--then-ask")
        stands(bounded, run_id, "awaiting_approval")
        proxy.delay = 4 * SLOW
        lose_everything(bounded)
        bounded.command("resume", run_id, "--detach")
        proxy.delay = 0
        stands(bounded, run_id, "awaiting_approval")
        assert sandbox.charged == 4
        bounded.command("approve", run_id, "--detach")
        wait_until(lambda: sandbox.charged > 4, timeout=30, description="the rest to follow")


def test_a_cancelled_run_stays_so_after_redis_is_lost(bounded: FleetOf, proxy: Proxy, sandbox: SandboxServer) -> None:
    """Suspended by a person, lost by Redis, cancelled: not one call more, and its report is written."""
    write_catalog(bounded.command.folder, 40)
    sandbox.control(latency=2)
    with bounded.workers(1):
        run_id = bounded.submit()
        wait_until(lambda: sandbox.charged >= 8, timeout=60, description="8 calls")
        bounded.command("suspend", run_id)
        stands(bounded, run_id, "operator")
        spent = sandbox.calls
        proxy.delay = SLOW
        lose_everything(bounded)
        bounded.command("cancel", run_id)
        wait_until(lambda: bounded.status(run_id)["report"], timeout=60, description="its report")
        assert bounded.status(run_id)["status"] == "cancelled"
        assert sandbox.calls == spent


def test_what_a_person_suspended_stays_suspended(bounded: FleetOf, sandbox: SandboxServer) -> None:
    """Redis forgets a suspension, of a run or of the fleet; S3 does not, until somebody types resume."""
    write_catalog(bounded.command.folder, 20)
    sandbox.control(latency=3)
    with bounded.workers(1):
        run_id = bounded.submit()
        wait_until(lambda: sandbox.charged >= 4, timeout=60, description="4 calls")
        bounded.command("suspend")
        bounded.command("suspend", run_id)
        sandbox.control(latency=0.1)
        stands(bounded, run_id, "operator")
        spent = sandbox.calls
        lose_everything(bounded)
        other = bounded.command(
            "submit", "manifest.csv", "--variants", "variants.json", "--limit", "3", "--yes"
        ).out.strip()  # fmt: skip
        stands(bounded, run_id, "operator")
        stands(bounded, other, "operator")
        Clock(2).wait()
        assert sandbox.calls == spent
        bounded.command("resume")
        wait_until(lambda: sandbox.calls > spent, timeout=30, description="the other run")
        bounded.command("resume", run_id, "--detach")
        assert bounded.finished(run_id, within=60)["succeeded"] == 20
