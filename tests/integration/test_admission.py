"""Submitting in one step: a run exists only where no unfinished run has its jobs, and a refused one never existed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from config.schedules import Schedule
from producers.runs.snapshot import write_run
from producers.scheduling.schedule import fire
from restyle.errors import ConfigurationError, StoreUnavailable
from restyle.models import RunStatus, utc_now
from restyle.s3.store import Endpoint, Store
from tasks import runs
from tests.support.proxy import running_proxy
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3
from tests.support.works import Works, running_works


@pytest.fixture
def works(s3: S3, redis_url: str, sandbox: SandboxServer) -> Iterator[Works]:
    """A workspace without a worker."""
    with running_works(s3, redis_url, sandbox, idle=True) as found:
        yield found


def exists(works: Works) -> set[str]:
    """The folders of runs in S3."""
    return set(works.resources.store.folders(works.resources.workspace.under("runs") + "/"))


def test_of_runs_with_one_job_in_common_one_is_admitted(works: Works) -> None:
    """Four are submitted at once: three are refused, and nothing of them is left, in S3 or in Redis."""
    rows = works.catalog(5)
    planned = [
        works.planned(rows, prompt=f"{number} {{id}}", only_ids=frozenset({"item-000", f"item-00{number}"}))
        for number in range(1, 5)
    ]

    def admit(number: int) -> str:
        try:
            works.control.admit(planned[number])
        except ConfigurationError as error:
            return error.message
        return ""

    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(admit, range(4)))
    assert told.count("") == 1, told
    admitted = planned[told.index("")].run_id
    assert exists(works) == {admitted}
    assert works.resources.progress.unfinished() == [admitted]
    assert all(f"restyle cancel {admitted}" in refused for refused in told if refused)


def test_runs_without_a_job_in_common_are_all_admitted(works: Works) -> None:
    """They wait for one another, no longer than it takes to write a run.json."""
    rows = works.catalog(4)
    planned = [works.planned(rows, only_ids=frozenset({f"item-00{number}"})) for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(works.control.admit, planned))
    assert exists(works) == set(works.resources.progress.unfinished()) == {run.run_id for run in planned}


def test_a_run_whose_run_json_was_not_taken_is_none(works: Works, s3: S3) -> None:
    """S3 goes away as run.json is written: no worker has seen the run, and the next try finds nobody in its way."""
    rows = works.catalog(2)
    run = works.planned(rows)
    with running_proxy(s3.port) as proxy:
        cut = Store(embedded=Endpoint(f"http://127.0.0.1:{proxy.port}", s3.access_key, s3.secret_key))
        proxy.once(b"PUT ", proxy.cut, when="before")
        with pytest.raises(StoreUnavailable):
            replace(works.control, store=cut).admit(run)
    assert works.resources.progress.unfinished() == []
    works.control.admit(works.planned(rows))


def test_a_firing_beside_a_run_that_ended_a_moment_ago(works: Works) -> None:
    """run.json says finished and Redis does not yet: tonight's run is started all the same."""
    here = works.resources
    for name in ("a", "b"):
        works.bench.put(name)
    schedule = Schedule(
        name="nightly", cron="0 2 * * *", time_zone="UTC", manifest=here.workspace.under("in") + "/", prompt="{id}"
    )
    firings, ids = here.starter.firings, list[str]()
    for _ in range(2):
        firing = fire(schedule, utc_now() + timedelta(seconds=len(ids)), here.settings)
        here.starter.fired.put(firing)
        assert firings.fire(firing.run_id)
        here.tools.fleet.heartbeat({})
        here.starter.start(firing.run_id)
        ids.append(firing.run_id)
        if len(ids) == 1:
            # `restyle.finish` is cut off between run.json and Redis.
            run = works.look(firing.run_id)
            assert run.planned == 2
            found = here.run(firing.run_id).model_copy(update={"status": RunStatus.FINISHED, "finished": utc_now()})
            write_run(found, store=here.store, workspace=here.workspace)
    assert firings.last()["nightly"].ending.value == "started"
    assert firings.last()["nightly"].run_id == ids[1]


def test_a_message_ends_no_run_that_is_not_over(works: Works) -> None:
    """`restyle.finish` may come from anybody: a run with pending jobs goes on, and nonsense is no run."""
    here = works.resources
    here.tools.fleet.heartbeat({})
    run_id = works.submit(works.catalog(3))
    for told in (run_id, "../../elsewhere", "", "20260101T000000Z-unknown"):
        runs.finish(here, {"run_id": told})
    now = works.look(run_id)
    assert (now.status.value, now.report, now.pending) == ("running", None, 3)
    assert here.progress.unfinished() == [run_id]
    assert here.store.head(here.workspace.run(run_id, "report.csv")) is None
    works.control.cancel(run_id)
    assert here.progress.open_shards(run_id), "its first shard is out"
    runs.finish(here, {"run_id": run_id})
    assert works.look(run_id).report is None
