"""An empty balance, a wrong key, a wrong address: the whole fleet stops, nothing is failed, and resume goes on."""

from __future__ import annotations

import pytest

from tests.acceptance.conftest import Alone, FleetOf
from tests.support.catalog import write_catalog
from tests.support.sandbox import SandboxServer
from tests.support.wait import wait_until

pytestmark = pytest.mark.acceptance

RUN = ("run", "manifest.csv", "--prompt", "photo of {id}", "--yes", "--json")
IN_FLIGHT = 16


def empty_soon(sandbox: SandboxServer) -> None:
    """Credits for 25 calls, each slow enough for 16 to be in flight."""
    sandbox.control(balance=25 * 0.02, latency=0.4)


def stopped_at_once(sandbox: SandboxServer) -> None:
    """After the first 406 no more calls begin than were in flight, none later than half a second, none is charged."""
    counters = sandbox.counters()
    after = counters["begun_after_first_406"]
    assert counters["charged"] == 25
    assert after["count"] <= IN_FLIGHT
    assert after["latest"] <= 0.5
    assert counters["peak_in_flight"] <= IN_FLIGHT


@pytest.mark.long
def test_an_empty_balance_stops_the_run(alone: Alone, sandbox: SandboxServer) -> None:
    """25 of 100 jobs are paid for; exit 3 says what to type; after a top-up, resume pays for the other 75, once."""
    write_catalog(alone.folder, 100)
    empty_soon(sandbox)
    stopped = alone.command(*RUN, "--concurrency", str(IN_FLIGHT), expect=3)
    now = stopped.json
    assert (now["status"], now["succeeded"], now["failed"], now["pending"]) == ("suspended", 25, 0, 75)
    assert now["suspension"]["reason"] == "no_credits"
    assert f"restyle resume {now['run_id']}" in stopped.err
    assert "credits" in stopped.err
    stopped_at_once(sandbox)

    still = alone.command("status", now["run_id"], "--json").json
    assert (still["pending"], still["suspension"]["reason"]) == (75, "no_credits")
    calls = sandbox.calls
    sandbox.control(top_up=10, latency=0.02)
    done = alone.command("resume", now["run_id"], "--json").json
    assert (done["status"], done["succeeded"], done["failed"]) == ("finished", 100, 0)
    assert (sandbox.calls - calls, sandbox.charged, sandbox.paid_twice) == (75, 100, {})


def test_an_empty_balance_stops_every_worker_of_a_fleet(fleet: FleetOf, sandbox: SandboxServer) -> None:
    """The same with two workers on an external Valkey, and a third that starts after the 406 makes no call either."""
    write_catalog(fleet.command.folder, 100)
    empty_soon(sandbox)
    eight = {**fleet.command.env, "RESTYLE_CONCURRENCY": str(IN_FLIGHT // 2)}
    fleet = FleetOf(type(fleet.command)(fleet.command.folder, eight), fleet.store, fleet.workspace)
    with fleet.workers(2):
        now = fleet.command(*RUN, expect=3).json
        assert (now["status"], now["succeeded"], now["failed"], now["pending"]) == ("suspended", 25, 0, 75)
        stopped_at_once(sandbox)
        calls = sandbox.calls
        with fleet.worker():
            fleet.wait_for_workers(3)
            sandbox.control(top_up=10, latency=0.02)
            assert sandbox.calls == calls
            done = fleet.command("resume", now["run_id"], "--json").json
    assert (done["status"], done["succeeded"], done["failed"]) == ("finished", 100, 0)
    assert (sandbox.calls - calls, sandbox.charged, sandbox.paid_twice) == (75, 100, {})


@pytest.mark.long
@pytest.mark.parametrize(("status", "reason"), [("401", "unauthorized"), ("404", "misconfigured")])
def test_a_wrong_key_or_address_stops_the_run(alone: Alone, sandbox: SandboxServer, status: str, reason: str) -> None:
    """401 and 404 suspend with their own reason, fail nothing, and resume finishes once it is mended."""
    write_catalog(alone.folder, 20)
    sandbox.control(rates={status: 1.0})
    stopped = alone.command(*RUN, expect=3)
    now = stopped.json
    assert (now["suspension"]["reason"], now["failed"], now["pending"]) == (reason, 0, 20)
    assert sandbox.calls <= 16
    assert f"restyle resume {now['run_id']}" in stopped.err
    sandbox.control(rates={})
    done = alone.command("resume", now["run_id"], "--json").json
    assert (done["succeeded"], sandbox.charged) == (20, 20)


@pytest.mark.long
def test_a_person_suspends_the_fleet(fleet: FleetOf, sandbox: SandboxServer) -> None:
    """`suspend` stops a fleet between two calls; `resume` lets it go on."""
    write_catalog(fleet.command.folder, 120)
    sandbox.control(latency=1.5)
    with fleet.workers(1):
        run_id = fleet.command("submit", "manifest.csv", "--prompt", "photo of {id}", "--yes").out.strip()
        wait_until(lambda: sandbox.charged >= 3, timeout=40, description="the first calls")
        fleet.command("suspend")
        wait_until(lambda: sandbox.counters()["in_flight"] == 0, timeout=40, description="calls in flight to end")
        calls = sandbox.calls
        held = fleet.command("status", run_id, "--json", "--exit-code", expect=3).json
        assert held["suspension"]["reason"] == "operator"
        assert sandbox.calls == calls
        sandbox.control(latency=0.02)
        fleet.command("resume")
        fleet.command("watch", run_id)
    assert (sandbox.charged, sandbox.paid_twice) == (120, {})
