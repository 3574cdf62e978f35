"""A tick moves every run that can be moved: what is wrong with one costs it its step, and status says what it is."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from restyle.coordination.claim_types import Limits
from restyle.coordination.fleet import Fleet
from restyle.coordination.runs.firings import Firings
from restyle.job.parked import in_redis
from restyle.job.parked.on_disk import Spooled
from restyle.models import Message
from tasks.image import restyle_image
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3
from tests.support.wait import wait_until
from tests.support.works import Works, running_works
from workers.background.dispatcher import Dispatcher, lock_seconds
from workers.background.reconciler import LOOKS
from workers.background.spooler import Spooler
from workers.gauges import Gauges

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def works(s3: S3, redis_url: str, sandbox: SandboxServer) -> Iterator[Works]:
    """A fleet whose dispatcher ticks when a test says so."""
    with running_works(s3, redis_url, sandbox, idle=True) as found:
        found.resources.tools.fleet.heartbeat({})
        yield found


def broken(works: Works) -> dict[str, str]:
    """Runs with everything that can be wrong with one; each by what it is. One of them only stands still."""
    here, state = works.resources, works.resources.state
    rows = works.catalog(20)
    runs = {}
    for number, what in enumerate(("plan", "status", "number", "suspension", "kind", "run.json", "shard")):
        ids = frozenset({f"item-{2 * number:03d}", f"item-{2 * number + 1:03d}"})
        runs[what] = works.submit(rows, only_ids=ids)
    here.store.delete(here.workspace.shard(runs["plan"], 0))
    state.ask("HSET", state.key("run", runs["status"]), "status", "dancing")
    state.ask("HSET", state.key("run", runs["number"]), "closed", "many")
    state.ask("HSET", state.key("run", runs["suspension"], "suspension"), "operator", "{")
    state.ask("DEL", state.key("run", runs["kind"], "open"))
    state.ask("SET", state.key("run", runs["kind"], "open"), "no zset")
    here.store.put(here.workspace.run(runs["run.json"]), b"{}", content_type="application/json")
    state.ask("HSET", state.key("run", runs["shard"], "shard", "0"), "size", "some")
    # The plan is read again where its shard is marked.
    state.ask("ZADD", state.key("run", runs["plan"], "open"), 0, "0")
    return runs


def test_a_tick_moves_every_run_that_can_be_moved(works: Works, capsys: pytest.CaptureFixture[str]) -> None:
    """Seven broken runs, one of them first and one last: the sound one goes on, and each reason is logged once."""
    here = works.resources
    runs = broken(works)
    works.feeder.plans.clear()
    sound = works.submit(works.catalog(20), only_ids=frozenset({"item-019"}))
    dispatcher = Dispatcher(here, works.feeder)
    capsys.readouterr()
    for _ in range(3):
        here.progress.state.ask("ZADD", here.state.key("run", sound, "open"), 0, "0")
        dispatcher.tick()
        dispatcher.reconciler.look()
        assert here.progress.open_shards(sound)[0].fed > 0, "it was fed"
    told = here.progress.troubles()
    standing = runs.pop("suspension")
    assert set(told) == set(runs.values())
    assert all(trouble["reason"] and trouble["next"] for trouble in told.values())
    assert [found.reason for found in here.progress.suspensions(standing)] == ["operator"]
    logged = capsys.readouterr().out
    for run_id in runs.values():
        assert 1 <= logged.count(f"run={run_id}") <= 3, logged
    assert sum(1 for _ in Gauges(here.state, here.tools.fleet.limits, account=None).collect())


def test_a_firing_that_was_erased_from_redis_is_found_in_s3(works: Works) -> None:
    """What a schedule fired lies there until it is planned; what was told of one that is over, beside it, is none."""
    here, firings = works.resources, Firings(works.resources.state)
    for name in ("nightly/20260110T010000Z-nightly.json", "nightly.json", "20260109T010000Z-nightly/not_started.json"):
        here.store.put(here.workspace.under("schedules", name), b"{}", content_type="application/json")
    reconciler = Dispatcher(here, works.feeder).reconciler
    for _ in range(LOOKS + 1):
        reconciler.look()
    assert firings.names() == ["20260110T010000Z-nightly"]


def test_a_trouble_that_is_over_is_told_no_more(works: Works) -> None:
    """The missing shard is back: the run is moved, and nobody speaks of it any more."""
    here = works.resources
    run_id = works.submit(works.catalog(2))
    uri = here.workspace.shard(run_id, 0)
    plan = here.store.get(uri)
    here.store.delete(uri)
    works.feeder.plans.clear()
    dispatcher = Dispatcher(here, works.feeder)
    here.state.ask("ZADD", here.state.key("run", run_id, "open"), 0, "0")
    dispatcher.tick()
    trouble = works.look(run_id).trouble
    assert trouble is not None
    assert uri in trouble.reason
    here.store.put(uri, plan.data, content_type=plan.content_type)
    dispatcher.tick()
    assert works.look(run_id).trouble is None


def test_a_run_that_waits_for_answers_on_a_disk_says_so(works: Works) -> None:
    """Their worker has ended: status names it until somebody has handed them on. One that lives does so by itself."""
    here = works.resources
    run_id = works.submit(works.catalog(2))
    (job, _) = works.bench.lines(here.run(run_id), 0)
    message = Message(run_id=run_id, shard=0, index=0, job_id=here.job_id(job), job=job)
    dispatcher = Dispatcher(here, works.feeder)
    here.tools.fleet.heartbeat({})
    in_redis.mark_spooled(message, here.tools.fleet)
    dispatcher.tick()
    assert works.look(run_id).trouble is None
    in_redis.mark_spooled(message, Fleet(here.state, Limits(), worker="gone"))
    dispatcher.tick()
    trouble = works.look(run_id).trouble
    assert trouble is not None
    assert "on the disk of gone" in trouble.reason
    assert "start a worker there" in trouble.next
    in_redis.unpark(message.job_id, here.state)
    dispatcher.tick()
    assert works.look(run_id).trouble is None


def test_a_mark_of_an_answer_that_lies_nowhere_is_let_go(works: Works) -> None:
    """A Redis that forgets has it back: a worker lets go of its own, and of another's where S3 has the result."""
    here = works.resources
    run_id = works.submit(works.catalog(3))
    jobs = works.bench.lines(here.run(run_id), 0)
    messages = [
        Message(run_id=run_id, shard=0, index=index, job_id=here.job_id(job), job=job) for index, job in enumerate(jobs)
    ]
    mine, done, left = messages
    here.tools.fleet.heartbeat({})
    restyle_image(here, done.model_dump(mode="json"))
    spooler, spool = Spooler(here), here.tools.spool
    in_redis.mark_spooled(mine, here.tools.fleet)
    for message in (done, left):
        in_redis.mark_spooled(message, Fleet(here.state, Limits(), worker="gone"))
    kept = spool.put(Spooled(here.workspace.uri, run_id, mine.job_id, "a record", "{}"))
    spooler.release()
    assert {mark.job_id for mark in in_redis.marks(here.state)} == {mine.job_id, left.job_id}
    kept.unlink()
    spooler.release()
    assert [mark.job_id for mark in in_redis.marks(here.state)] == [left.job_id]


@pytest.mark.parametrize(("every", "seconds"), [(0.05, 5), (1, 5), (60, 300), (120, 600), (1000, 600)])
def test_the_lock_of_who_dispatches_ends_in_time(works: Works, every: float, seconds: float) -> None:
    """One that stood for longer would be nobody's, and two would dispatch."""
    assert lock_seconds(every) == seconds
    assert here_dispatches(works, lock_seconds(every))


def here_dispatches(works: Works, seconds: float) -> bool:
    """Whether a lock of so many seconds keeps another one out."""
    progress = works.resources.progress
    return progress.dispatch("this one", ttl=seconds) and not progress.dispatch("another", ttl=seconds)


def test_a_dead_worker_is_freed_job_by_job(works: Works) -> None:
    """One of its jobs cannot be ended, since its plan is gone: the others are freed, and the worker is forgotten."""
    here, state = works.resources, works.resources.state
    lost = works.submit(works.catalog(6), only_ids=frozenset({"item-000"}))
    fine = works.submit(works.catalog(6), only_ids=frozenset({"item-001", "item-002"}))
    here.store.delete(here.workspace.shard(lost, 0))
    works.feeder.plans.clear()
    jobs = {here.job_id(job): (run, index) for run in (fine,) for index, job in enumerate(works.bench.lines(
        here.run(run), 0))}  # fmt: skip
    jobs[here.workspace.job_id("item-000", "default")] = (lost, 0)
    state.ask("SADD", state.key("workers"), "gone")
    for job_id, (run, index) in jobs.items():
        place = json.dumps({"run": run, "shard": 0, "index": index})
        state.ask("HSET", state.key("worker", "gone", "jobs"), job_id, place)
        state.ask("HSET", state.key("run", run, "shard", "0"), f"w:{index}", 9)
    dispatcher = Dispatcher(here, works.feeder)

    def freed() -> bool:
        dispatcher.tick()
        return "gone" not in here.tools.fleet.workers()

    wait_until(freed, timeout=20, description="the dead worker to be forgotten")
    assert works.look(fine).failed == 2, "nine workers died with each of them"


def test_what_redis_has_of_a_run_is_rebuilt_by_resume(works: Works) -> None:
    """Something unreadable there is dropped, as its advice says, and the run is as S3 tells it."""
    here = works.resources
    runs = broken(works)
    dispatcher = Dispatcher(here, works.feeder)
    dispatcher.tick()
    for what in ("status", "number", "suspension", "kind", "shard"):
        run_id = runs[what]
        trouble = works.look(run_id).trouble
        assert what == "suspension" or (trouble and f"restyle resume {run_id}" in trouble.next)
        works.control.resume(run_id)
        dispatcher.tick()
        now = works.look(run_id)
        assert (now.status.value, now.pending, now.trouble, now.suspension) == ("running", 2, None, None), what


def test_a_run_whose_plan_is_gone_can_be_cancelled(works: Works) -> None:
    """As its advice says; no report can be written, and nobody speaks of it any more."""
    here = works.resources
    run_id = broken(works)["plan"]
    works.feeder.plans.clear()
    dispatcher = Dispatcher(here, works.feeder)
    dispatcher.tick()
    trouble = works.look(run_id).trouble
    assert trouble is not None
    assert f"restyle cancel {run_id}" in trouble.next
    works.control.cancel(run_id)
    dispatcher.tick()
    assert run_id not in here.progress.troubles()
    assert run_id not in here.progress.unfinished()


def test_a_run_of_which_nothing_can_be_read_is_told(works: Works) -> None:
    """Words in the place of its ledger and its shards: status says so, and what to type; that lets it go on."""
    here, state = works.resources, works.resources.state
    run_id = works.submit(works.catalog(20))
    for name in ((), ("open",), ("closed",), ("shard", "0"), ("shard", "1"), ("shard", "3")):
        state.ask("SET", state.key("run", run_id, *name), "running")
    state.ask("SREM", state.key("runs"), run_id)
    now = works.look(run_id)
    assert now.pending == 20
    assert now.trouble is not None
    assert f"restyle resume {run_id}" in now.trouble.next
    works.control.resume(run_id)
    assert (works.look(run_id).trouble, here.progress.is_sound(run_id)) == (None, True)
