"""An API that is down: the fleet stops early, probes, and goes on by itself; no job pays for it with its attempts."""

from __future__ import annotations

import json
import time

import pytest

from tests.acceptance.conftest import FleetOf
from tests.support.catalog import write_catalog
from tests.support.clock import Clock
from tests.support.sandbox import SandboxServer
from tests.support.wait import wait_until

pytestmark = pytest.mark.acceptance


@pytest.mark.parametrize(
    ("jobs", "concurrency", "seconds"), [(60, 8, 6), pytest.param(1000, 32, 180, marks=[pytest.mark.long])]
)
@pytest.mark.timeout(600)
def test_an_outage_is_sat_out(
    fleet: FleetOf, sandbox: SandboxServer, jobs: int, concurrency: int, seconds: int
) -> None:
    """Failed calls stay few, no job fails, and the run goes on at the first good answer; `run` waits meanwhile."""
    write_catalog(fleet.command.folder, jobs)
    sandbox.control(rates={"500": 1.0}, latency=0.05)
    probes = {"RESTYLE_PROBE_SECONDS": "5", "RESTYLE_PROBE_MAX": "300"} if seconds > 60 else {}
    fleet = fleet.with_settings(RESTYLE_CONCURRENCY=str(concurrency), **probes)
    with (
        fleet.workers(1),
        fleet.command.started("run", "manifest.csv", "--prompt", "{id}", "--yes", "--json") as process,
    ):
        wait_until(lambda: sandbox.calls > 0, timeout=60, description="the first call")
        outage = Clock(seconds)
        wait_until(lambda: reasons(fleet) == {"outage"}, timeout=40, description="the suspension")
        outage.wait()
        assert process.poll() is None, "`run` sits it out"
        failed = sandbox.calls
        assert failed <= max(20, 2 * concurrency) + (16 if seconds > 60 else 8), "failed calls, probes among them"
        sandbox.control(rates={})
        wait_until(lambda: sandbox.charged > 0, timeout=20 + 2 * seconds, description="the first good answer")
        good = time.monotonic()
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert time.monotonic() - good <= 60 + jobs * 0.05 / concurrency, "goes on at the first good answer"
    done = json.loads(out)
    assert (done["succeeded"], done["failed"], done["pending"]) == (jobs, 0, 0)
    assert (sandbox.charged, sandbox.paid_twice) == (jobs, {})


def test_one_bad_variant_trips_nothing(fleet: FleetOf, sandbox: SandboxServer) -> None:
    """Jobs of one variant that always answer 500 fail by themselves; the others go on and the fleet never stops."""
    write_catalog(fleet.command.folder, 20)
    for _ in range(20):
        sandbox.script(*["500"] * 10, prompt_contains="by the sea")
    with fleet.workers(1):
        done = fleet.command("run", "manifest.csv", "--variants", "variants.json", "--yes", "--json", expect=1).json
    assert (done["succeeded"], done["failed"], done["pending"]) == (20, 20, 0)
    assert sandbox.counters()["by_status"]["500"] == 100


def reasons(fleet: FleetOf) -> set[str]:
    """Why the fleet is suspended."""
    return {entry["reason"] for entry in fleet.command("status", "--json").json["suspension"]}
