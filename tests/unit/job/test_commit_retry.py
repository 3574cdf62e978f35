"""A paid answer on its way to S3: whatever S3 and Redis do, it is stored once, or kept where others find it."""

from __future__ import annotations

from pathlib import Path

import pytest

from restyle.coordination.claim_types import Claim, Dropped
from restyle.coordination.runs.progress import Ended
from restyle.errors import (
    BucketRefused,
    ClockSkewed,
    ObjectRefused,
    RestyleError,
    StoreAccessDenied,
    StoreUnavailable,
)
from restyle.job import commit_retry
from restyle.job.commit import Made
from restyle.job.commit_retry import until_stored
from restyle.job.parked import in_redis, safekeeping
from restyle.job.parked.on_disk import Spool
from restyle.job.parked.safekeeping import REFUSALS
from restyle.outputs import OutputOptions, Storing
from restyle.record import Record
from tests.support.in_memory import AWAY
from tests.support.one_job import LATER, WORKSPACE, OneJob, black_picture

PLACE, RECORD = WORKSPACE.output("mug", "felt"), WORKSPACE.record("mug", "felt")
JOB = WORKSPACE.job_id("mug", "felt")
#: A bucket that is not the workspace's.
ELSEWHERE = "s3://partner/mug.jpg"


def parked(one: OneJob) -> bool:
    """Whether the answer lies in Redis."""
    return one.state.key("kept", JOB) in one.state.values


def troubled(one: OneJob, error: RestyleError, uri: str, times: int) -> None:
    """S3 does not take an object, so many times."""
    error.uri = uri
    one.store.fail("put", uri, error, times=times)


@pytest.fixture
def one(one: OneJob, tmp_path: Path) -> OneJob:
    """With a disk of its own."""
    one.with_tools(spool=Spool(tmp_path / "spool"))
    return one


# -- S3 is away --------------------------------------------------------------------------------------------


def test_what_s3_takes_at_once_is_parked_nowhere(one: OneJob) -> None:
    """One record, and nothing else is asked of Redis; S3 and the clock are well."""
    one.tools.rotation.failed(ClockSkewed("late"))
    one.tools.rotation.failed(StoreUnavailable("away"))
    one.unsaved.add("another answer")
    record = until_stored(one.made(), one.tools)
    assert isinstance(record, Record)
    assert one.unsaved.is_set()
    assert (one.state.runs, one.tools.rotation.trouble, one.stopping.waits) == ([], None, [])


@pytest.mark.parametrize("error", [StoreUnavailable("away"), ClockSkewed("late"), StoreAccessDenied("403")])
def test_an_answer_outlives_an_outage_of_s3(one: OneJob, error: RestyleError) -> None:
    """It is parked meanwhile, no call begins, and at last it is stored, once."""
    states: list[tuple[bool, bool, int]] = []
    troubled(one, error, PLACE, times=3)
    one.store.when("put", PLACE, lambda: states.append((parked(one), one.unsaved.is_set(), len(one.stopping.waits))))
    assert isinstance(until_stored(one.made(), one.tools), Record)
    assert states == [(True, False, 3)]
    assert (parked(one), one.unsaved.is_set(), one.has_record()) == (False, True, True)
    assert len(one.state.ran("park")) == 1
    assert len(one.fleet.stops) == (3 if isinstance(error, StoreAccessDenied) else 0)


def test_the_waits_grow(one: OneJob) -> None:
    """To five seconds at most."""
    troubled(one, StoreUnavailable("away"), PLACE, times=40)
    until_stored(one.made(), one.tools)
    assert all(0.1 <= wait <= 5.0 for wait in one.stopping.waits)
    assert max(one.stopping.waits[:2]) <= 0.4
    assert max(one.stopping.waits) > 2.0


def test_s3_out_of_reach_is_this_workers_trouble(one: OneJob) -> None:
    """Whether it is its own alone is decided elsewhere; once S3 takes it, it is over."""
    seen = []
    troubled(one, StoreUnavailable("away"), PLACE, times=1)
    one.store.when("put", PLACE, lambda: seen.append(one.tools.rotation.trouble))
    until_stored(one.made(), one.tools)
    assert [trouble and trouble.part for trouble in seen] == ["s3"]
    assert one.tools.rotation.trouble is None


def test_a_refusal_in_the_workspace_stops_the_fleet(one: OneJob) -> None:
    """Its bucket concerns every job; where Redis is away too, the answer is safe all the same."""
    troubled(one, BucketRefused("403"), RECORD, times=1)
    assert isinstance(until_stored(one.made(), one.tools), Record)
    assert one.fleet.stops == ["misconfigured"]
    one.state.trouble = AWAY
    troubled(one, BucketRefused("403"), RECORD, times=1)
    one.store.when("put", RECORD, lambda: setattr(one.state, "trouble", None))
    assert isinstance(until_stored(one.made(), one.tools), Record)


def test_a_worker_that_drains_leaves_its_answer_in_redis(one: OneJob) -> None:
    """Whoever claims the job next finds it there, and this process calls again should it come back."""
    troubled(one, StoreUnavailable("away"), PLACE, times=9)
    one.stopping.after = 2
    made = one.made()
    with pytest.raises(Dropped, match="stopping"):
        until_stored(made, one.tools)
    found = in_redis.find(JOB, one.state)
    assert found is not None
    made_from, called = found
    assert (made_from, called.claim.verdict) == (made.fingerprint.token, "parked")
    assert called.answer.images == made.called.answer.images
    assert one.unsaved.is_set()


def test_a_worker_that_stands_aside_leaves_its_answer_in_redis(one: OneJob) -> None:
    """Others may reach S3."""
    troubled(one, StoreUnavailable("away"), PLACE, times=9)
    one.tools.rotation.failed(StoreUnavailable("away"))
    trouble = one.tools.rotation.trouble
    assert trouble is not None
    one.tools.rotation.leave(trouble)
    with pytest.raises(Dropped, match="out of rotation"):
        until_stored(one.made(), one.tools)
    assert parked(one)


def test_an_answer_that_redis_has_forgotten_is_parked_again(one: OneJob) -> None:
    """It is asked at each try."""
    troubled(one, StoreUnavailable("away"), PLACE, times=2)
    one.store.when("put", PLACE, one.state.values.clear, times=1)
    troubled(one, StoreUnavailable("away"), PLACE, times=1)
    until_stored(one.made(), one.tools)
    assert len(one.state.ran("park")) == 1
    one.state.runs.clear()
    one.store.when("put", PLACE, lambda: one.store.fail("put", PLACE, StoreUnavailable("away")))
    until_stored(one.made(claim=Claim("parked")), one.tools)
    assert one.state.ran("unpark") == [{"job": JOB}]


# -- Redis takes nothing either ----------------------------------------------------------------------------


def spooled(one: OneJob) -> list[Path]:
    """The answers on disk."""
    return one.tools.spool.waiting()


def unparkable(one: OneJob, how: str) -> None:
    """Redis takes no answer."""
    if how == "full":
        one.state.answers["park"] = 0
    elif how == "in memory alone":
        one.state.is_durable = False
    else:
        one.state.trouble = AWAY


@pytest.mark.parametrize(("how", "is_marked"), [("full", True), ("in memory alone", True), ("away", False)])
def test_what_neither_takes_lies_on_disk(one: OneJob, how: str, *, is_marked: bool) -> None:
    """Marked in Redis where that is to be had, once; and gone from there as S3 takes it."""
    on_disk: list[int] = []
    unparkable(one, how)
    troubled(one, StoreUnavailable("away"), PLACE, times=3)
    one.store.when("put", PLACE, lambda: on_disk.append(len(spooled(one))))
    assert isinstance(until_stored(one.made(), one.tools), Record)
    assert (on_disk, spooled(one)) == ([1], [])
    assert len(one.state.ran("spool")) == int(is_marked)
    assert len(one.state.ran("unpark")) == int(is_marked)


def test_what_lies_on_disk_moves_to_redis_where_it_can(one: OneJob) -> None:
    """It is there for all then."""
    on_disk: list[int] = []
    one.state.answers["park"] = 0
    troubled(one, StoreUnavailable("away"), PLACE, times=1)
    one.store.when("put", PLACE, lambda: one.state.answers.pop("park"))
    one.store.fail("put", PLACE, StoreUnavailable("away"))
    one.store.when("put", PLACE, lambda: on_disk.append(len(spooled(one))))
    troubled(one, StoreUnavailable("away"), RECORD, times=1)
    until_stored(one.made(), one.tools)
    assert on_disk == [0]


def test_a_disk_that_takes_nothing_is_tried_again(one: OneJob) -> None:
    """The answer is in memory alone meanwhile, and is stored in the end."""
    one.with_tools(spool=Spool(Path("/dev/null/none")))
    one.state.trouble = AWAY
    troubled(one, StoreUnavailable("away"), PLACE, times=2)
    assert isinstance(until_stored(one.made(), one.tools), Record)


def draining(one: OneJob, monkeypatch: pytest.MonkeyPatch) -> Made:
    """A worker that drains while S3 and Redis take nothing, and has waited long enough."""
    monkeypatch.setattr(safekeeping, "LEAVE_WITHIN", -1.0)
    troubled(one, StoreUnavailable("away"), PLACE, times=9)
    one.stopping.set()
    return one.made()


def test_a_worker_that_drains_leaves_its_answer_on_disk(one: OneJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis says where it lies: nobody calls meanwhile, and nothing is in doubt."""
    one.state.answers["park"] = 0
    with pytest.raises(Dropped, match="stopping"):
        until_stored(draining(one, monkeypatch), one.tools)
    assert (len(spooled(one)), len(one.state.ran("spool")), one.fleet.reports) == (1, 1, [])


def test_an_answer_on_disk_that_nobody_knows_of_is_a_doubt(one: OneJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """The call may have been paid for, as far as others can tell."""
    made = draining(one, monkeypatch)
    one.state.trouble = AWAY
    with pytest.raises(Dropped, match="stopping"):
        until_stored(made, one.tools)
    ((claim, error, _),) = one.fleet.reports
    assert (claim, getattr(error, "in_doubt", False), len(spooled(one))) == (made.called.claim, True, 1)


# -- an object is refused ----------------------------------------------------------------------------------


def ended(one: OneJob, made: Made) -> Ended:
    """A paid answer ends without its place."""
    outcome = until_stored(made, one.tools)
    assert isinstance(outcome, Ended)
    return outcome


@pytest.mark.parametrize("error", [ObjectRefused("400 tags"), ZeroDivisionError("our fault")])
def test_what_s3_refuses_by_itself_is_set_aside(one: OneJob, error: Exception) -> None:
    """Once it has been refused often enough: the job ends, the call counts, and others go on meanwhile."""
    open_gates: list[bool] = []
    traces: list[object] = []
    one.stopping.meanwhile = lambda: traces.append((error.__traceback__, error.__context__, error.__cause__))
    one.unsaved.add("another answer")
    error.uri = PLACE  # type: ignore[attr-defined] # as those of S3 have it
    one.store.fail("put", PLACE, error, times=REFUSALS)
    one.store.when("put", WORKSPACE.unplaced(LATER, JOB, 0, ".jpg"), lambda: open_gates.append(one.unsaved.is_set()))
    outcome = ended(one, one.made(one.work(LATER)))
    assert (outcome.outcome.error, outcome.calls, outcome.call_succeeded) == ("not_stored", 1, True)
    assert str(error) in outcome.outcome.message
    assert outcome.outcome.message.startswith("bug: ") is isinstance(error, ZeroDivisionError)
    assert one.store.objects[WORKSPACE.unplaced(LATER, JOB, 0, ".jpg")].data == one.api.picture
    assert (len(one.stopping.waits), open_gates, parked(one)) == (REFUSALS - 1, [False], False)
    assert (one.unsaved.is_set(), one.fleet.stops) == (True, [])
    assert traces == [(None, None, None)] * (REFUSALS - 1)
    assert not one.has_record()


def test_a_refusal_that_passes_is_none(one: OneJob) -> None:
    """S3 says many things while it is unwell."""
    troubled(one, ObjectRefused("400"), PLACE, times=REFUSALS - 1)
    assert isinstance(until_stored(one.made(), one.tools), Record)


def test_a_bug_is_told_with_its_place(one: OneJob) -> None:
    """So that somebody can mend it."""
    one.store.fail("put", PLACE, ZeroDivisionError("our fault"), times=REFUSALS)
    assert "in_memory.py" in ended(one, one.made()).outcome.message


def test_what_the_workspace_refuses_too_is_everybodys_matter(one: OneJob) -> None:
    """The answer stays parked until a person has looked, and is set aside then."""
    note = WORKSPACE.unplaced(LATER, JOB, 0, ".jpg")
    one.store.fail("put", PLACE, ObjectRefused("400"), times=REFUSALS + 1)
    troubled(one, ObjectRefused("403"), note, times=1)
    assert ended(one, one.made(one.work(LATER))).outcome.error == "not_stored"
    assert one.fleet.stops == ["misconfigured"]
    assert (one.unsaved.is_set(), parked(one), len(one.stopping.waits)) == (True, False, REFUSALS)


def test_what_a_run_wishes_may_be_refused_for_it_alone(one: OneJob) -> None:
    """Tags or a key that S3 does not take say nothing of the bucket."""
    work = one.work(outputs=OutputOptions(storing=Storing(sse_kms_key="alias/none")))
    troubled(one, BucketRefused("403 kms"), PLACE, times=REFUSALS)
    assert ended(one, one.made(work)).outcome.error == "not_stored"
    assert one.fleet.stops == []


def test_an_answer_that_was_set_aside_before_stays_there(one: OneJob) -> None:
    """It is refused again: nothing is counted, and the note is named."""
    one.store.fail("put", PLACE, ObjectRefused("400"), times=2 * REFUSALS)
    one.run()
    again = one.again().run(LATER)
    assert (again.outcome.error, again.calls, again.outcome.credits) == ("not_stored", 0, 0.0)
    assert "/unplaced/" in again.outcome.message
    assert one.api.calls == 1


# -- a bucket of its own -----------------------------------------------------------------------------------


def at_partner(one: OneJob) -> Made:
    """An answer for a bucket that is not the workspace's."""
    return one.made(one.work(job={"output": ELSEWHERE}))


def test_a_partners_bucket_is_waited_for(one: OneJob) -> None:
    """For a while; calls go on, since the workspace is well, and nobody stands aside for it."""
    open_gates: list[bool] = []
    one.store.fail("put", ELSEWHERE, StoreUnavailable("no such host"), times=5)
    one.store.when("put", ELSEWHERE, lambda: open_gates.append(one.unsaved.is_set()))
    assert isinstance(until_stored(at_partner(one), one.tools), Record)
    assert (open_gates, one.tools.rotation.trouble) == ([True], None)
    assert one.state.ran("park") != []


def test_a_partners_bucket_that_stays_away_is_not_waited_for(one: OneJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """The picture is set aside."""
    monkeypatch.setattr(commit_retry, "ELSEWHERE_WITHIN", -1.0)
    one.store.fail("put", ELSEWHERE, StoreUnavailable("no such host"))
    outcome = ended(one, at_partner(one)).outcome
    assert (outcome.error, "no such host" in outcome.message) == ("not_stored", True)


@pytest.mark.parametrize("why", ["the workspace is away too", "it is suspect", "it is the workspace's"])
def test_an_outage_of_all_is_sat_out(one: OneJob, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    """Nothing is set aside where S3 as a whole is away, or the picture goes to the workspace anyhow."""
    monkeypatch.setattr(commit_retry, "ELSEWHERE_WITHIN", -1.0)
    made = at_partner(one)
    target = ELSEWHERE
    if why == "the workspace is away too":
        one.store.fail("head", WORKSPACE.run(made.work.message.run_id), StoreUnavailable("away"))
    elif why == "it is suspect":
        answer = one.api.answer(black_picture())
        made = one.made(one.work(job={"output": ELSEWHERE}), answer=answer, suspect=("black",))
        target = WORKSPACE.suspect("mug", "felt")
    else:
        made, target = one.made(), PLACE
    closed: list[bool] = []
    one.store.fail("put", target, StoreUnavailable("away"))
    one.store.when("put", target, lambda: closed.append(not one.unsaved.is_set()))
    assert isinstance(until_stored(made, one.tools), Record)
    assert closed == [True]


# -- whose the job is by now -------------------------------------------------------------------------------


def test_a_worker_that_was_taken_for_dead_stores_what_nobody_else_has(one: OneJob) -> None:
    """Whatever Redis says: it was paid for."""
    made = one.made()
    one.fleet.lapse()
    assert isinstance(until_stored(made, one.tools), Record)
    assert one.has_record()


@pytest.mark.parametrize("how", ["lapsed", "dead"])
def test_what_another_worker_has_done_meanwhile_stays(one: OneJob, how: str) -> None:
    """Only the cost is told; its own answer is parked no longer."""
    made = one.made()
    other = one.other_worker()
    other.run(params={"seed": 3})
    before = one.output().data
    if how == "lapsed":
        one.fleet.lapse()
    else:
        one.fleet.is_alive = False
    with pytest.raises(Dropped, match="taken over") as dropped:
        until_stored(made, one.tools)
    assert (dropped.value.is_released, one.fleet.costs, one.output().data) == (True, [1.0], before)
    assert one.unsaved.is_set()


def test_what_was_parked_of_a_job_that_another_has_done_is_nobodys(one: OneJob) -> None:
    """It takes up no more of Redis."""
    made, seen = one.made(), list[bool]()

    def meanwhile() -> None:
        seen.append(parked(one))
        one.stopping.meanwhile = bool
        one.other_worker().run(params={"seed": 3})
        one.fleet.lapse()

    one.store.fail("put", PLACE, StoreUnavailable("away"))
    one.stopping.meanwhile = meanwhile
    with pytest.raises(Dropped, match="taken over"):
        until_stored(made, one.tools)
    assert (seen, parked(one)) == ([True], False)


def test_a_cost_that_redis_does_not_hear_is_let_go(one: OneJob) -> None:
    """This worker drains, and the record stands."""
    made = one.made()
    one.other_worker().run(params={"seed": 3})
    one.fleet.lapse()
    one.state.trouble = AWAY
    one.stopping.set()
    with pytest.raises(Dropped, match="taken over"):
        until_stored(made, one.tools)


def test_the_record_of_before_is_nobodys_work_since(one: OneJob) -> None:
    """It was there as the job began; written anew by an earlier run's rules it is the same call's."""
    one.run(params={"prompt": "a mug in wool"})
    known = one.record()
    made = one.made(one.work(LATER), known=known)
    one.rewrite(known.model_copy(update={"metadata": {"shelf": "3"}}))
    one.fleet.lapse()
    assert isinstance(until_stored(made, one.tools), Record)
    assert one.record().run_id == LATER


def test_its_own_record_whose_answer_was_lost_is_found(one: OneJob) -> None:
    """S3 had taken it: it is not stored twice."""
    made = one.made()
    first = until_stored(made, one.tools)
    one.store.requests.clear()
    one.fleet.lapse()
    assert until_stored(made, one.tools) == first
    assert one.store.wrote("") == []


@pytest.mark.parametrize("change", ["nobody lapsed", "read again"])
def test_nobody_looks_where_nothing_can_have_happened(one: OneJob, change: str) -> None:
    """This worker's heart beat all the while; or what is stored was paid for by an earlier run, and holds no lease."""
    made = one.made(one.work(LATER, reread=LATER) if change == "read again" else one.work(LATER))
    one.other_worker().run(params={"seed": 3})
    if change == "read again":
        one.fleet.lapse()
    assert isinstance(until_stored(made, one.tools), Record)
    assert one.record().run_id == LATER
