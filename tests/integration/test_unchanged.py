"""The second night: what S3 shows to be done is written down when the run is planned, and no worker looks at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from producers.planning.make import make_plan
from producers.planning.request import PlanRequest
from producers.planning.retry import Slice, plan_retry
from producers.planning.shards import write_shards
from producers.runs.listing import read_runs
from producers.runs.outcomes import Row, RunPruned
from producers.runs.snapshot import read_run, rows_of
from reports.prune import leftovers, remove
from restyle.errors import ConfigurationError
from restyle.models import Job, Outcome, Run
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3
from tests.support.wait import wait_until
from tests.support.works import Works, running_works


@pytest.fixture
def works(s3: S3, redis_url: str, sandbox: SandboxServer) -> Iterator[Works]:
    """A small fleet; a call costs one credit."""
    with running_works(s3, redis_url, sandbox) as found:
        yield found


def shop(works: Works, count: int) -> str:
    """A prefix with so many pictures."""
    for number in range(count):
        works.bench.put(f"{number:03d}")
    return works.resources.workspace.under("in/")


def planned(works: Works, manifest: str, **asked: Any) -> Run:
    """A run that is planned and does not exist yet."""
    here = works.resources
    asked.setdefault("prompt", "photo of {id}")
    plan = make_plan(PlanRequest(manifest, **asked), here.settings, workspace=here.workspace, store=here.store)
    return write_shards(plan, workspace=here.workspace, store=here.store, shard_jobs=5, by="me@here")


def night(works: Works, manifest: str, **asked: Any) -> Run:
    """Plans, submits and waits for the end."""
    run = planned(works, manifest, **asked)
    works.control.submit(run, works.feeder)
    works.ended(run.run_id)
    return read_run(run.run_id, store=works.resources.store, workspace=works.resources.workspace)


def rows(works: Works, run: Run) -> list[Row]:
    """A run's jobs with their outcomes."""
    here = works.resources
    return list(rows_of(run, store=here.store, workspace=here.workspace, progress=here.progress)())


def told(works: Works, run: Run) -> dict[str, str]:
    """How each job ended, in the run's order."""
    return {job.id: outcome.outcome.value if outcome else "" for job, outcome in rows(works, run)}


def result(works: Works, run: Run, entry: str) -> tuple[Job, Outcome]:
    """A job with its outcome."""
    ((job, outcome),) = [(job, outcome) for job, outcome in rows(works, run) if job.id == entry and outcome]
    return job, outcome


def test_only_what_changed_is_queued(works: Works, sandbox: SandboxServer) -> None:
    """Counts, rows and their order are as if all had been queued; the messages and calls are those of what changed."""
    prefix = shop(works, 20)
    first = night(works, prefix)
    assert (first.unchanged, first.shards, sandbox.charged) == (0, 4, 20)
    works.bench.put("003", works.bench.output("004").data)
    works.bench.put("017", works.bench.output("004").data)
    works.bench.put("1001")
    second = night(works, prefix)
    assert (second.planned, second.unchanged, second.unchanged_parts, second.shards) == (21, 18, 1, 1)
    assert sandbox.charged == 23
    now = works.look(second.run_id)
    assert (now.succeeded, now.skipped, now.failed, now.pending) == (3, 18, 0, 0)
    outcomes = told(works, second)
    assert list(outcomes) == [*(f"{number:03d}" for number in range(20)), "1001"]
    assert [name for name, how in outcomes.items() if how == "succeeded"] == ["003", "017", "1001"]
    before, after = result(works, first, "005")[1], result(works, second, "005")[1]
    for name in ("outputs", "seed", "etag", "fingerprint", "stored", "suspect"):
        assert getattr(before, name) == getattr(after, name)
    third = night(works, prefix)
    assert (third.planned, third.unchanged, third.shards, sandbox.charged) == (21, 21, 0, 23)
    assert works.look(third.run_id).skipped == 21
    assert set(told(works, third).values()) == {"skipped"}


def gone(works: Works, uri: str) -> None:
    """It is removed."""
    works.resources.store.delete(uri)


def another(works: Works, uri: str) -> None:
    """Somebody has put something else there."""
    works.resources.store.put(uri, b"another", content_type="image/jpeg")


def rewritten(works: Works, uri: str) -> None:
    """A record that says the same in another way."""
    data = works.resources.store.get(uri).data
    works.resources.store.put(uri, data + b"\n", content_type="application/json")


@pytest.mark.parametrize(
    ("what", "happens"),
    [("record", gone), ("record", rewritten), ("output", gone), ("output", another), ("input", another)],
)
def test_what_is_not_as_it_was_is_looked_at(works: Works, what: str, happens: Callable[[Works, str], None]) -> None:
    """Of each job something is another than the results say: all others are unchanged, and it is its worker's."""
    prefix = shop(works, 6)
    first = night(works, prefix)
    job, outcome = result(works, first, "002")
    places = {"record": works.resources.workspace.record("002", "default"), "output": outcome.outputs[0]}
    happens(works, places.get(what, job.image))
    run = planned(works, prefix)
    assert run.unchanged == 5
    assert [job.id for job in works.bench.lines(run, 0)] == ["002"]


@pytest.mark.long
def test_another_recipe_or_way_is_looked_at(works: Works) -> None:
    """A prompt, a seed, a place, --overwrite: nothing is unchanged; back to the first prompt it is not either."""
    prefix = shop(works, 3)
    night(works, prefix)
    assert planned(works, prefix, prompt="{id} in felt").unchanged == 0
    assert planned(works, prefix, overwrite=True, new_seed=True).unchanged == 0
    assert planned(works, prefix, new_seed=True).unchanged == 0
    assert planned(works, prefix, output=works.resources.workspace.under("elsewhere/")).unchanged == 0
    assert planned(works, prefix, verify_outputs=True).unchanged == 3
    assert planned(works, prefix, only_ids=frozenset({"001"})).unchanged == 1
    night(works, prefix, prompt="{id} in felt")
    assert planned(works, prefix).unchanged == 0
    assert planned(works, prefix, prompt="{id} in felt").unchanged == 3
    night(works, prefix, sets=("seed=7",))
    assert planned(works, prefix, sets=("seed=7",)).unchanged == 3
    assert planned(works, prefix, sets=("seed=7",), overwrite=True).unchanged == 0


@pytest.mark.long
def test_a_manifest_tells_no_etags(works: Works, sandbox: SandboxServer) -> None:
    """Inputs are listed then; one that is gone fails as it does without any of this, and so does one that was never."""
    here = works.resources
    lines = [f"{number:03d},{works.bench.put(f'{number:03d}')}" for number in range(30)]
    manifest = here.workspace.under("m.csv")
    here.store.put(manifest, "\n".join(["id,image", *lines]).encode(), content_type="text/csv")
    night(works, manifest)
    works.bench.put("007", works.bench.output("008").data)
    gone(works, here.workspace.under("in/009.jpg"))
    second = night(works, manifest)
    assert (second.unchanged, sandbox.charged) == (28, 31)
    outcomes = told(works, second)
    assert (outcomes["007"], outcomes["009"], list(outcomes)) == ("succeeded", "failed", sorted(outcomes))


def test_redis_loses_a_night(works: Works, sandbox: SandboxServer) -> None:
    """A run whose most jobs are unchanged is rebuilt with its counts; another that shares a job is refused."""
    prefix = shop(works, 12)
    night(works, prefix)
    for name in ("004", "005"):
        works.bench.put(name, works.bench.output("001").data)
    sandbox.control(latency=1.0)
    run = planned(works, prefix)
    works.control.submit(run, works.feeder)
    with pytest.raises(ConfigurationError, match="has the same job"):
        works.control.admit(planned(works, prefix, only_ids=frozenset({"001"})))
    works.lose_everything()
    sandbox.control(latency=0.02)
    wait_until(lambda: works.look(run.run_id).ended, timeout=30, description="the end")
    now = works.look(run.run_id)
    assert (now.planned, now.skipped, now.succeeded, now.pending) == (12, 10, 2, 0)
    assert sandbox.paid_twice == {}


def test_what_follows_a_night(works: Works) -> None:
    """A retry of its skipped jobs has them, and after a prune it says that it is gone."""
    here, prefix = works.resources, shop(works, 4)
    night(works, prefix)
    run = night(works, prefix)
    assert run.unchanged == 4
    source = rows_of(run, store=here.store, workspace=here.workspace, progress=here.progress)
    again = plan_retry(
        run, source, Slice(frozenset({"skipped"})), here.settings, workspace=here.workspace, store=here.store
    )
    assert again.jobs == 4
    found = list(read_runs([run.run_id], here.store, here.workspace))
    remove(leftovers(found, here.store, here.workspace), here.store, here.progress)
    with pytest.raises(RunPruned):
        rows(works, run)
