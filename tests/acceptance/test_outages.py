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


@pytest.mark.long
def test_one_bad_variant_trips_nothing(fleet: FleetOf, sandbox: SandboxServer) -> None:
    """Jobs of one variant that always answer 500 fail by themselves; the others go on and the fleet never stops."""
    write_catalog(fleet.command.folder, 20)
    for _ in range(20):
        sandbox.script(*["500"] * 10, prompt_contains="by the sea")
    with fleet.workers(1):
        done = fleet.command("run", "manifest.csv", "--variants", "variants.json", "--yes", "--json", expect=1).json
    assert (done["succeeded"], done["failed"], done["pending"]) == (20, 20, 0)
    assert sandbox.counters()["by_status"]["500"] == 100


@pytest.mark.long
def test_an_outage_that_outlived_its_run_is_probed_by_the_next(fleet: FleetOf, sandbox: SandboxServer) -> None:
    """Its run was cancelled, the API is well again: a new run is begun with a probe at once, however long the wait."""
    write_catalog(fleet.command.folder, 12)
    sandbox.control(rates={"500": 1.0}, latency=0.02)
    fleet = fleet.with_settings(RESTYLE_PROBE_SECONDS="300", RESTYLE_MAX_OUTAGE="30")
    with fleet.workers(1):
        first = fleet.submit()
        wait_until(lambda: reasons(fleet) == {"outage"}, timeout=40, description="the suspension")
        fleet.command("cancel", first)
        wait_until(lambda: fleet.status(first)["report"], timeout=40, description="the end of the first run")
        assert reasons(fleet) == {"outage"}
        sandbox.control(rates={})
        done = fleet.command("run", "manifest.csv", "--prompt", "a {id}", "--yes", "--json", timeout=60).json
    assert (done["succeeded"], done["failed"]) == (12, 0)
    assert (sandbox.charged, sandbox.paid_twice) == (12, {})


@pytest.mark.long
def test_lost_answers_are_an_outage_before_much_is_lost(fleet: FleetOf, sandbox: SandboxServer) -> None:
    """Every picture is billed and no answer comes: the fleet stands still after a few, which are in doubt."""
    write_catalog(fleet.command.folder, 12)
    sandbox.control(rates={"lost": 1.0}, latency=0.2)
    # What a worker tells of a job that it was taken to have lost does not count: a busy machine must not make it one.
    quiet = {"RESTYLE_HEARTBEAT_TTL": "30", "RESTYLE_PROBE_SECONDS": "60"}
    fleet = fleet.with_settings(RESTYLE_CONCURRENCY="2", **quiet)
    with fleet.workers(1):
        run_id = fleet.submit()
        wait_until(lambda: reasons(fleet) == {"outage"}, timeout=40, description="the suspension")
        wait_until(lambda: sandbox.counters()["in_flight"] == 0, timeout=20, description="calls in flight to end")
        lost = sandbox.charged
        assert lost <= 5 + 2, "half as many as failures, and what was in flight"
        sandbox.control(rates={})
        fleet.command("resume", run_id, "--detach")
        done = fleet.finished(run_id, within=60)
    assert done["in_doubt"] == lost
    assert done["succeeded"] + done["failed"] == 12
    assert sandbox.charged == lost + done["succeeded"]


@pytest.mark.long
def test_a_recipe_that_fails_by_itself_fails_its_own_jobs(fleet: FleetOf, sandbox: SandboxServer) -> None:
    """Rows of one variant with a strength that the API answers 500 to, last in the manifest: they fail, no outage."""
    write_catalog(fleet.command.folder, 20)
    rows = (fleet.command.folder / "manifest.csv").read_text().splitlines()
    bad = range(11, 20)
    text = [f"{row},{'0.9' if number - 1 in bad else '0.5'}" for number, row in enumerate(rows)]
    (fleet.command.folder / "manifest.csv").write_text("\n".join(["id,image,strength", *text[1:]]) + "\n")
    for number in bad:
        sandbox.script(*["500"] * 60, prompt_contains=f"item-{number:03d}")
    sandbox.control(latency=0.15)
    fleet = fleet.with_settings(RESTYLE_MAX_ATTEMPTS="3", RESTYLE_CONCURRENCY="12")
    with fleet.workers(1):
        done = fleet.finished(fleet.submit(), within=60)
    assert (done["succeeded"], done["failed"]) == (11, 9)
    assert sandbox.counters()["by_status"]["500"] <= 9 * 6, "bounded tries"


@pytest.mark.long
def test_a_run_whose_recipe_fails_stops_no_other_run(fleet: FleetOf, sandbox: SandboxServer) -> None:
    """An urgent run all of whose calls are answered 500 fails by itself after bounded tries, and another goes well."""
    ids = write_catalog(fleet.command.folder, 40)
    sandbox.control(latency=0.4)
    sandbox.script(*["500"] * 400, prompt_contains="broken")
    fleet = fleet.with_settings(RESTYLE_MAX_ATTEMPTS="3", RESTYLE_CONCURRENCY="4")
    good = fleet.submit("photo of {id}", "--new")
    rows = "".join(f"other-{number},images/{ids[number]}.jpg\n" for number in range(12))
    (fleet.command.folder / "manifest.csv").write_text(f"id,image\n{rows}")
    bad = fleet.submit("broken {id}", "--new", "--priority", "high")
    with fleet.workers(2):
        assert fleet.finished(good, within=90)["succeeded"] == 40
        done = fleet.finished(bad, within=90)
    assert (done["succeeded"], done["failed"]) == (0, 12)
    assert sandbox.counters()["by_status"]["500"] <= 12 * 3 * 3


def reasons(fleet: FleetOf) -> set[str]:
    """Why the fleet is suspended."""
    return {entry["reason"] for entry in fleet.command("status", "--json").json["suspension"]}
