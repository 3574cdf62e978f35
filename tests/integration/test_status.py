"""`status` and `runs` show what can be read: what is wrong with one run hides none of the others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from apps.cli.runs import schedules
from apps.cli.runs.status import legible_snapshot, other_zones, standing
from apps.session import connect
from apps.stack.home import Home
from apps.stack.local import Stack
from config.schedules import Schedule
from producers.runs.snapshot import write_run
from restyle.models import RunStatus
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3
from tests.support.works import Works, running_works


@pytest.fixture
def works(s3: S3, redis_url: str, sandbox: SandboxServer) -> Iterator[Works]:
    """A workspace without a worker."""
    with running_works(s3, redis_url, sandbox, idle=True) as found:
        yield found


def test_a_run_that_cannot_be_read_is_told_of_beside_the_others(works: Works) -> None:
    """Redis has forgotten three runs: of one the plan is gone, of one a result is no gzip; the third is shown."""
    here = works.resources
    rows = works.catalog(6)
    gone, broken, fine = (
        works.submit(rows, only_ids=frozenset({f"item-{number:03d}", f"item-{number + 1:03d}"})) for number in (0, 2, 4)
    )
    works.lose_everything()
    here.store.delete(here.workspace.shard(gone, 0))
    here.store.put(here.workspace.results(broken, 0), b"no gzip", content_type="application/gzip")
    command = connect(here.settings, here.store, Stack(here.settings, Home(here.settings.home, 1.0)), embedded=False)
    shown, unseen = standing(command)
    assert [now.run_id for now in shown] == [fine]
    assert set(unseen) == {gone, broken}
    assert all("restyle cancel" in trouble["next"] for trouble in unseen.values())
    assert legible_snapshot(command, here.run(fine))[0] is not None
    command.state.close()


def test_workers_with_another_time_zone_are_named(works: Works) -> None:
    """One that counts days as the fleet does is not."""
    here = works.resources
    command = connect(here.settings, here.store, Stack(here.settings, Home(here.settings.home, 1.0)), embedded=False)
    here.tools.fleet.heartbeat({"zone": "UTC"})
    assert other_zones(command) == ""
    here.state.ask("HSET", here.state.key("stock"), "server", "this one", "zone", "Europe/Berlin")
    told = other_zones(command)
    assert here.tools.fleet.worker in told
    assert "Europe/Berlin" in told
    here.tools.fleet.heartbeat({"zone": "Europe/Berlin"})
    assert other_zones(command) == ""
    command.state.close()


def test_the_sandboxs_side_is_looked_at_once(works: Works) -> None:
    """Where a setting, rather than the option, says that it is the sandbox's."""
    here = works.resources
    command = connect(here.settings, here.store, Stack(here.settings, Home(here.settings.home, 1.0)), embedded=False)
    assert [side.settings.sandbox for side in command.sides] == [False, True]
    settings = here.settings.model_copy(update={"sandbox": True})
    alone = connect(settings, here.store, Stack(settings, Home(settings.home, 1.0)), embedded=False)
    assert alone.sides == [alone]
    command.state.close()
    alone.state.close()


def test_the_last_seven_nights_of_a_schedule_are_listed(works: Works, capsys: pytest.CaptureFixture[str]) -> None:
    """Newest first, as they ended; other schedules' runs, and what was never planned, are left out."""
    here = works.resources
    run = here.run(works.submit(works.catalog(1)))
    given = {"name": "nightly", "cron": "15 2 * * *", "time_zone": "UTC", "manifest": "s3://shop/", "prompt": "x"}
    schedule = Schedule.model_validate(given)
    for day in range(1, 10):
        created = datetime(2026, 1, day, 2, 15, tzinfo=UTC)
        night = {"run_id": f"2026010{day}T021500Z-nightly", "schedule": "nightly", "created": created}
        ended = {"finished": created, "status": RunStatus.FINISHED, "planned": day + day % 2}
        write_run(run.model_copy(update={**night, **ended}), store=here.store, workspace=here.workspace)
        told = {"finished": f"2026-01-0{day}T02:15:00Z", "succeeded": day, "skipped": 0, "failed": day % 2,
                "attempts": 1, "in_doubt": 0, "credits_spent": day / 2}  # fmt: skip
        report = here.workspace.run(f"2026010{day}T021500Z-nightly", "report.json")
        here.store.put(report, json.dumps(told).encode(), content_type="application/json")
    other = {"run_id": "20260110T021500Z-weekly", "schedule": "weekly"}
    write_run(run.model_copy(update=other), store=here.store, workspace=here.workspace)
    here.store.put(here.workspace.shard("20260111T021500Z-nightly", 0), b"", content_type="application/gzip")
    command = connect(here.settings, here.store, Stack(here.settings, Home(here.settings.home, 1.0)), embedded=False)
    nights = schedules.last_nights(command, ["nightly", "monthly"])
    assert [night.succeeded for night in nights["nightly"]] == [9, 8, 7, 6, 5, 4, 3]
    assert nights["monthly"] == []
    schedules._show_nights(schedule, nights["nightly"])
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first == "nightly, the last 7:"
    assert second == "  Fri 2026-01-09 02:15  finished  9 succeeded · 1 failed · 4.50 credits"
    command.state.close()
