"""Schedules end to end: any number of beats fire once, restarts, overlaps, and nights that cost little."""

from __future__ import annotations

import json
import secrets
import signal
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from restyle.coordination.redis.client import State
from restyle.coordination.runs.firings import Firings
from restyle.coordination.runs.progress import Progress, Totals
from restyle.models import RunStatus
from restyle.s3.store import EMBEDDED_BUCKET
from tests.acceptance.conftest import Alone, FleetOf
from tests.support.catalog import picture
from tests.support.command import Command
from tests.support.sandbox import SandboxServer
from tests.support.wait import wait_until

pytestmark = pytest.mark.acceptance

#: Never on its own within a test: 29 February, at night.
SELDOM = "15 2 29 2 *"


@pytest.fixture
def images(fleet: FleetOf) -> str:
    """The prefix of this test's pictures."""
    return f"s3://{EMBEDDED_BUCKET}/shop-{secrets.token_hex(4)}/"


def put(fleet: FleetOf, prefix: str, names: Iterable[str], look: str = "") -> None:
    """Pictures in the bucket."""
    for name in names:
        fleet.store.put(f"{prefix}{name}.jpg", picture(name + look), content_type="image/jpeg")


def schedule(command: Command, manifest: str, cron: str = SELDOM, **more: Any) -> None:
    """A restyle.toml with the schedule `nightly`."""
    told = {"name": "nightly", "cron": cron, "time_zone": "Europe/Berlin", "manifest": manifest} | more
    if "variants" not in more:
        told["prompt"] = "photo of {id}"
    lines = ["[[schedule]]", *(f"{name} = {json.dumps(value)}" for name, value in told.items())]
    (command.folder / "restyle.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def state_of(fleet: FleetOf) -> State:
    """The fleet's Redis."""
    return State(fleet.address, namespace=fleet.workspace.namespace, account="")


def looked(fleet: FleetOf, ago: timedelta) -> None:
    """Makes it so long ago that a beat last looked."""
    Firings(state_of(fleet)).look(["nightly"], datetime.now(UTC) - ago)


def runs(fleet: FleetOf) -> list[str]:
    """The ids of the workspace's runs; read here, since a command takes a second."""
    prefix = fleet.workspace.under("runs") + "/"
    return [listed.uri.split("/")[-2] for listed in fleet.store.list(prefix) if listed.uri.endswith("/run.json")]


def ended(fleet: FleetOf, run_id: str, *, within: float = 20) -> Totals:
    """A run's numbers once its report is written."""

    def look() -> Totals | None:
        totals = Progress(state_of(fleet)).totals(run_id)
        return totals if totals is not None and totals.status is RunStatus.FINISHED else None

    return wait_until(look, timeout=within, description=f"the end of {run_id}")


def removed(fleet: FleetOf, run_id: str) -> int:
    """How many jobs of the run before this one's manifest has no longer, by its report."""
    report = fleet.store.find(fleet.workspace.run(run_id, "report.json"))
    return json.loads(report.data)["diff"]["removed"]["jobs"] or 0 if report else 0


def ending(fleet: FleetOf) -> str:
    """How the schedule's last firing ended."""
    return Firings(state_of(fleet)).last()["nightly"].ending.value


@contextmanager
def beats(fleet: FleetOf, count: int) -> Iterator[list[subprocess.Popen[str]]]:
    """Several beats at once, each with its log."""
    with ExitStack() as stack:
        started = []
        for _ in range(count):
            log = stack.enter_context((fleet.command.folder / f"beat-{secrets.token_hex(3)}.log").open("w"))
            started.append(
                subprocess.Popen(
                    fleet.command.argv("beat"), cwd=fleet.command.folder, env=fleet.command.environment, text=True,
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                )
            )  # fmt: skip
        try:
            yield started
        finally:
            for process in started:
                process.send_signal(signal.SIGTERM)
            assert [process.wait(20) for process in started] == [0] * count


def beat_log(fleet: FleetOf) -> str:
    """What the beats said."""
    return "\n".join(path.read_text() for path in fleet.command.folder.glob("beat-*.log"))


def test_a_night_pays_for_what_is_new(fleet: FleetOf, sandbox: SandboxServer, images: str) -> None:
    """The first night pays for all, the second for new and replaced pictures; the run's id bears the name."""
    names = [f"item-{number:02d}" for number in range(20)]
    put(fleet, images, names)
    schedule(fleet.command, images)
    with fleet.worker():
        first = fleet.command("schedules", "run", "nightly").out.strip()
        assert first.endswith("Z-nightly")
        assert ended(fleet, first).succeeded == 20
        put(fleet, images, ["new-1", "new-2"])
        put(fleet, images, names[:3], look="again")
        second = fleet.command("schedules", "run", "nightly", "--label", "team=home").out.strip()
        now = ended(fleet, second)
    assert (now.planned, now.succeeded, now.skipped) == (22, 5, 17)
    assert (sandbox.charged, sandbox.paid_twice) == (25, {})
    run = json.loads(fleet.store.get(fleet.workspace.run(second)).data)
    assert (run["schedule"], run["by"], run["labels"]) == ("nightly", "schedule nightly", {"team": "home"})
    assert runs(fleet) == sorted([first, second])


@pytest.mark.long
def test_two_beats_make_good_for_a_missed_time_once(fleet: FleetOf, sandbox: SandboxServer, images: str) -> None:
    """Both come up after the firing time, with catch_up: one run; a third beat later starts no other."""
    put(fleet, images, ["a", "b"])
    schedule(fleet.command, images, cron="0 * * * *", catch_up=True)
    looked(fleet, timedelta(hours=3))
    with fleet.worker():
        with beats(fleet, 2):
            wait_until(lambda: beat_log(fleet).count("beat is up") == 2, timeout=60, description="both beats")
            [run_id] = wait_until(lambda: runs(fleet), timeout=60, description="the run")
            assert ended(fleet, run_id).succeeded == 2
        with beats(fleet, 1):
            wait_until(lambda: beat_log(fleet).count("beat is up") == 3, timeout=40, description="the third beat")
    hour = datetime.now(UTC).replace(minute=0, second=0)
    assert runs(fleet) in (
        [f"{hour:%Y%m%dT%H%M%SZ}-nightly"],
        [f"{hour - timedelta(hours=1):%Y%m%dT%H%M%SZ}-nightly"],  # the hour ended meanwhile
    )
    assert sandbox.charged == 2
    assert beat_log(fleet).count("fired") == 1


@pytest.mark.long
@pytest.mark.parametrize("overlap", ["skip", "queue", "cancel"])
def test_a_run_that_is_still_going(fleet: FleetOf, sandbox: SandboxServer, images: str, overlap: str) -> None:
    """The next firing is skipped, waits, or ends the run."""
    put(fleet, images, [f"item-{number}" for number in range(6)])
    schedule(fleet.command, images, overlap=overlap)
    sandbox.control(latency=8.0)
    slow = fleet.with_settings(RESTYLE_CONCURRENCY="2")
    with slow.worker():
        fleet.wait_for_workers(1)
        first = fleet.command("schedules", "run", "nightly").out.strip()
        wait_until(lambda: sandbox.calls >= 2, timeout=40, description="the first calls")
        second = fleet.command.started("schedules", "run", "nightly")
        with second as process:
            wait_until(
                lambda: process.poll() is not None or (overlap == "queue" and Firings(state_of(fleet)).waiting()),
                timeout=40,
                description="the second firing",
            )
            sandbox.control(latency=0.02)
            out, err = process.communicate(timeout=60)
        if overlap == "skip":
            assert (out, process.returncode) == ("", 0)
            assert "still going" in err
            assert ending(fleet) == "skipped"
            assert ended(fleet, first).succeeded == 6
        elif overlap == "queue":
            assert fleet.status(first)["status"] == "finished"
            assert ended(fleet, out.strip()).skipped == 6
        else:
            now = ended(fleet, out.strip())
            assert now.succeeded + now.skipped == 6
            assert fleet.status(first)["status"] == "cancelled"
    assert (sandbox.charged, sandbox.paid_twice) == (6, {})


@pytest.mark.long
def test_a_suspended_run_is_no_longer_going(fleet: FleetOf, sandbox: SandboxServer, images: str) -> None:
    """Its pending jobs are planned afresh by the next firing, whatever overlap says."""
    put(fleet, images, [f"item-{number}" for number in range(6)])
    schedule(fleet.command, images)
    sandbox.control(latency=2)
    with fleet.with_settings(RESTYLE_CONCURRENCY="1").worker():
        fleet.wait_for_workers(1)
        first = fleet.command("schedules", "run", "nightly").out.strip()
        wait_until(lambda: sandbox.charged >= 1, timeout=40, description="the first picture")
        Progress(state_of(fleet)).suspend(first, "operator", "", "test")
        sandbox.control(latency=0.1)
        second = fleet.command("schedules", "run", "nightly").out.strip()
        now = ended(fleet, second, within=60)
    assert now.skipped >= 1
    assert now.succeeded + now.skipped == 6
    assert fleet.status(first)["status"] == "cancelled"
    assert (sandbox.charged, sandbox.paid_twice) == (6, {})


@pytest.mark.long
@pytest.mark.timeout(240)
def test_a_night_that_ends_in_time_goes_on_the_next(fleet: FleetOf, sandbox: SandboxServer, images: str) -> None:
    """Nothing begins after finish_by; what is left is pending, and the next firing does it, each job paid for once."""
    names = [f"item-{number:02d}" for number in range(80)]
    put(fleet, images, names)
    sandbox.control(latency=2.0)
    zone = ZoneInfo("Europe/Berlin")
    with fleet.with_settings(RESTYLE_CONCURRENCY="2").worker():
        fleet.wait_for_workers(1)
        wait_until(lambda: 20 <= datetime.now(UTC).second < 35, timeout=60, description="25 to 40 s left of a minute")
        deadline = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
        schedule(fleet.command, images, finish_by=f"{deadline.astimezone(zone):%H:%M}")
        first = fleet.command("schedules", "run", "nightly").out.strip()
        wait_until(
            lambda: (fleet.status(first)["suspension"] or {}).get("reason") == "deadline" or None,
            timeout=60, description="the end of the night",
        )  # fmt: skip
        wait_until(lambda: sandbox.counters()["in_flight"] == 0, timeout=20, description="calls in flight to end")
        counters = sandbox.counters()
        assert max(counters["begun"]) <= deadline.timestamp()
        assert 4 <= counters["charged"] < 80
        assert fleet.status(first)["pending"] == 80 - counters["charged"]
        sandbox.control(latency=0.05)
        schedule(fleet.command, images)
        second = fleet.command("schedules", "run", "nightly").out.strip()
        now = ended(fleet, second, within=60)
    assert (now.planned, now.skipped, now.succeeded) == (80, counters["charged"], 80 - counters["charged"])
    assert (sandbox.charged, sandbox.paid_twice) == (80, {})


@pytest.mark.long
def test_what_cannot_be_planned_is_told(fleet: FleetOf, sandbox: SandboxServer, images: str) -> None:
    """An error of the planning is where `schedules` shows it; `check` finds it before."""
    schedule(fleet.command, images)
    assert fleet.command("schedules", "check", expect=2).out
    with fleet.worker():
        fleet.wait_for_workers(1)
        done = fleet.command("schedules", "run", "nightly", expect=2)
    assert "did not start" in done.err
    assert ending(fleet) == "not_started"
    assert "not started" in fleet.command("schedules").out
    assert sandbox.calls == 0


@pytest.mark.long
def test_embedded_beat_brings_its_own_stack(alone: Alone, sandbox: SandboxServer) -> None:
    """Without a Redis of the user's, `schedules run` and `beat` start the stack, and end it again."""
    inputs = alone.bucket / "shop"
    inputs.mkdir(parents=True)
    for name in ("a", "b"):
        (inputs / f"{name}.jpg").write_bytes(picture(name))
    schedule(alone.command, f"s3://{EMBEDDED_BUCKET}/shop/")
    assert alone.command("schedules", "run", "nightly", "--json").json["succeeded"] == 2
    assert sandbox.charged == 2
    with alone.command.started("beat") as process:
        log = alone.folder / ".restyle" / "logs" / "worker.log"
        before = log.read_text().count("ready")
        wait_until(lambda: log.read_text().count("ready") > before, timeout=60, description="the worker")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


@pytest.mark.long
@pytest.mark.timeout(900)
def test_every_minute(fleet: FleetOf, sandbox: SandboxServer, images: str) -> None:
    """Two beats, a schedule each minute, 1,000 pictures: 1,000, then 15; a changed prompt pays its variant."""
    names = [f"item-{number:04d}" for number in range(1000)]
    put(fleet, images, names)
    variants = [{"name": "oak", "prompt": "{id} on oak"}]
    fleet.store.put(f"{images[:-1]}.json", json.dumps(variants).encode(), content_type="application/json")
    schedule(fleet.command, images, cron="* * * * *", variants=f"{images[:-1]}.json", overlap="queue")
    sandbox.control(latency=0.0)

    with fleet.worker(), fleet.worker(), beats(fleet, 2):
        wait_until(lambda: sandbox.charged == 1000, timeout=200, description="the first night")
        put(fleet, images, [f"new-{number}" for number in range(10)])
        put(fleet, images, names[:5], look="again")
        for name in names[-3:]:
            fleet.store.delete(f"{images}{name}.jpg")
        wait_until(lambda: sandbox.charged == 1015, timeout=200, description="the second night")
        before = set(runs(fleet))
        wait_until(
            lambda: sum(removed(fleet, run_id) for run_id in before) == 3, timeout=60, description="3 told as removed"
        )
        changed = [{"name": "oak", "prompt": "{id} on dark oak"}, {"name": "sea", "prompt": "{id} by the sea"}]
        fleet.store.put(f"{images[:-1]}.json", json.dumps(changed).encode(), content_type="application/json")
        wait_until(lambda: sandbox.charged == 1015 + 2 * 1007, timeout=250, description="the third night")
        more = wait_until(lambda: sorted(set(runs(fleet)) - before), timeout=90, description="another run")
        assert ended(fleet, more[0], within=200).failed == 0
    assert sandbox.paid_twice == {}
    assert beat_log(fleet).count("fired") >= len(runs(fleet))
