"""A server that has forgotten grants no call until all who may have one out have told of it; and what they tell."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pytest

from restyle.coordination.budgets import Budgets
from restyle.coordination.claim_types import Claim, Dropped, Limits
from restyle.coordination.fleet import Fleet
from restyle.coordination.in_hand import JobsInHand
from restyle.coordination.periods import Periods
from restyle.coordination.redis.client import State
from restyle.coordination.runs.progress import Ended, Progress
from restyle.coordination.runs.registry import Totals
from restyle.coordination.workspace.tenure import Tenure
from restyle.errors import StateUnavailable
from restyle.keys import Workspace
from restyle.models import (
    Job,
    ManifestSource,
    Message,
    Outcome,
    OutcomeKind,
    Params,
    Run,
    RunOptions,
    RunStatus,
    utc_now,
)
from tests.support.holding import hold
from tests.support.rollback import Rollback, rolling_back
from tests.support.servers import running_valkey
from tests.support.wait import wait_until

WORKSPACE = Workspace("s3://bucket/forgetting")
RUN, OTHER = "20260101T000000Z-abcdef", "20260102T000000Z-abcdef"
LIMITS = Limits(heartbeat_seconds=0.1, heartbeat_ttl=0.7, budgets=Budgets(price=1.0, daily=9.0))
#: What S3 says of a run of which nothing is done.
NOTHING = Totals(RunStatus.RUNNING, 10, 1, 0, 0, 0, 0, 0, 0, 0, 0.0, "", None, None, 0.0)
DONE = Ended(Outcome(outcome=OutcomeKind.SUCCEEDED, credits=1.0), calls=1, wrote_record=True, call_succeeded=True)
#: Seconds that the server falls back by; what comes before it has been on disk for longer.
LOST = 0.15


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rollback]:
    """A Valkey that can be thrown back."""
    with running_valkey(tmp_path_factory.mktemp("own")) as valkey, rolling_back(valkey) as rollback:
        yield rollback


@dataclass
class Two:
    """Two workers of a run with ten jobs, that have lived for longer than what is lost."""

    server: Rollback
    state: State
    progress: Progress
    one: Fleet
    two: Fleet

    def fall_back(self) -> None:
        """The server loses what was done since `settled`."""
        self.server.strike(LOST, down=0)
        wait_until(self.answers, timeout=5, description="the server")

    def empty(self) -> None:
        """The server comes back without anything."""
        self.server.valkey.kill()
        self.server.valkey.start(empty=True)
        wait_until(self.answers, timeout=5, description="the server")
        hold(self.state)
        begin_periods(self.state)

    def answers(self) -> bool:
        """Whether the server is there again, to both workers."""
        try:
            self.state.ping()
            self.state.run("leave", worker="nobody")
        except StateUnavailable:
            return False
        return True

    def recalled(self) -> None:
        """The dispatcher has read the doubts that S3 has."""
        key = self.state.key("server")
        self.state.ask("HSET", key, "recalled", self.state.ask("HGET", key, "incarnation"))


def begin_periods(state: State) -> None:
    """The dispatcher knows what was spent before, and which day it is."""
    state.ask("HSET", state.key("stock"), "server", "this one")
    assert Periods(state).begin("UTC", [])


def a_run(run_id: str = RUN) -> Run:
    """A run of ten jobs in one shard."""
    return Run(
        run_id=run_id, status=RunStatus.RUNNING, created=utc_now(), manifest=ManifestSource(uri="m.csv", sha256="0"),
        plan_digest="d", options=RunOptions(), shards=1, planned=10,
    )  # fmt: skip


def a_message(index: int = 0, run_id: str = RUN) -> Message:
    """The message of one job."""
    job = Job(id=f"sku-{index}", variant="v", image="s3://b/i.jpg", params=Params(prompt="p"), output="s3://b/o.jpg")
    return Message(run_id=run_id, shard=0, index=index, job_id=WORKSPACE.job_id(job.id, "v"), job=job)


def settled(server: Rollback) -> None:
    """All that has been done is no part of what will be lost."""
    size, since = server.size, time.monotonic()
    while time.monotonic() - since < LOST + 0.1:
        time.sleep(0.02)
        if server.size != size:
            size, since = server.size, time.monotonic()


@pytest.fixture
def two(server: Rollback) -> Iterator[Two]:
    """Two workers, and a run that is open."""
    state = State(server.valkey.url, namespace=WORKSPACE.namespace, account="account")
    wait_until(Two(server, state, Progress(state), None, None).answers, timeout=5, description="it")  # type: ignore[arg-type] # none yet
    state.ask("FLUSHALL")
    hold(state)
    begin_periods(state)
    progress = Progress(state)
    workers = [Fleet(state, LIMITS, worker=f"w{number}") for number in (1, 2)]
    for run_id in (RUN, OTHER):
        progress.register(a_run(run_id))
        assert progress.open_shard(run_id, 0, 10)
    for fleet in workers:
        fleet.heartbeat({})
    settled(server)
    yield Two(server, state, progress, *workers)
    state.close()


@pytest.fixture
def patient(two: Two) -> Two:
    """The same, with heartbeats that last for longer than the test."""
    for fleet in (two.one, two.two):
        fleet.limits = replace(LIMITS, heartbeat_ttl=20.0)
        fleet.heartbeat({})
    settled(two.server)
    return two


def claimed(fleet: Fleet, token: str, message: Message | None = None) -> Claim:
    """Takes a message and claims."""
    message = message or a_message()
    fleet.take(message, token)
    return fleet.claim(message, token, looked=True, looked_at=time.monotonic(), made_from="this")


def again(fleet: Fleet, token: str, message: Message | None = None) -> Claim:
    """Claims once more."""
    return fleet.claim(message or a_message(), token, looked=True, looked_at=time.monotonic(), made_from="this")


def let_in(fleet: Fleet, token: str, message: Message | None = None, *, alive: Sequence[Fleet] = ()) -> Claim:
    """Claims until it is told something else than to wait; meanwhile it and others live."""

    def claim() -> Claim | None:
        for other in (fleet, *alive):
            other.heartbeat({})
        found = again(fleet, token, message)
        return None if found.verdict == "wait" else found

    return wait_until(claim, timeout=5, description="an answer to the claim")


def keeps_waiting(fleet: Fleet, token: str, message: Message | None = None) -> None:
    """Claims are told to wait for longer than it would take, were all told."""
    until = time.monotonic() + 3 * LIMITS.heartbeat_seconds
    while time.monotonic() < until:
        fleet.heartbeat({})
        assert again(fleet, token, message).verdict == "wait"
        time.sleep(0.05)


def test_a_lost_claim_is_put_back_before_another_is_granted(patient: Two) -> None:
    """The claim of a call that is out was in the lost second: whoever asks next waits until its worker has told."""
    two = patient
    assert claimed(two.one, "t1").verdict == "go"
    two.fall_back()
    assert claimed(two.two, "t2").verdict == "wait"
    two.two.heartbeat({})
    two.recalled()
    keeps_waiting(two.two, "t2")
    two.one.heartbeat({})
    with pytest.raises(Dropped, match="held"):
        let_in(two.two, "t2")


def test_a_worker_that_is_gone_is_waited_for_as_long_as_its_heartbeat_lasts(two: Two) -> None:
    """It died with the server: after its heartbeat's time it counts as dead, and the others go on."""
    claimed(two.one, "t1")
    two.fall_back()
    two.two.heartbeat({})
    two.recalled()
    began = time.monotonic()
    assert claimed(two.two, "t2", a_message(1)).verdict == "wait"
    assert let_in(two.two, "t2", a_message(1)).verdict == "go"
    assert 0.9 * LIMITS.heartbeat_ttl < time.monotonic() - began < 4 * LIMITS.heartbeat_ttl


def test_no_call_is_granted_before_the_doubts_are_read(patient: Two) -> None:
    """S3 may tell of calls in doubt that this server has forgotten: the dispatcher reads them first."""
    two = patient
    two.fall_back()
    for fleet in (two.one, two.two):
        fleet.heartbeat({})
    fleet.take(a_message(), "t1")
    keeps_waiting(fleet, "t1")
    two.recalled()
    assert let_in(fleet, "t1", alive=[two.one]).verdict == "go"
    assert claimed(two.two, "t2", a_message(1)).verdict == "go", "and no claim waits any more"


def test_what_an_empty_server_is_asked_waits_for_all_who_may_live(two: Two) -> None:
    """It knows of no worker: for a heartbeat's whole time nobody can say who has a call out."""
    assert claimed(two.one, "t1").verdict == "go"
    two.empty()
    began = time.monotonic()
    fresh = Fleet(two.state, LIMITS, worker="w3")
    fresh.heartbeat({})
    assert two.progress.restore(a_run(), NOTHING, [])
    assert two.progress.open_shard(RUN, 0, 10)
    two.recalled()
    assert claimed(fresh, "t3").verdict == "wait", "a run that it had forgotten"
    time.sleep(LIMITS.heartbeat_seconds)
    two.one.heartbeat({})
    two.recalled()
    with pytest.raises(Dropped, match="held"):
        let_in(fresh, "t3")
    fresh.take(a_message(1), "t4")
    assert let_in(fresh, "t4", a_message(1), alive=[two.one]).verdict == "go"
    assert time.monotonic() - began > 0.9 * LIMITS.heartbeat_ttl


@pytest.mark.parametrize("is_known", [False, True])
def test_what_a_command_has_waited_for_is_not_waited_for_again(two: Two, *, is_known: bool) -> None:
    """A holder's silence outlasts a heartbeat; a worker that knows of claims is waited for all the same."""
    assert claimed(two.one, "t1").verdict == "go"
    two.empty()
    Tenure(two.state, machine="").know(interest=60.0)
    time.sleep(LIMITS.heartbeat_ttl)
    fresh = Fleet(two.state, LIMITS, worker="w3")
    fresh.heartbeat({})
    if is_known:
        two.one.heartbeat({})
    assert two.progress.restore(a_run(), NOTHING, [])
    assert two.progress.open_shard(RUN, 0, 10)
    assert claimed(fresh, "t3", a_message(1)).verdict == ("wait" if is_known else "go")


def test_a_server_that_is_new_to_everybody_makes_nobody_wait(two: Two) -> None:
    """A first start has forgotten nothing."""
    two.empty()
    two.progress.register(a_run())
    assert two.progress.open_shard(RUN, 0, 10)
    fresh = Fleet(two.state, LIMITS, worker="w3")
    fresh.heartbeat({})
    assert claimed(fresh, "t3").verdict == "go"


def test_what_a_snapshot_brings_back_is_found_out_by_the_count(two: Two) -> None:
    """The same process goes on with data of before, as a virtual machine does: its counter has gone back."""
    key = two.state.key("server")
    before = two.state.ask("HGETALL", key)
    assert claimed(two.one, "t1").verdict == "go"
    two.state.ask("DEL", two.state.key("lease", a_message().job_id))
    two.state.ask("HSET", key, *(word for item in before.items() for word in item))
    two.one.heartbeat({})
    assert claimed(two.two, "t2", a_message(1)).verdict == "wait"


def test_what_was_set_aside_is_put_back_with_its_lease(two: Two) -> None:
    """Credits for calls that are out count in the budgets of the run and of the day as before."""
    for number in range(8):
        assert claimed(two.one, f"t{number}", a_message(number)).verdict == "go"
    two.fall_back()
    for fleet in (two.one, two.two):
        fleet.heartbeat({})
    two.recalled()
    two.two.take(a_message(8), "u8")
    assert let_in(two.two, "u8", a_message(8), alive=[two.one]).verdict == "go"
    assert claimed(two.two, "u9", a_message(9)).verdict == "wait", "nine calls may cost all there is"
    run_key = two.state.key("run", RUN)
    assert float(two.state.ask("HGET", run_key, "reserved")) == 9.0
    two.progress.report(two.one, a_message(), "t0", DONE)
    assert float(two.state.ask("HGET", run_key, "reserved")) == 8.0


def test_a_request_that_was_accepted_is_put_back(two: Two) -> None:
    """Whoever claims its job next asks for it, and submits no other."""
    assert claimed(two.one, "t1").verdict == "go"
    assert two.one.submitted(a_message(), "t1", "this", '{"id": 1}')
    two.fall_back()
    for fleet in (two.one, two.two):
        fleet.heartbeat({})
    two.recalled()
    two.one.release(a_message(), "t1")
    two.two.take(a_message(), "t2")
    claim = let_in(two.two, "t2", alive=[two.one])
    assert (claim.verdict, claim.request) == ("submitted", '{"id": 1}')


def test_of_two_who_think_they_hold_a_job_the_later_does(two: Two) -> None:
    """The server remembers a lease of before, and has forgotten that the job was let go and claimed by another."""
    assert claimed(two.two, "t2").verdict == "go"
    settled(two.server)
    two.two.release(a_message(), "t2")
    assert claimed(two.one, "t1").verdict == "go"
    two.fall_back()
    assert two.two.lease(a_message().job_id)["worker"] == "w2"
    two.one.heartbeat({})
    two.two.heartbeat({})
    lease = two.one.lease(a_message().job_id)
    assert (lease["worker"], lease["token"]) == ("w1", "t1")
    assert float(two.state.ask("HGET", two.state.key("run", RUN), "reserved")) == 1.0


def test_a_worker_taken_for_dead_takes_nothing_from_its_successor(two: Two) -> None:
    """Its grant was the earlier one."""
    assert claimed(two.one, "t1").verdict == "go"
    place = two.one.jobs_of("w1")[a_message().job_id]
    two.state.ask("DEL", two.state.key("worker", "w1"))
    assert two.two.free("w1", place, a_message().job_id)[0]
    assert claimed(two.two, "t2").verdict == "go"
    two.one.heartbeat({})
    assert two.one.lease(a_message().job_id)["token"] == "t2"


def test_another_runs_done_mark_hides_no_call(two: Two) -> None:
    """The job was done by one run a moment ago, and another one calls for it: its lease is put back all the same."""
    assert claimed(two.one, "t0").verdict == "go"
    assert two.progress.report(two.one, a_message(), "t0", DONE)
    settled(two.server)
    message = a_message(run_id=OTHER)
    assert claimed(two.one, "t1", message).verdict == "go"
    two.fall_back()
    two.one.heartbeat({})
    assert two.one.lease(message.job_id)["token"] == "t1"


def test_a_beat_of_before_does_not_count(patient: Two) -> None:
    """Its list was made up before the server fell back, and lacks a call that was granted meanwhile."""
    two = patient
    assert claimed(two.one, "t1").verdict == "go"
    calls, two.one.hands = two.one.hands, JobsInHand()
    two.fall_back()
    assert two.one._heartbeat({}) is False, "it is told to say it again"
    two.two.heartbeat({})
    two.recalled()
    two.two.take(a_message(), "t2")
    keeps_waiting(two.two, "t2")
    two.one.hands = calls
    two.one.heartbeat({})
    with pytest.raises(Dropped, match="held"):
        let_in(two.two, "t2")


def test_a_claim_of_before_is_known_as_such(two: Two) -> None:
    """Its answer was read after the server fell back: the call must not begin."""
    claim = claimed(two.one, "t1")
    assert not two.one.is_outdated(claim)
    two.fall_back()
    two.one.heartbeat({})
    assert two.one.is_outdated(claim)


@pytest.mark.parametrize("is_closed", [True, False], ids=["closed", "lost"])
def test_a_call_whose_shard_is_gone_was_paid_for(two: Two, is_closed: bool) -> None:
    """Its credits count, once, in the run and in the day's budget, where no record will bring them."""
    claimed(two.one, "t1")
    if is_closed:
        assert two.progress.close_shard(RUN, 0)
    else:
        two.state.ask("ZREM", two.state.key("run", RUN, "open"), "0")
    for _ in range(2):
        assert not two.progress.report(two.one, a_message(), "t1", DONE)
    totals = two.progress.totals(RUN)
    assert totals is not None
    (day, _) = LIMITS.budgets.periods()
    spent = float(two.state.ask("GET", two.state.key("spent", day.name)) or 0)
    assert (totals.credits, spent) == ((1.0, 1.0) if is_closed else (0.0, 0.0))
