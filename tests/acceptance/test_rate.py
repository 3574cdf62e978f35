"""The account's rate limit holds for the whole fleet, is used, and a 429 costs nobody an attempt."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.acceptance.conftest import FleetOf
from tests.support.catalog import write_catalog
from tests.support.clock import Clock
from tests.support.proxy import running_proxy
from tests.support.sandbox import SandboxServer
from tests.support.wait import wait_until

pytestmark = pytest.mark.acceptance


def busiest(begun: list[float], seconds: float) -> int:
    """The most calls that began within any window of so many seconds."""
    most = first = 0
    for last, at in enumerate(begun):
        while begun[first] <= at - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


@pytest.mark.long
def test_the_whole_fleet_keeps_the_limit_evenly(fleet: FleetOf, sandbox: SandboxServer) -> None:
    """Two workers, 600 calls a minute: never more than 10 in a second nor 100 in ten, and hardly fewer."""
    write_catalog(fleet.command.folder, 120)
    fleet = fleet.with_settings(RESTYLE_MAX_RPM="600")
    with fleet.workers(2):
        fleet.finished(fleet.submit(), within=60)
    begun = sorted(sandbox.counters()["begun"])
    assert len(begun) == 120
    assert busiest(begun, 10) <= 105
    assert 120 / (begun[-1] - begun[0]) * 60 >= 0.93 * 600


@pytest.mark.long
@pytest.mark.timeout(500)
def test_four_workers_keep_120_a_minute_for_5_minutes(fleet: FleetOf, sandbox: SandboxServer) -> None:
    """No 60 s window with more than 120 calls begun, and at least 114 a minute."""
    write_catalog(fleet.command.folder, 700)
    fleet = fleet.with_settings(RESTYLE_MAX_RPM="120")
    sandbox.control(latency=1)
    with fleet.workers(4):
        run_id = fleet.submit()
        wait_until(lambda: sandbox.calls > 0, timeout=60, description="the first call")
        Clock(310).wait()
        begun = sorted(sandbox.counters()["begun"])
        fleet.command("cancel", run_id)
    within = [at for at in begun if at <= begun[0] + 300]
    assert busiest(begun, 60) <= 120
    assert len(within) / 5 >= 114


@pytest.mark.long
@pytest.mark.parametrize("header", ["retry-after", "x-rate-limit-reset-at-utc", "none"])
def test_429_holds_the_fleet_and_costs_no_attempt(fleet: FleetOf, sandbox: SandboxServer, header: str) -> None:
    """After a 429 nobody calls before the reset; no attempt is charged and nothing fails."""
    write_catalog(fleet.command.folder, 20)
    sandbox.control(reset_header=header, latency=0.1)
    sandbox.script(*["429"] * 4)
    fleet = fleet.with_settings(RESTYLE_MAX_ATTEMPTS="1", RESTYLE_CONCURRENCY="2")
    with fleet.workers(2):
        done = fleet.finished(fleet.submit(), within=60)
    assert (done["succeeded"], done["failed"], done["attempts"]) == (20, 0, 20)
    assert (sandbox.charged, sandbox.counters()["by_status"]["429"]) == (20, 4)
    begun = sorted(sandbox.counters()["begun"])
    gaps = [later - earlier for earlier, later in pairwise(begun)]
    assert max(gaps) >= 1.0, "the fleet waited for the reset"


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_line_that_stalls_exceeds_no_limit(fleet: FleetOf, sandbox: SandboxServer) -> None:
    """At 300 a minute the way to the API stands still for 4.5 s, and then all comes at once: never more than 300."""
    write_catalog(fleet.command.folder, 600)
    sandbox.control(latency=0.2)
    with running_proxy(int(sandbox.origin.rpartition(":")[2])) as line:
        url = f"http://127.0.0.1:{line.port}/v1/sdxl-img2img"
        fleet = fleet.with_settings(RESTYLE_MAX_RPM="300", RESTYLE_API_URL=url, RESTYLE_CONCURRENCY="32")
        with fleet.workers(2):
            run_id = fleet.submit()
            wait_until(lambda: sandbox.charged > 60, timeout=60, description="calls at a steady pace")
            line.open_gate.clear()
            Clock(4.5).wait()
            line.open_gate.set()
            Clock(65).wait()
            begun = sorted(sandbox.counters()["begun"])
            fleet.command("cancel", run_id)
    assert busiest(begun, 60) <= 300
