"""What bounds spending is in S3 before it is acted on, and in Redis before the first claim: counted at the sandbox."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import pytest

from producers.dispatch.ledger import mark_opened
from producers.runs.recovery.rebuild import Rebuilder
from producers.runs.snapshot import write_run
from producers.runs.suspensions import read_suspension
from restyle.models import utc_now
from tests.support.proxy import Proxy, running_proxy
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3
from tests.support.wait import wait_until
from tests.support.works import Works, running_works

pytestmark = pytest.mark.timeout(90)

#: Seconds that each request to S3 takes where it is slow.
SLOW = 0.1

Fleets = Callable[..., AbstractContextManager[Works]]


@pytest.fixture
def proxy(s3: S3) -> Iterator[Proxy]:
    """What stands between everybody and S3."""
    with running_proxy(s3.port) as found:
        yield found


@pytest.fixture
def fleet(s3: S3, redis_url: str, sandbox: SandboxServer, proxy: Proxy) -> Fleets:
    """A fleet whose calls cost a credit each, in shards of five jobs, on an S3 that may be slow."""

    def make(**settings: Any) -> AbstractContextManager[Works]:
        endpoint = f"http://127.0.0.1:{proxy.port}"
        return running_works(s3, redis_url, sandbox, local_s3_endpoint=endpoint, **settings)

    return make


@pytest.mark.long
def test_a_budget_outlives_redis(fleet: Fleets, proxy: Proxy, sandbox: SandboxServer) -> None:
    """12 of 12 credits are spent in three shards, two of them open; Redis is empty and S3 slow: not one call more."""
    with fleet() as works:
        run_id = works.submit(works.catalog(20), budget=12)
        works.stands(run_id, "budget")
        assert sandbox.charged == 12
        proxy.delay = SLOW
        works.lose_everything()
        works.control.resume(run_id)
        now = works.stands(run_id, "budget", within=40)
        proxy.delay = 0
        assert (sandbox.charged, now.credits_spent, now.succeeded, now.attempts) == (12, 12.0, 12, 12)
        works.control.resume(run_id, budget=14)
        works.stands(run_id, "budget")
    assert (sandbox.charged, sandbox.paid_twice) == (14, {})


def test_a_days_budget_outlives_redis(fleet: Fleets, sandbox: SandboxServer) -> None:
    """A run of 6 has ended, another has spent 4 of the day's 10; Redis is empty: nothing more is spent today."""
    with fleet(daily_budget=10.0) as works:
        rows = works.catalog(20)
        works.ended(works.submit(rows, prompt="first {id}", limit=6))
        second = works.submit(rows, prompt="second {id}")
        works.stands(second, "budget")
        assert (sandbox.charged, works.spent_today()) == (10, 10.0)
        works.lose_everything()
        works.control.resume(second)
        works.stands(second, "budget")
        assert (sandbox.charged, works.spent_today()) == (10, 10.0)
        third = works.submit(works.catalog(30), prompt="third {id}", only_ids=frozenset({"item-025"}))
        works.stands(third, "budget")
    assert sandbox.charged == 10


@pytest.mark.long
def test_a_run_that_is_over_counts_for_its_day(fleet: Fleets, sandbox: SandboxServer) -> None:
    """Where nothing is unfinished a Redis that is new sums up at once, and a new run has what is left of the day."""
    with fleet(daily_budget=10.0) as works:
        rows = works.catalog(12)
        works.ended(works.submit(rows, limit=7))
        works.lose_everything()
        now = works.stands(works.submit(rows), "budget")
        assert (now.succeeded, now.failed) == (3, 0)
    assert sandbox.charged == 10


@pytest.mark.long
def test_an_approval_outlives_redis(fleet: Fleets, proxy: Proxy, sandbox: SandboxServer) -> None:
    """A sample of 3 is done and nobody has approved; Redis is empty, somebody types resume: 3 are paid for."""
    with fleet() as works:
        run_id = works.submit(works.catalog(12), sample=3, then_ask=True)
        works.stands(run_id, "awaiting_approval")
        proxy.delay = SLOW
        works.lose_everything()
        works.control.resume(run_id)
        works.stands(run_id, "awaiting_approval", within=40)
        proxy.delay = 0
        assert sandbox.charged == 3
        works.control.approve(run_id)
        assert works.ended(run_id).succeeded == 12
    assert (sandbox.charged, sandbox.paid_twice) == (12, {})


def test_a_run_that_a_brake_has_stopped_stays_stopped(fleet: Fleets, sandbox: SandboxServer) -> None:
    """Its pictures are black, and Redis is empty: none is paid for more until a person has said so."""
    sandbox.script(*["black"] * 100)
    with fleet(max_suspects="3") as works:
        here, progress = works.resources, works.resources.progress
        run_id = works.submit(works.catalog(20))
        before = works.stands(run_id, "suspect")
        wait_until(
            lambda: [one.is_stored for one in progress.suspensions(run_id)] == [True], timeout=10,
            description="the suspension in S3",
        )  # fmt: skip
        charged = sandbox.charged
        works.lose_everything()
        now = works.stands(run_id, "suspect")
        assert (now.suspect, now.suspension, sandbox.charged) == (before.suspect, before.suspension, charged)
        works.control.resume(run_id)
        assert read_suspension(run_id, here.store, here.workspace) is None
        works.stands(run_id, "suspect")
    assert charged + 3 <= sandbox.charged < 20
    assert sandbox.paid_twice == {}


def test_a_run_that_redis_has_lost_is_cancelled_without_a_call(
    fleet: Fleets, proxy: Proxy, sandbox: SandboxServer
) -> None:
    """Suspended by a person, lost, cancelled: it is never running again, and its report tells what was done."""
    with fleet() as works:
        run_id = works.submit(works.catalog(20))
        wait_until(lambda: sandbox.charged >= 6, timeout=20, description="6 calls")
        works.control.suspend(run_id)
        works.stands(run_id, "operator")
        spent = sandbox.calls
        proxy.delay = SLOW
        works.lose_everything()
        works.control.cancel(run_id)
        known = lambda: works.resources.progress.totals(run_id)  # noqa: E731 - a predicate
        assert wait_until(known, timeout=40, description="Redis to know it").status.value == "cancelled"
        proxy.delay = 0
        now = works.ended(run_id)
    assert (now.status.value, now.succeeded, now.pending) == ("cancelled", spent, 20 - spent)
    assert (sandbox.calls, sandbox.paid_twice) == (spent, {})


@pytest.mark.long
def test_what_a_person_suspended_stays_suspended(fleet: Fleets, sandbox: SandboxServer) -> None:
    """Redis forgets the suspension of a run and that of the fleet; S3 does not, until a person lifts them."""
    with fleet() as works:
        rows = works.catalog(12)
        run_id = works.submit(rows, only_ids=frozenset(f"item-{number:03d}" for number in range(9)))
        wait_until(lambda: sandbox.charged >= 2, timeout=20, description="2 calls")
        works.control.suspend(None)
        works.control.suspend(run_id)
        works.stands(run_id, "operator")
        spent = sandbox.calls
        works.lose_everything()
        other = works.submit(rows, only_ids=frozenset({"item-009", "item-010"}))
        works.stands(run_id, "operator")
        assert [found.scope for found in works.resources.tools.fleet.suspensions()] == ["fleet"]
        assert sandbox.calls == spent
        works.control.resume(None)
        assert works.ended(other).succeeded == 2
        assert sandbox.calls == spent + 2, "the run has a suspension of its own"
        works.control.resume(run_id)
        assert works.ended(run_id).succeeded == 9
    assert (sandbox.charged, sandbox.paid_twice) == (11, {})


@pytest.mark.long
def test_a_run_that_redis_has_lost_goes_on_by_itself(fleet: Fleets, sandbox: SandboxServer) -> None:
    """Nothing forbids it: it is rebuilt where it was, with its calls in flight; each job is paid for once."""
    sandbox.control(latency=0.3)
    with fleet(heartbeat_ttl=0.5) as works:
        run_id = works.submit(works.catalog(16), budget=40)
        wait_until(lambda: sandbox.charged >= 5, timeout=20, description="5 calls")
        works.lose_everything()
        now = works.ended(run_id)
    assert (now.succeeded, now.credits_spent, now.attempts, now.in_doubt) == (16, 16.0, 16, 0)
    assert (sandbox.charged, sandbox.paid_twice) == (16, {})


@pytest.mark.long
@pytest.mark.parametrize("limit", ["run", "day"])
def test_calls_that_were_out_at_the_loss_count(fleet: Fleets, sandbox: SandboxServer, limit: str) -> None:
    """Redis is emptied twice while four calls are out, and somebody types resume: 10 of 10 credits are spent."""
    sandbox.control(latency=0.4)
    with fleet(heartbeat_ttl=0.5, daily_budget=10.0 if limit == "day" else 0.0) as works:
        run_id = works.submit(works.catalog(20), budget=10 if limit == "run" else None)
        for calls in (0, 4):
            wait_until(
                lambda calls=calls: sandbox.charged >= calls and sandbox.counters()["in_flight"] >= 3,  # type: ignore[misc]
                timeout=20, description=f"{calls} calls paid for and more out",
            )  # fmt: skip
            works.lose_everything()
            works.control.resume(run_id)
        now = works.stands(run_id, "budget")
        assert (now.succeeded, now.credits_spent, now.in_doubt) == (10, 10.0, 0)
        assert works.spent_today() == 10.0
    assert (sandbox.charged, sandbox.paid_twice) == (10, {})


def test_whatever_bounds_a_run_is_rebuilt(fleet: Fleets) -> None:
    """Its finishing time, its priority, its doubts and what they may have cost: all before its first claim."""
    with fleet(idle=True) as works:
        here, ends = works.resources, utc_now() + timedelta(hours=2)
        run_id = works.submit(works.catalog(4), finish_by=ends, priority="low", budget=9)
        job = works.bench.lines(here.run(run_id), 0)[1]
        note = {"job_id": here.job_id(job), "noted": str(utc_now())}
        here.store.put(here.workspace.doubt(run_id, here.job_id(job)), json.dumps(note).encode(), content_type="x/y")
        works.lose_everything()
        works.control.resume(run_id)
        key = here.state.key("run", run_id)
        found = here.state.ask("HGETALL", key)
        told = {name: found.get(name) for name in ("priority", "budget", "lost", "status", "planned", "finish_by")}
        assert told == {
            "priority": "low", "budget": "9.0", "lost": "1.000000", "status": "running", "planned": "4",
            "finish_by": None,
        }, "resume goes on beyond its time, and a call that was lost counts as spent"  # fmt: skip
        assert here.state.ask("SMEMBERS", f"{key}:doubts") == {here.job_id(job)}
        works.lose_everything()
        run = here.run(run_id).model_copy(update={"finish_by": ends})
        write_run(run, store=here.store, workspace=here.workspace)
        assert Rebuilder(here.store, here.workspace, here.progress, here.tools.fleet).restore(run_id)
        assert int(here.state.ask("HGET", key, "finish_by")) == round(ends.timestamp() * 1000)


def test_a_lost_call_of_a_job_that_was_reused_since(s3: S3, redis_url: str, sandbox: SandboxServer) -> None:
    """Its record is a copy that cost nothing and says nothing of the call: that counts as spent all the same."""
    with running_works(s3, redis_url, sandbox, idle=True) as works:
        here = works.resources
        same = f"id,image\na,{works.bench.put('a')}\n"
        works.bench.run(same, prompt="oak")
        run = works.bench.begin(works.bench.plan(same.replace("\na,", "\nb,"), prompt="oak"))
        mark_opened(run.run_id, 0, here.store, here.workspace)
        (job,) = works.bench.lines(run, 0)
        note = {"job_id": here.job_id(job), "noted": str(utc_now())}
        uri = here.workspace.doubt(run.run_id, here.job_id(job))
        here.store.put(uri, json.dumps(note).encode(), content_type="x/y")
        (outcome,) = works.bench.work(run).values()
        assert outcome.reused
        works.lose_everything()
        assert Rebuilder(here.store, here.workspace, here.progress, here.tools.fleet).restore(run.run_id)
        totals = here.progress.totals(run.run_id)
        assert totals is not None
        assert (totals.reused, totals.credits) == (1, 0.0)
        assert float(here.state.ask("HGET", here.state.key("run", run.run_id), "lost")) > 0


def test_of_a_run_that_nobody_has_approved_the_sample_alone_is_rebuilt(
    s3: S3, redis_url: str, sandbox: SandboxServer
) -> None:
    """Whatever shards its ledger names as opened: none of the others is open, nor may be, until a person has spoken."""
    with running_works(s3, redis_url, sandbox, idle=True) as works:
        here = works.resources
        run_id = works.submit(works.catalog(12), sample=3, then_ask=True)
        run = here.run(run_id)
        assert (run.shards > 2, run.approved) == (True, False)
        for shard in range(run.shards):
            mark_opened(run_id, shard, here.store, here.workspace)
        works.lose_everything()
        rebuilder = Rebuilder(here.store, here.workspace, here.progress, here.tools.fleet)
        assert rebuilder.restore(run_id)
        assert [found.shard for found in here.progress.open_shards(run_id)] == [0]
        assert not here.progress.open_shard(run_id, 1, 5)
        write_run(run.model_copy(update={"approved": True}), store=here.store, workspace=here.workspace)
        works.lose_everything()
        assert rebuilder.restore(run_id)
        assert [found.shard for found in here.progress.open_shards(run_id)] == list(range(run.shards))


@pytest.mark.long
def test_a_run_of_long_ago_waits_for_a_person(fleet: Fleets, sandbox: SandboxServer) -> None:
    """Redis is empty and S3 has an unfinished run of 40 days ago: nothing is spent on it until somebody names it."""
    with fleet(heartbeat_ttl=0.3, monthly_budget=100.0) as works:
        here = works.resources
        run = works.planned(works.catalog(3))
        works.control.suspend(None)
        works.control.admit(run.model_copy(update={"created": utc_now() - timedelta(days=40)}))
        works.lose_everything()
        works.control.resume(None)
        trouble = wait_until(lambda: works.look(run.run_id).trouble, timeout=20, description="a word on it")
        assert f"restyle resume {run.run_id}" in trouble.next
        state = here.state
        wait_until(lambda: state.ask("EXISTS", state.key("periods")), timeout=20, description="the month's sum")
        assert (here.progress.totals(run.run_id), sandbox.calls) == (None, 0)
        works.control.resume(run.run_id)
        now = works.ended(run.run_id)
        assert (now.succeeded, now.trouble) == (3, None)


def test_what_a_record_tells_counts_once(fleet: Fleets, sandbox: SandboxServer) -> None:
    """A worker stores and dies before it reports: whoever finds the record counts its cost, and late words add none."""
    with fleet(idle=True) as works:
        run = works.bench.begin(works.bench.plan(works.catalog(3)))
        here, fleet_ = works.resources, works.resources.tools.fleet
        fleet_.heartbeat({})
        messages = list(works.bench.messages(run))
        works.bench.work(run)
        state = here.state
        spent = {key: state.ask("GET", key) for key in state.ask("KEYS", state.key("spent", "*"))}
        assert [float(found) for found in spent.values()] == [3.0, 3.0]
        # Redis falls back to before the reports: what they told is gone as a whole.
        state.ask("DEL", *spent, state.key("run", run.run_id, "shard", "0"))
        state.ask("HDEL", state.key("run", run.run_id), "succeeded", "credits", "attempts")
        state.ask("HSET", state.key("run", run.run_id, "shard", "0"), "size", 3)
        works.bench.work(run)
        totals = here.progress.totals(run.run_id)
        assert totals is not None
        assert (totals.succeeded, totals.credits, totals.attempts) == (3, 3.0, 3)
        assert [float(state.ask("GET", key)) for key in spent] == [3.0, 3.0]
        # Its own worker tells of one of them after all.
        message = works.bench.message(messages[0])
        late = works.bench.reported(message, calls=1)
        assert here.progress.report(fleet_, message, "late", late) is False
        assert [float(state.ask("GET", key)) for key in spent] == [3.0, 3.0]
        assert sandbox.charged == 3
