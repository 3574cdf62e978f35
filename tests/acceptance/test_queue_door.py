"""The API's other door: whatever is killed or lost, and whenever, what was submitted is taken up and not paid again."""

from __future__ import annotations

import csv
import io
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from restyle.record import Record
from restyle.s3.store import Listed
from tests.acceptance.conftest import FleetOf
from tests.acceptance.test_kills import has_paid, kill
from tests.support.catalog import write_catalog
from tests.support.proxy import Proxy, running_proxy
from tests.support.sandbox import SandboxServer
from tests.support.supervised import supervised
from tests.support.wait import wait_until

pytestmark = pytest.mark.acceptance

#: Short waits; a lost submit must be in the history within half a second.
SETTINGS = {
    "RESTYLE_API": "v2",
    "RESTYLE_POLL_SECONDS": "0.1",
    "RESTYLE_HISTORY_SECONDS": "0.5",
    "RESTYLE_LEAVE_SECONDS": "0.3",
}
SUBMIT = b"POST /v2/sdxl-img2img"


@pytest.fixture
def queue_fleet(fleet: FleetOf) -> FleetOf:
    """A fleet that uses the API's queue."""
    return fleet.with_settings(**SETTINGS)


@pytest.fixture
def api_proxy(sandbox: SandboxServer) -> Iterator[Proxy]:
    """What stands between the workers of a test and the API."""
    with running_proxy(int(sandbox.origin.rpartition(":")[2])) as proxy:
        yield proxy


def through(fleet: FleetOf, proxy: Proxy) -> FleetOf:
    """The fleet whose workers reach the API by this proxy; its account is that of the address."""
    return fleet.with_settings(RESTYLE_API_URL=f"http://127.0.0.1:{proxy.port}/v1/sdxl-img2img")


def finished(fleet: FleetOf, run_id: str, *, within: float = 60) -> dict[str, Any]:
    """The end of a run; its report is waited for in S3, which costs less than asking the command again and again."""
    report = fleet.workspace.run(run_id, "report.csv")
    wait_until(lambda: fleet.store.head(report), timeout=within, description=f"the report of {run_id}")
    return fleet.finished(run_id, within=30)


def rows_of(fleet: FleetOf, run_id: str) -> list[dict[str, str]]:
    """The rows of a run's report."""
    text = fleet.store.get(fleet.workspace.run(run_id, "report.csv")).data.decode()
    return list(csv.DictReader(io.StringIO(text)))


def records_of(fleet: FleetOf) -> list[Listed]:
    """The records of the workspace."""
    return list(fleet.store.list(fleet.workspace.under("records") + "/"))


def assert_paid_once(fleet: FleetOf, sandbox: SandboxServer, done: dict[str, Any], jobs: int) -> None:
    """Every job succeeded, with one paid request each, and the ledger says so."""
    assert (done["succeeded"], done["failed"], done["in_doubt"]) == (jobs, 0, 0)
    assert (sandbox.charged, sandbox.paid_twice) == (jobs, {})
    assert done["credits_spent"] == pytest.approx(sandbox.counters()["charged_credits"])
    records = [Record.model_validate_json(fleet.store.get(found.uri).data) for found in records_of(fleet)]
    # Not every picture lies among the outputs: a gate may have found one suspect.
    assert sum(fleet.store.head(output.uri) is not None for record in records for output in record.outputs) == jobs


def has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether a process is gone."""
    return process.poll() is not None


@pytest.mark.long
@pytest.mark.parametrize(("jobs", "kills"), [(24, 2), (200, 10)])
@pytest.mark.timeout(300)
def test_kill_9_pays_nothing_twice(
    queue_fleet: FleetOf, sandbox: SandboxServer, api_proxy: Proxy, jobs: int, kills: int
) -> None:
    """Supervised workers are killed at random moments, half of them as a submit goes out or comes back: paid = jobs."""
    write_catalog(queue_fleet.command.folder, jobs)
    sandbox.control(latency=0.6, jitter=0.4, history_lag=0.2)
    fleet = through(queue_fleet, api_proxy).with_settings(RESTYLE_CONCURRENCY="2", RESTYLE_SHARD_JOBS="50")
    seed = int(os.environ.get("KILL_SEED", random.randrange(10**6)))
    drawn, story = random.Random(seed), []
    with supervised(fleet.command, 2) as workers:
        run_id = fleet.submit()
        for number in range(kills):
            goal = sandbox.charged + jobs // (2 * kills)
            wait_until(partial(has_paid, sandbox, goal), timeout=60, description=f"work after kill {number}")
            when = drawn.choice(["before", "after", "any", "any"])
            victim = workers[number % 2]
            dead = victim.process
            if when == "any":
                wait_until(lambda: drawn.random() < 0.1, timeout=60, description="a random moment")
                victim.kill()
            else:
                # Which worker's submit it is, nobody can tell: all that can have sent it are killed.
                for worker in workers:
                    api_proxy.once(SUBMIT, worker.kill, when=when)  # type: ignore[arg-type] # one of the two
                wait_until(lambda: not api_proxy.watches, timeout=60, description="a kill at a submit")
            wait_until(partial(has_ended, dead), timeout=60, description="the kill")
            story.append(when)
        done = finished(fleet, run_id, within=150)
    sys.stdout.write(f"seed {seed}: {' '.join(story)}: {sandbox.charged} paid for {jobs} jobs\n")
    assert_paid_once(fleet, sandbox, done, jobs)


@pytest.mark.parametrize("when", [pytest.param(when, marks=pytest.mark.long) for when in ("before", "after")])
def test_killed_as_the_submit_is_accepted(
    queue_fleet: FleetOf, sandbox: SandboxServer, api_proxy: Proxy, when: str
) -> None:
    """Killed before a submit arrives it is made again; killed before its id comes back it is found in the history."""
    write_catalog(queue_fleet.command.folder, 1)
    fleet = through(queue_fleet, api_proxy)
    run_id = fleet.submit()
    with fleet.worker() as first:
        api_proxy.once(SUBMIT, partial(kill, first), when=when)  # type: ignore[arg-type] # one of the two
        wait_until(lambda: first.poll() is not None, timeout=30, description="the kill")
    with fleet.worker():
        done = finished(fleet, run_id)
    assert_paid_once(fleet, sandbox, done, 1)
    assert not list(fleet.store.list(fleet.workspace.run(run_id, "doubt") + "/")), "it is no doubt any more"


@pytest.mark.long
@pytest.mark.parametrize(("policy", "succeeded", "paid"), [("retry", 3, 4), ("hold", 2, 3)])
def test_without_a_history_a_lost_submit_is_in_doubt(
    queue_fleet: FleetOf, sandbox: SandboxServer, policy: str, succeeded: int, paid: int
) -> None:
    """Where nobody can tell whether it was paid, the setting decides, and the report counts it."""
    ids = write_catalog(queue_fleet.command.folder, 3)
    sandbox.control(history=False)
    sandbox.script("lost", prompt_contains=ids[0])
    fleet = queue_fleet.with_settings(RESTYLE_IN_DOUBT=policy)
    with fleet.workers(1):
        run_id = fleet.submit()
        done = finished(fleet, run_id)
    assert (done["succeeded"], done["failed"], done["in_doubt"], sandbox.charged) == (succeeded, 3 - succeeded, 1, paid)
    if policy == "hold":
        assert [row["error"] for row in rows_of(fleet, run_id) if row["id"] == ids[0]] == ["in_doubt"]


@pytest.mark.long
def test_what_befalls_a_request(queue_fleet: FleetOf, sandbox: SandboxServer) -> None:
    """A lost id is found, a failed request made once more, an expired one read from the history, each paid once."""
    folder = queue_fleet.command.folder
    ids = write_catalog(folder, 5)
    sandbox.script("lost", prompt_contains=ids[0])
    sandbox.script("failed", 200, prompt_contains=ids[1])
    sandbox.script("expired", prompt_contains=ids[2])
    sandbox.script("500", "503", 200, prompt_contains=ids[3])
    with queue_fleet.workers(1):
        run_id = queue_fleet.submit()
        done = finished(queue_fleet, run_id)
        assert (done["succeeded"], done["failed"], done["in_doubt"]) == (5, 0, 0)
        assert (sandbox.charged, sandbox.paid_twice) == (5, {})
        assert {row["id"]: row for row in rows_of(queue_fleet, run_id)}[ids[0]]["attempts"] == "1"

        # In a run of its own: while other jobs fail as well, out of attempts is not the job's fault.
        bad = write_catalog(folder, 6)[5]
        sandbox.script("failed", "failed", 200, prompt_contains=bad)
        run_id = queue_fleet.submit()
        done = finished(queue_fleet, run_id)
    row = {row["id"]: row for row in rows_of(queue_fleet, run_id)}[bad]
    assert (row["outcome"], row["error"]) == ("failed", "request_failed")
    assert row["attempts"] == "2", "one retry, and no more"
    assert (done["skipped"], done["failed"], done["in_doubt"]) == (5, 1, 0)
    assert (sandbox.charged, sandbox.paid_twice) == (5, {})


@pytest.mark.long
def test_a_storm_while_waiting_pays_nothing(queue_fleet: FleetOf, sandbox: SandboxServer) -> None:
    """Looks that fail, and downloads that fail, are made again, through an outage if need be; nothing is submitted."""
    jobs = 8
    write_catalog(queue_fleet.command.folder, jobs)
    sandbox.control(polls={"500": 0.8, "reset": 0.2})
    fleet = queue_fleet.with_settings(RESTYLE_API_TIMEOUT="1.5", RESTYLE_OUTAGE_FAILURES="4", RESTYLE_OUTAGE_JOBS="3")
    with fleet.workers(1):
        run_id = fleet.submit()
        wait_until(
            lambda: (fleet.status(run_id)["suspension"] or {}).get("reason") == "outage",
            timeout=60,
            description="an outage",
        )
        sandbox.control(polls={}, downloads={"503": 0.6, "reset": 0.2})
        done = finished(fleet, run_id)
    assert_paid_once(fleet, sandbox, done, jobs)


@pytest.mark.long
def test_a_drained_worker_leaves_its_requests_behind(queue_fleet: FleetOf, sandbox: SandboxServer) -> None:
    """SIGTERM waits for no long request: the next worker, even one of the other door, takes up what is paid for."""
    write_catalog(queue_fleet.command.folder, 4)
    sandbox.control(latency=6)
    with queue_fleet.worker() as first:
        run_id = queue_fleet.submit()
        wait_until(lambda: sandbox.counters()["in_flight"] == 4, timeout=30, description="4 requests")
        first.send_signal(signal.SIGTERM)
        assert first.wait(5) == 0
    assert sandbox.charged == 0
    with queue_fleet.with_settings(RESTYLE_API="v1").worker():
        done = finished(queue_fleet, run_id)
        again = queue_fleet.submit("photo of {id}", "--new")
        assert finished(queue_fleet, again)["skipped"] == 4, "another door is no other result"
    assert_paid_once(queue_fleet, sandbox, done, 4)
    assert sandbox.calls == 4
