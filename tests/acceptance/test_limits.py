"""A run's own limits: budget, finishing time, approval, priority; and those of the day and of the account."""

from __future__ import annotations

import time

import pytest

from restyle.models import Run
from restyle.record import Record
from tests.acceptance.conftest import FleetOf
from tests.support.catalog import write_catalog, write_pictures, write_rows, write_variants
from tests.support.sandbox import SandboxServer
from tests.support.wait import wait_until

pytestmark = pytest.mark.acceptance

RUN = ("run", "manifest.csv", "--prompt", "photo of {id}", "--yes", "--json")


@pytest.mark.long
@pytest.mark.parametrize(
    ("spread", "settings"),
    [(0.0, {"RESTYLE_PRICE": "1"}), (0.5, {"RESTYLE_MAX_PRICE": "1.5"})],
    ids=["even", "varying"],
)
def test_a_budget_is_never_exceeded(
    fleet: FleetOf, sandbox: SandboxServer, spread: float, settings: dict[str, str]
) -> None:
    """32 calls in flight at about a credit each: at most 50 are spent, at least 45; exit 4; more budget goes on."""
    write_catalog(fleet.command.folder, 80)
    sandbox.control(price=1, price_spread=spread, latency=0.3)
    fleet = fleet.with_settings(RESTYLE_CONCURRENCY="32", **settings)
    with fleet.workers(1):
        stopped = fleet.command(*RUN, "--budget", "50", expect=4)
        now = stopped.json
        assert (now["status"], now["suspension"]["reason"], now["failed"]) == ("suspended", "budget", 0)
        assert 45 <= sandbox.counters()["charged_credits"] <= 50
        assert "--budget" in stopped.err
        done = fleet.command("resume", now["run_id"], "--budget", "200", "--json").json
    assert (done["succeeded"], sandbox.charged, sandbox.paid_twice) == (80, 80, {})


@pytest.mark.long
def test_without_a_ceiling_a_budget_is_exceeded_by_little(fleet: FleetOf, sandbox: SandboxServer) -> None:
    """Nobody told what a call may cost: at most (calls in flight) x (highest price seen - estimate) too much."""
    write_catalog(fleet.command.folder, 90)
    sandbox.control(price=1, price_spread=0.5, latency=0.3)
    fleet = fleet.with_settings(RESTYLE_CONCURRENCY="32", RESTYLE_PRICE="1")
    with fleet.workers(1):
        now = fleet.command(*RUN, "--budget", "50", expect=4).json
    assert now["suspension"]["reason"] == "budget"
    assert 45 <= sandbox.counters()["charged_credits"] <= 50 + 32 * (1.5 - 1)


@pytest.mark.long
def test_a_dead_workers_calls_count_as_spent(fleet: FleetOf, sandbox: SandboxServer) -> None:
    """What a killed worker had in flight may have been paid for: the budget has that much less room."""
    write_catalog(fleet.command.folder, 30)
    sandbox.control(price=1, latency=2)
    fleet = fleet.with_settings(RESTYLE_CONCURRENCY="5", RESTYLE_PRICE="1")
    with fleet.worker() as first:
        run_id = fleet.submit("photo of {id}", "--budget", "10")
        wait_until(lambda: sandbox.counters()["in_flight"] == 5, timeout=60, description="5 calls in flight")
        first.kill()
        first.wait()
    sandbox.control(latency=0.1)
    with fleet.worker():
        fleet.command("watch", run_id, expect=4)
    wait_until(lambda: sandbox.counters()["in_flight"] == 0, timeout=40, description="abandoned calls to end")
    assert sandbox.counters()["charged_credits"] <= 10


@pytest.mark.long
def test_the_day_and_the_account_have_limits_too(fleet: FleetOf, sandbox: SandboxServer) -> None:
    """A daily budget stops every run of the workspace; RESTYLE_MIN_CREDITS stops before the balance is empty."""
    write_catalog(fleet.command.folder, 20)
    sandbox.control(price=1, latency=0.1)
    daily = fleet.with_settings(RESTYLE_PRICE="1", RESTYLE_DAILY_BUDGET="7")
    with daily.workers(1):
        now = daily.command(*RUN, expect=4).json
        assert "7.00" in now["suspension"]["detail"]
        assert sandbox.charged == 7
    sandbox.control(balance=10)
    frugal = fleet.with_settings(RESTYLE_PRICE="1", RESTYLE_MIN_CREDITS="4.5")
    with frugal.workers(1):
        now = frugal.command("resume", now["run_id"], "--json", expect=3).json
    assert now["suspension"]["reason"] == "no_credits"
    assert sandbox.counters()["balance"] >= 4.5
    assert sandbox.counters()["by_status"].get("406", 0) == 0
    assert sandbox.charged == 12


@pytest.mark.long
def test_nothing_begins_that_would_end_too_late(fleet: FleetOf, sandbox: SandboxServer) -> None:
    """--max-duration: no call begins after its time, the rest is pending, exit 4, and resume goes on without it."""
    write_catalog(fleet.command.folder, 60)
    sandbox.control(latency=1)
    fleet = fleet.with_settings(RESTYLE_CONCURRENCY="4")
    with fleet.workers(1):
        fleet.finished(fleet.submit("warm up {id}", "--limit", "4"), within=60)
        before, began = sandbox.charged, time.time()
        now = fleet.command(*RUN, "--max-duration", "12s", expect=4).json
        begun = [at for at in sandbox.counters()["begun"] if at > began]
        assert now["suspension"]["reason"] == "deadline"
        assert 4 <= sandbox.charged - before < 60
        ends = Run.model_validate_json(fleet.store.get(fleet.workspace.run(now["run_id"])).data).finish_by
        assert ends is not None
        assert max(begun) <= ends.timestamp()
        sandbox.control(latency=0.05)
        done = fleet.command("resume", now["run_id"], "--json").json
    assert (done["succeeded"], sandbox.charged) == (60, 64)


@pytest.mark.long
def test_a_sample_waits_for_approval(fleet: FleetOf, sandbox: SandboxServer) -> None:
    """12 of 3 variants and 4 folders: one of each; approve runs the rest without repeating them; reject ends a run."""
    names = [f"{folder}{number}" for folder in "abcd" for number in range(3)]
    write_pictures(fleet.command.folder / "images", names)
    rows = [{"id": f"{name[0]}/{name}", "image": f"images/{name}.jpg"} for name in names]
    write_rows(fleet.command.folder / "manifest.csv", rows)
    write_variants(fleet.command.folder, [{"name": name, "prompt": f"{name} {{id}}"} for name in ("x", "y", "z")])
    words = ("run", "manifest.csv", "--variants", "variants.json", "--sample", "12", "--then-ask", "--yes", "--json")
    with fleet.workers(1):
        asked = fleet.command(*words, expect=4).json
        assert (asked["status"], asked["succeeded"], asked["pending"]) == ("awaiting_approval", 12, 24)
        root = fleet.workspace.under("records") + "/"
        found = {
            (key.split("/")[0], key.rpartition("/")[2])
            for key in (o.uri.removeprefix(root) for o in fleet.store.list(root))
        }
        assert found == {(folder, f"{variant}.json") for folder in "abcd" for variant in "xyz"}
        fleet.command("resume", asked["run_id"], "--json", expect=4)
        assert sandbox.charged == 12, "resume is no approval"
        done = fleet.command("approve", asked["run_id"], "--json").json
        assert (done["status"], done["succeeded"], sandbox.charged, sandbox.paid_twice) == ("finished", 36, 36, {})
        other = fleet.command(*words, "--set", "strength=0.3", expect=4).json["run_id"]
        assert fleet.command("reject", other, "--json").json["status"] == "cancelled"
        third = fleet.command(*words, "--set", "strength=0.4", "--budget", "1", expect=4).json["run_id"]
        part = fleet.command("approve", third, "--variant", "x", "--json").json
        assert (part["status"], part["planned"], part["succeeded"]) == ("finished", 8, 8)
        assert fleet.command("status", third, "--json").json["status"] == "cancelled"
    assert sandbox.charged == 48 + 12 + 8


@pytest.mark.parametrize(("rpm", "jobs"), [("0", 10_000), ("400", 300)], ids=["10,000 jobs", "paced"])
@pytest.mark.long
def test_an_urgent_run_goes_first(fleet: FleetOf, sandbox: SandboxServer, rpm: str, jobs: int) -> None:
    """A high run of 10 finishes within the time of 15 calls, while a normal one of thousands is under way."""
    write_pictures(fleet.command.folder / "images", ["one"])
    rows = ({"id": f"item-{number:05d}", "image": "images/one.jpg"} for number in range(jobs))
    write_rows(fleet.command.folder / "manifest.csv", rows)
    write_variants(fleet.command.folder, [{"name": "urgent", "prompt": "urgent {id}"}])
    sandbox.control(latency=0.15)
    fleet = fleet.with_settings(RESTYLE_CONCURRENCY="2", RESTYLE_MAX_RPM=rpm)
    with fleet.workers(1):
        normal = fleet.submit("normal {id}")
        wait_until(lambda: sandbox.charged >= 10, timeout=60, description="the normal run to be under way")
        words = ("submit", "manifest.csv", "--variants", "variants.json", "--limit", "10", "--yes")
        urgent = fleet.command(*words, "--priority", "high").out.strip()
        queued = time.time()
        wait_until(
            lambda: fleet.store.head(fleet.workspace.run(urgent, "results", "000000.jsonl.gz")),
            timeout=60,
            description="the urgent run",
        )
        fleet.command("cancel", normal)
    found = fleet.store.list(fleet.workspace.under("records") + "/")
    records = [Record.model_validate_json(fleet.store.get(entry.uri).data) for entry in found if "/urgent" in entry.uri]
    assert len(records) == 10
    last = max(record.timestamps.called for record in records).timestamp()
    calls = sum(queued < at <= last for at in sandbox.counters()["begun"])
    assert calls <= 15, "from its submission on, its own 10 among them"
