"""Claims, leases, suspension and pacing on a real Valkey."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

import pytest

from restyle.coordination.claim_types import Dropped, Limits
from restyle.coordination.fleet import Fleet
from restyle.coordination.in_hand import JobInHand
from restyle.coordination.redis.client import State
from restyle.coordination.runs.progress import Ended, Progress
from restyle.errors import ApiUnavailable, OutOfCredits, RateLimited, RequestRejected
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

WORKSPACE = Workspace("s3://bucket/team")
RUN, OTHER = "20260101T000000Z-abcdef", "20260102T000000Z-abcdef"
DONE = Ended(Outcome(outcome=OutcomeKind.SUCCEEDED, credits=0.02), calls=1, wrote_record=True, call_succeeded=True)


def a_run(planned: int = 10, shards: int = 1) -> Run:
    """A run of ten jobs in one shard."""
    return Run(
        run_id=RUN,
        status=RunStatus.RUNNING,
        created=utc_now(),
        manifest=ManifestSource(uri="m.csv", sha256="0"),
        plan_digest="d",
        options=RunOptions(),
        shards=shards,
        planned=planned,
    )


def a_message(index: int = 0) -> Message:
    """The message of one job of it."""
    job = Job(id=f"sku-{index}", variant="v", image="s3://b/i.jpg", params=Params(prompt="p"), output="s3://b/o.jpg")
    return Message(run_id=RUN, shard=0, index=index, job_id=WORKSPACE.job_id(job.id, "v"), job=job)


Workers = Callable[..., Fleet]


@pytest.fixture
def state(redis_url: str) -> Iterator[State]:
    """The door to a real Valkey."""
    state = State(redis_url, namespace=WORKSPACE.namespace, account="account")
    yield state
    state.close()


@pytest.fixture
def progress(state: State) -> Progress:
    """The ledger with the run registered and its shard open."""
    hold(state)
    progress = Progress(state)
    progress.register(a_run())
    assert progress.open_shard(RUN, 0, 10)
    return progress


@pytest.fixture
def worker(state: State, progress: Progress) -> Workers:
    """Makes workers that have had their first heartbeat."""

    def make(name: str = "w1", **limits: float) -> Fleet:
        fleet = Fleet(state, Limits(**limits), worker=name)  # type: ignore[arg-type] # max_rpm is an int
        fleet.heartbeat({})
        return fleet

    return make


def claim(fleet: Fleet, message: Message, token: str = "t", *, looked: bool = False) -> str:
    """The verdict of one claim."""
    return fleet.claim(message, token, looked=looked, looked_at=time.monotonic()).verdict


def test_a_job_is_called_by_one_worker_only(worker: Workers, progress: Progress) -> None:
    """Two workers with the same message: one may call, the other drops; after the outcome nobody may."""
    one, two, message = worker("w1"), worker("w2"), a_message()
    one.take(message, "t1")
    two.take(message, "t2")
    assert claim(one, message, "t1") == "go"
    with pytest.raises(Dropped, match="held"):
        claim(two, message, "t2")
    assert progress.report(one, message, "t1", DONE)
    with pytest.raises(Dropped, match="done"):
        two.take(message, "t3")


def test_a_second_copy_in_the_same_worker_is_dropped(worker: Workers) -> None:
    """A redelivered message does not disturb the thread that works on the job."""
    fleet, message = worker(), a_message()
    fleet.take(message, "t1")
    with pytest.raises(Dropped, match="held"):
        fleet.take(message, "t2")
    assert claim(fleet, message, "t1") == "go"


def test_a_beat_between_the_two_steps_of_taking_changes_nothing(worker: Workers) -> None:
    """The heartbeat may list a job that a thread has just begun to take: it is that thread's all the same."""
    fleet, message = worker(), a_message()
    place = json.dumps({"run": message.run_id, "shard": message.shard, "index": message.index})
    fleet.hands.add(message.job_id, JobInHand(place, "t"))
    fleet.heartbeat({})
    fleet.hands.remove(message.job_id, "t")
    fleet.take(message, "t")
    assert claim(fleet, message, "t") == "go"


@pytest.mark.parametrize("said", ["let go", "report", "spent", "claim"])
def test_what_is_said_again_leaves_the_next_holder_alone(worker: Workers, progress: Progress, said: str) -> None:
    """Where Redis's answer was lost, a thread parts with its job twice: by then another one may have it, and calls."""
    fleet, message = worker(), a_message()

    def part() -> None:
        if said == "let go":
            fleet.release(message, "t1")
        elif said == "report":
            progress.report(fleet, message, "t1", Ended(Outcome(outcome=OutcomeKind.SKIPPED)))
        elif said == "spent":
            fleet.spent(message, "t1", 0.02)
        else:
            with pytest.raises(Dropped):
                fleet.claim(message, "t1", looked=True, looked_at=time.monotonic())

    fleet.take(message, "t1")
    if said == "claim":
        fleet.suspend("operator", "", "me")
    part()
    if said == "claim":
        fleet.resume()
    if said == "report":
        other = message.model_copy(update={"run_id": OTHER})
        progress.register(a_run().model_copy(update={"run_id": OTHER}))
        assert progress.open_shard(OTHER, 0, 10)
    else:
        other = message
    fleet.take(other, "t2")
    assert claim(fleet, other, "t2") == "go"
    part()
    assert fleet.hands.snapshot()[message.job_id].token == "t2"
    assert message.job_id in fleet.jobs_of(fleet.worker)
    fleet.loosen(message.job_id)
    assert fleet.lease(message.job_id)["token"] == "t2"


def test_the_ledger_counts_the_first_outcome_only(worker: Workers, progress: Progress) -> None:
    """A second report adds nothing to the outcomes, so that they always sum up to what was planned."""
    fleet, message = worker(), a_message()
    fleet.take(message, "t")
    claim(fleet, message)
    assert progress.report(fleet, message, "t", DONE)
    assert progress.report(fleet, message, "t", DONE), "said again by the same hand: Redis's answer was lost"
    assert not progress.report(fleet, message, "u", DONE)
    totals = progress.totals(RUN)
    assert totals is not None
    assert (totals.succeeded, totals.pending, totals.planned) == (1, 9, 10)


def test_suspect_pictures_are_counted_once(worker: Workers, progress: Progress) -> None:
    """What looks wrong is counted beside the outcomes, by the first report alone."""
    fleet, message = worker(), a_message()
    fleet.take(message, "t")
    claim(fleet, message)
    ended = Ended(DONE.outcome.model_copy(update={"suspect": ("black",)}))
    assert progress.report(fleet, message, "t", ended)
    assert not progress.report(fleet, message, "u", ended)
    totals = progress.totals(RUN)
    assert totals is not None
    assert (totals.succeeded, totals.suspect, totals.pending) == (1, 1, 9)
    assert progress.outcomes(RUN, message.shard)[message.index].suspect == ("black",)


def test_out_of_credits_stops_everyone_and_feeds_again_after_resume(worker: Workers, progress: Progress) -> None:
    """After the 406 no claim succeeds, not of late workers either; nothing fails, and the shard is marked."""
    one, message = worker("w1"), a_message()
    one.take(message, "t")
    granted = one.claim(message, "t", looked=False, looked_at=time.monotonic())
    one.call_failed(message, "t", granted, OutOfCredits("no credits"))
    one.release(message, "t")
    late = worker("w2")
    with pytest.raises(Dropped, match="suspended"):
        late.take(a_message(1), "t2")
    assert [s.reason for s in late.suspensions()] == ["no_credits"]
    assert progress.open_shards(RUN)[0].fed == 0
    one.resume()
    late.take(a_message(1), "t2")
    assert claim(late, a_message(1), "t2") == "go"


def test_an_answer_from_before_the_resume_suspends_nothing(worker: Workers) -> None:
    """A late 406 of a call that began before the top-up does not stop the fleet again."""
    fleet, message = worker(), a_message()
    fleet.take(message, "t")
    granted = fleet.claim(message, "t", looked=False, looked_at=time.monotonic())
    fleet.resume()
    fleet.call_failed(message, "t", granted, OutOfCredits())
    assert fleet.suspensions() == []


def test_a_rate_limit_holds_everyone_and_costs_no_attempt(worker: Workers) -> None:
    """After a 429 each claim waits for the reset, and the job's attempts stay at nothing."""
    fleet, message = worker(), a_message()
    fleet.take(message, "t")
    granted = fleet.claim(message, "t", looked=False, looked_at=time.monotonic())
    assert fleet.call_failed(message, "t", granted, RateLimited(wait=30)).used == 0
    again = fleet.claim(message, "t", looked=True, looked_at=time.monotonic())
    assert again.verdict == "wait"
    assert 25 < again.wait <= 30


def test_slots_are_evenly_spaced(worker: Workers) -> None:
    """At 60 calls a minute the second claim waits for about a second; a refused one burns no slot."""
    fleet = worker(max_rpm=60)
    fleet.take(a_message(0), "a")
    fleet.take(a_message(1), "b")
    assert claim(fleet, a_message(0), "a") == "go"
    waits = [fleet.claim(a_message(1), "b", looked=False, looked_at=time.monotonic()) for _ in range(5)]
    assert all(wait.verdict == "wait" and wait.wait < 1.1 for wait in waits)


def test_a_storm_suspends_and_one_success_clears_it(worker: Workers, progress: Progress) -> None:
    """Ten failures in a row over five jobs are an outage; the probe alone may pass, and its success ends it."""
    fleet = worker(probe_seconds=0.05)
    for attempt in range(10):
        message = a_message(attempt % 5)
        fleet.take(message, f"t{attempt}")
        granted = fleet.claim(message, f"t{attempt}", looked=True, looked_at=time.monotonic())
        assert granted.verdict == "go"
        fleet.call_failed(message, f"t{attempt}", granted, ApiUnavailable("500", 500))
        fleet.release(message, f"t{attempt}")
    assert [s.reason for s in fleet.suspensions()] == ["outage"]
    with pytest.raises(Dropped, match="suspended"):
        fleet.take(a_message(7), "t")
    probe = a_message(8)
    time.sleep(0.06)
    assert fleet.probe(probe.job_id)
    assert not fleet.probe(a_message(7).job_id)
    fleet.take(probe, "p")
    assert claim(fleet, probe, "p") == "go"
    progress.report(fleet, probe, "p", DONE)
    assert fleet.suspensions() == []


def test_one_bad_job_is_no_storm(worker: Workers) -> None:
    """A single job that fails again and again never stands for an outage."""
    fleet, message = worker(), a_message()
    for attempt in range(20):
        fleet.take(message, f"t{attempt}")
        granted = fleet.claim(message, f"t{attempt}", looked=True, looked_at=time.monotonic())
        storm = fleet.call_failed(message, f"t{attempt}", granted, ApiUnavailable("500", 500))
        fleet.release(message, f"t{attempt}")
        assert not storm.running
    assert fleet.suspensions() == []


def test_a_rejected_request_ends_a_streak(worker: Workers) -> None:
    """An API that says what is wrong with a request is up."""
    fleet = worker()
    for attempt in range(30):
        message = a_message(attempt % 6)
        fleet.take(message, f"t{attempt}")
        granted = fleet.claim(message, f"t{attempt}", looked=True, looked_at=time.monotonic())
        error = RequestRejected("400") if attempt % 5 == 4 else ApiUnavailable("500", 500)
        fleet.call_failed(message, f"t{attempt}", granted, error)
        fleet.release(message, f"t{attempt}")
    assert fleet.suspensions() == []


def test_a_worker_without_heartbeat_may_not_call(worker: Workers, state: State) -> None:
    """Once its own heartbeat has lapsed a worker is refused, and the job is fed again."""
    fleet, message = worker(), a_message()
    fleet.take(message, "t")
    state.ask("DEL", state.key("worker", "w1"))
    with pytest.raises(Dropped, match="heartbeat"):
        claim(fleet, message)


def test_a_dead_workers_call_is_freed_and_in_doubt(worker: Workers, state: State, progress: Progress) -> None:
    """Freed once, counted once, whoever frees it; a living worker is never freed."""
    dead, living, message = worker("w1"), worker("w2"), a_message()
    dead.take(message, "t")
    claim(dead, message)
    place = dead.jobs_of("w1")[message.job_id]
    assert living.free("w1", place, message.job_id) == (False, 0, 0)
    state.ask("DEL", state.key("worker", "w1"))
    assert living.free("w1", place, message.job_id) == (True, 1, 0)
    assert living.free("w1", place, message.job_id) == (False, 1, 0)
    living.take(message, "t2")
    assert claim(living, message, "t2") == "look"
    assert claim(living, message, "t2", looked=True) == "go"


def test_a_cancelled_or_suspended_run_takes_nothing(worker: Workers, progress: Progress) -> None:
    """A run's own suspension stops its jobs alone; a cancelled run's messages are forgotten."""
    fleet = worker()
    progress.suspend(RUN, "interrupted", "Ctrl-C", "me")
    with pytest.raises(Dropped, match="suspended"):
        fleet.take(a_message(), "t")
    progress.resume(RUN)
    fleet.take(a_message(), "t")
    progress.set_status(RUN, RunStatus.CANCELLED)
    with pytest.raises(Dropped, match="run"):
        claim(fleet, a_message())


def test_a_shard_opens_once(progress: Progress) -> None:
    """A shard that is open or closed is not opened again, so that no outcome is counted twice."""
    assert not progress.open_shard(RUN, 0, 10)
    assert progress.close_shard(RUN, 0)
    assert not progress.close_shard(RUN, 0)
    assert not progress.open_shard(RUN, 0, 10)


def test_no_claim_without_the_workspace(worker: Workers, state: State) -> None:
    """Until S3 says that this Redis holds it a claim waits, holding nothing; where another one has it, it drops."""
    fleet, message = worker(), a_message()
    fleet.take(message, "t")
    state.ask("DEL", state.key("holder"))
    assert claim(fleet, message) == "wait"
    assert fleet.lease(message.job_id) == {}
    hold(state)
    assert claim(fleet, message) == "go"
    other = a_message(1)
    fleet.take(other, "u")
    state.run("unhold", why=json.dumps({"detail": "held by ben", "by": "ben", "since": 0}), if_idle=0)
    with pytest.raises(Dropped, match="holder"):
        claim(fleet, other, "u")
    assert [found.reason for found in fleet.suspensions()] == ["workspace_held"]
    with pytest.raises(Dropped, match="holder"):
        fleet.take(a_message(2), "v")


def test_what_was_looked_up_before_the_workspace_was_taken_is_looked_up_again(worker: Workers, state: State) -> None:
    """Another Redis may have done the job meanwhile: the look-up counts from when this one holds the workspace."""
    fleet, message = worker(), a_message()
    fleet.take(message, "t")
    looked_at = time.monotonic() - 5
    state.ask("SET", state.key("holder"), f"{state.clock() * 1000 - 1000:.0f}")
    for looked in (False, True):
        assert fleet.claim(message, "t", looked=looked, looked_at=looked_at).verdict == "look"
    assert fleet.claim(message, "t", looked=True, looked_at=time.monotonic()).verdict == "go"
