"""A fleet is upgraded from the last version under its runs, worker by worker; and what a later one wrote is refused."""

from __future__ import annotations

import csv
import io
import json
import secrets
import signal
import subprocess
from typing import Any

import pytest

from restyle.coordination.runs.firings import Firings
from restyle.formats import FORMAT
from restyle.s3.store import EMBEDDED_BUCKET
from tests.acceptance.conftest import FleetOf
from tests.acceptance.test_nightly import beats, put, runs, schedule, state_of
from tests.support.catalog import write_pictures, write_rows
from tests.support.earlier import Absent, installed
from tests.support.sandbox import SandboxServer
from tests.support.wait import wait_until

pytestmark = pytest.mark.acceptance

JOBS = 24
NIGHT = 36


@pytest.fixture
def earlier(fleet: FleetOf) -> FleetOf:
    """The same fleet by the last version."""
    try:
        return fleet.as_installed(installed())
    except Absent as reason:
        pytest.skip(f"the last version is not to be had: {reason}")


def submitted(fleet: FleetOf, name: str, *options: str) -> str:
    """A run of `JOBS` entries that no other run has; its id."""
    folder = fleet.command.folder
    ids = [f"{name}-{number:02d}" for number in range(JOBS)]
    write_pictures(folder / "images", ids)
    write_rows(folder / f"{name}.csv", ({"id": one, "image": f"images/{one}.jpg"} for one in ids))
    done = fleet.command("submit", f"{name}.csv", "--prompt", "photo of {id}", "--yes", *options)
    return done.out.strip()


def paid(sandbox: SandboxServer, count: int, description: str) -> None:
    """Waits for so many more calls that are paid for."""
    goal = sandbox.charged + count
    wait_until(lambda: sandbox.charged >= goal, timeout=60, description=description)


def drained(worker: subprocess.Popen[str]) -> None:
    """Ends a worker as whoever upgrades it does."""
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0


def killed(fleet: FleetOf, worker: subprocess.Popen[str]) -> list[str]:
    """Ends a worker with kill -9; the jobs that it was calling for."""
    worker.send_signal(signal.SIGSTOP)
    calling = fleet.calling(worker.pid)
    worker.kill()
    return calling


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_fleet_is_upgraded_under_its_runs(fleet: FleetOf, earlier: FleetOf, sandbox: SandboxServer) -> None:
    """One run suspended, one under way, one to be approved, one scheduled behind another: all end, paid once."""
    images = f"s3://{EMBEDDED_BUCKET}/shop-{secrets.token_hex(4)}/"
    put(fleet, images, [f"night-{number}" for number in range(NIGHT)])
    schedule(fleet.command, images, overlap="queue")
    sandbox.control(latency=3.0)
    fewer = {"RESTYLE_CONCURRENCY": "3", "RESTYLE_SHARD_JOBS": "10"}
    fleet, earlier = fleet.with_settings(**fewer), earlier.with_settings(**fewer)
    with earlier.worker() as first, earlier.worker() as second:
        fleet.wait_for_workers(2)
        suspended = submitted(earlier, "suspended")
        paid(sandbox, 4, "the first calls")
        earlier.command("suspend", suspended)
        sandbox.control(latency=0.1)
        sampled = submitted(earlier, "sampled", "--sample", "3", "--then-ask")
        wait_until(
            lambda: fleet.status(sampled)["status"] == "awaiting_approval", timeout=60, description="the sample's end"
        )
        sandbox.control(latency=8.0)  # so that all of this is under way until a worker has started
        night = earlier.command("schedules", "run", "nightly").out.strip()
        running = submitted(earlier, "running")
        with beats(earlier, 1), earlier.command.started("schedules", "run", "nightly"):
            wait_until(Firings(state_of(fleet)).waiting, timeout=60, description="the firing that waits")
            with fleet.worker(), beats(fleet, 1):
                fleet.wait_for_workers(3)
                paid(sandbox, 3, "calls by workers of both versions")
                drained(first)
                later = submitted(fleet, "later")
                with fleet.worker():
                    fleet.command("resume", suspended, "--detach")
                    paid(sandbox, 3, "calls by workers of both versions")
                    fleet.command("approve", sampled, "--detach")
                    excused = killed(fleet, second)
                    assert Firings(state_of(fleet)).waiting()
                    sandbox.control(latency=0.3)
                    started = (suspended, sampled, night, running, later)
                    ends = {run_id: fleet.finished(run_id, within=120) for run_id in started}
                    [scheduled] = wait_until(
                        lambda: [one for one in runs(fleet) if one not in ends],
                        timeout=60,
                        description="a night",
                    )
                    ends[scheduled] = fleet.finished(scheduled, within=60)
    check_money(sandbox, excused)
    for run_id, end in ends.items():
        check_end(fleet, end, skipped=NIGHT if run_id == scheduled else 0)
    assert sum(end["in_doubt"] for end in ends.values()) == len(excused)
    assert fleet.command("audit", "--json").json["findings"] == []


def check_money(sandbox: SandboxServer, excused: list[str]) -> None:
    """Each job was paid for once, but for those that were called for as their worker was killed."""
    twice = sandbox.paid_twice
    assert len(twice) <= len(excused)
    assert sum(twice.values()) - len(twice) <= len(excused)
    assert sandbox.charged - (sum(twice.values()) - len(twice)) == 4 * JOBS + NIGHT


def check_end(fleet: FleetOf, end: dict[str, Any], *, skipped: int) -> None:
    """All of a run's jobs have ended well, and its report says so."""
    assert (end["failed"], end["pending"], end["skipped"]) == (0, 0, skipped), end
    assert end["succeeded"] + skipped == end["planned"] in {JOBS, NIGHT}, end
    report = fleet.store.get(fleet.workspace.run(end["run_id"], "report.csv")).data.decode()
    rows = list(csv.DictReader(io.StringIO(report)))
    assert len(rows) == end["planned"]
    outputs = {listed.uri for listed in fleet.store.list(fleet.workspace.under("outputs") + "/")}
    assert {row["output"] for row in rows} <= outputs


@pytest.mark.long
@pytest.mark.timeout(300)
def test_the_last_version_refuses_what_this_one_planned(
    fleet: FleetOf, earlier: FleetOf, sandbox: SandboxServer
) -> None:
    """It calls for nothing and says so in a sentence; this one then does the run whole."""
    run_id = submitted(fleet, "newer")
    with earlier.worker():
        fleet.wait_for_workers(1)
        refused = earlier.command("status", run_id, expect=3)
        assert "cannot be read by this version of restyle" in refused.err
        with fleet.state() as state:
            queue = state.key("queue:jobs")
            wait_until(lambda: not state.ask("LLEN", queue), timeout=60, description="an empty queue")
    assert sandbox.calls == 0
    with fleet.worker():
        assert fleet.finished(run_id, within=60)["succeeded"] == JOBS


def test_a_later_format_is_refused(fleet: FleetOf, sandbox: SandboxServer) -> None:
    """Where a later version wrote what Redis or the workspace holds, commands and workers end with a sentence."""
    run_id = submitted(fleet, "newer")
    with fleet.state() as state:
        key = state.key("format")
        state.ask("SET", key, FORMAT + 1)
        for refused in (fleet.command("status", expect=None), fleet.command("worker", timeout=60, expect=None)):
            assert (refused.code != 0, refused.err.count("Nothing was spent; go on with that version")) == (True, 1)
            assert f"{key} in Redis: it has format {FORMAT + 1}" in refused.err
        state.ask("SET", key, FORMAT)
    uri = fleet.workspace.run(run_id)
    planned = json.loads(fleet.store.get(uri).data)
    fleet.store.put(uri, json.dumps(planned | {"schema_version": FORMAT + 1}).encode(), content_type="application/json")
    refused = fleet.command("status", run_id, expect=3)
    assert f"{uri}: it has format {FORMAT + 1}" in refused.err
    assert sandbox.calls == 0
    fleet.store.put(uri, json.dumps(planned).encode(), content_type="application/json")
    with fleet.worker():
        assert fleet.finished(run_id, within=60)["succeeded"] == JOBS
