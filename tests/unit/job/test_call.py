"""From a picture that is ready to an answer: each verdict of a claim, and what the fleet learns of each end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from restyle.coordination.claim_types import Claim, Dropped, Limits, Storm
from restyle.coordination.in_hand import Grant
from restyle.coordination.runs.progress import Ended
from restyle.errors import (
    ApiTimeout,
    ApiUnavailable,
    MalformedResponse,
    OutOfCredits,
    RestyleError,
    StateUnavailable,
    StoreUnavailable,
)
from restyle.job import call as calling
from restyle.job.call import LONGEST_NAP, CallFailed, call
from restyle.job.context import Called
from restyle.job.modes import Call
from restyle.job.parked import in_redis, unplaced
from restyle.reply import Reply
from restyle.runtime.clock import elapsed
from restyle.runtime.memory import Reservation, UploadBuffer
from restyle.runtime.slots import Slots
from tests.support.in_memory import AWAY, raising
from tests.support.one_job import RUN, WORKSPACE, OneJob, answer_picture, held, prepared_picture

GO, LOOK, PARKED, SUBMITTED = Claim("go"), Claim("look"), Claim("parked"), Claim("submitted", request="{}")


def made(one: OneJob, **options: Any) -> Called | Ended:
    """Claims and calls for the usual job."""
    work = one.work(**options)
    with one.tools.memory.reserve() as reservation:
        reservation.take(7)
        upload = UploadBuffer(b"picture", reservation)
        return call(work, prepared_picture(), upload, one.fingerprint(work), 5.0, one.tools)


def paid(one: OneJob) -> Called:
    """The same, where it ends in an answer."""
    called = made(one)
    assert isinstance(called, Called)
    return called


def ask(one: OneJob, claim: Claim = GO) -> Call:
    """A call that is allowed."""
    work = one.work()
    return Call(
        UploadBuffer(b"picture", Reservation(one.tools.memory)),
        work.message,
        "token",
        claim,
        one.fingerprint(work).token,
    )


# -- what a claim says -------------------------------------------------------------------------------------


def test_a_claim_that_says_go_is_one_call(one: OneJob) -> None:
    """It is asked for with what the result is made from, and what stands for it."""
    called, work = paid(one), one.work()
    fingerprint = one.fingerprint(work)
    assert one.fleet.asked == [
        {
            "looked": False, "looked_at": 5.0, "made_from": fingerprint.token,
            "result": work.result_key(fingerprint.sha256),
        }
    ]  # fmt: skip
    assert (called.claim, called.answer.images, one.api.calls) == (GO, (answer_picture(),), 1)
    assert called.called <= called.answered
    assert one.fleet.reports == []


def test_a_wait_is_asked_again_soon(one: OneJob) -> None:
    """However long it is to be: a resume ends it, and another's answer may."""
    one.fleet.claims.extend([Claim("wait", wait=300), Claim("wait", wait=0.25)])
    paid(one)
    long, short = one.stopping.waits
    assert LONGEST_NAP <= long <= LONGEST_NAP + 0.02
    assert 0.25 <= short <= 0.27
    assert (len(one.fleet.asked), one.api.calls) == (3, 1)


def test_no_slot_is_held_while_waiting(one: OneJob) -> None:
    """Another job calls meanwhile."""
    free: list[int] = []
    one.stopping.meanwhile = lambda: free.append(one.tools.slots._free)
    one.fleet.claims.extend([Claim("wait", wait=1), lambda: free.append(one.tools.slots._free)])
    paid(one)
    assert free == [1, 0]


def test_a_parked_answer_is_taken_without_a_call(one: OneJob) -> None:
    """It was paid for, by whoever parked it."""
    work = one.work()
    text = in_redis.as_text(one.called(), one.fingerprint(work).token)
    in_redis.park(work.message.job_id, text, one.state)
    one.fleet.claims.append(PARKED)
    assert (paid(one).claim.verdict, one.api.calls) == ("parked", 0)


def test_a_parked_answer_to_another_request_is_set_aside(one: OneJob) -> None:
    """Of a run that was ended since; the claim is asked for again."""
    job_id = one.work().message.job_id
    in_redis.park(job_id, in_redis.as_text(one.called(), "another"), one.state)
    one.fleet.claims.append(PARKED)
    assert (paid(one).claim, one.api.calls, len(one.fleet.asked)) == (GO, 1, 2)
    assert one.state.ran("unpark") == [{"job": job_id}]
    assert f"{WORKSPACE.unplaced(f'{RUN}.parked', job_id)}" in one.store.objects


def test_a_look_that_finds_nothing_is_followed_by_a_call(one: OneJob) -> None:
    """The next claim says that the job was looked for, and when."""
    one.fleet.claims.append(LOOK)
    paid(one)
    assert [question["looked"] for question in one.fleet.asked] == [False, True]
    assert one.fleet.asked[1]["looked_at"] > 5.0
    assert one.api.calls == 1


def test_a_look_that_finds_the_job_done_ends_it(one: OneJob) -> None:
    """No call is made."""
    one.other_worker().run()
    one.fleet.claims.append(LOOK)
    ended = made(one)
    assert isinstance(ended, Ended)
    assert one.api.calls == 0


def test_what_was_set_aside_needs_no_claim(one: OneJob) -> None:
    """An earlier run paid for it, and could not place it."""
    unplaced.set_aside(one.made(), "refused", one.tools)
    called = paid(one.again())
    assert (called.claim.verdict, one.fleet.asked, one.api.calls) == ("unplaced", [], 0)


def test_a_submitted_request_is_ended_even_where_calls_were_lost(one: OneJob) -> None:
    """Its id is known: nothing is to be looked up."""
    one.fleet.claims.append(replace(SUBMITTED, doubts=1))
    assert (paid(one).claim.verdict, one.api.resolved, one.api.calls) == ("submitted", 0, 1)


def test_a_claim_that_is_refused_ends_the_attempt(one: OneJob) -> None:
    """The job is not ours to do any more."""
    one.fleet.claims.append(Dropped("cancelled"))
    with pytest.raises(Dropped, match="cancelled"):
        made(one)
    assert (one.api.calls, one.tools.slots._free) == (0, 1)


def test_redis_is_asked_until_it_answers(one: OneJob) -> None:
    """Work in hand outlives its restart."""
    one.fleet.claims.extend([AWAY, AWAY])
    paid(one)
    assert (len(one.fleet.asked), len(one.stopping.waits), one.api.calls) == (3, 2, 1)


# -- lost calls --------------------------------------------------------------------------------------------


def test_a_lost_call_is_looked_up_once_before_the_next(one: OneJob) -> None:
    """Where nobody can tell, the second call is made: one doubt is nobody's fault."""
    one.fleet.claims.extend([replace(GO, doubts=1), replace(GO, doubts=1)])
    assert paid(one).claim.doubts == 1
    assert (one.api.resolved, one.api.calls, len(one.fleet.asked)) == (1, 1, 2)
    assert [(report.claim.doubts, report.error) for report in one.fleet.reports] == [(1, None)]


def test_a_lost_call_that_is_found_is_claimed_again(one: OneJob) -> None:
    """The claim then says what is to be ended; with two doubts too."""
    one.api.resolves = True
    one.fleet.claims.extend([replace(GO, doubts=2), SUBMITTED])
    assert (paid(one).claim.verdict, one.api.calls) == ("submitted", 1)


@pytest.mark.parametrize(("holds", "doubts", "why"), [(True, 1, "is hold"), (False, 2, "it is the second one")])
def test_a_doubt_may_be_a_persons_to_judge(one: OneJob, *, holds: bool, doubts: int, why: str) -> None:
    """A second one, or any where the settings say so: the job ends without another call."""
    one.with_tools(hold_doubts=holds)
    one.fleet.claims.append(replace(GO, doubts=doubts))
    ended = made(one)
    assert isinstance(ended, Ended)
    assert (ended.outcome.error, one.api.calls) == ("in_doubt", 0)
    assert ended.outcome.message.startswith("a call of this job may have been paid for; ")
    assert ended.outcome.message.endswith(why)


def test_a_doubt_that_is_settled_is_nobodys_to_judge(one: OneJob) -> None:
    """Whatever the settings."""
    one.with_tools(hold_doubts=True)
    one.api.resolves = True
    assert calling.judge(one.work(), ask(one, replace(GO, doubts=2)), one.tools) is None


# -- the call ----------------------------------------------------------------------------------------------


def test_a_claim_that_has_grown_old_is_given_back(one: OneJob) -> None:
    """A call begins soon after its claim, or not by it."""
    work, limits = one.work(), one.fleet.limits
    assert calling.img2img(work, ask(one), elapsed() - limits.call_within - 0.1, one.tools) is None
    assert [(report.claim, report.error) for report in one.fleet.reports] == [(GO, None)]
    assert calling.img2img(work, ask(one), elapsed() - limits.call_within + 1, one.tools) is not None
    assert one.api.calls == 1


@pytest.mark.parametrize("reason", ["forgotten", "dead", "draining"])
def test_a_claim_is_given_back_where_it_may_not_hold(one: OneJob, reason: str) -> None:
    """The server has forgotten it, the fleet counts this worker as dead, or this worker drains."""
    claim = replace(GO, granted=Grant(1, incarnation="before")) if reason == "forgotten" else GO
    one.fleet.is_alive = reason != "dead"
    if reason == "draining":
        one.stopping.set()
    assert calling.img2img(one.work(), ask(one, claim), elapsed(), one.tools) is None
    assert ([report.claim for report in one.fleet.reports], one.api.calls) == ([claim], 0)


def test_after_a_claim_that_was_given_back_another_is_asked_for(one: OneJob) -> None:
    """One call in the end."""
    one.fleet.limits = Limits(call_within=-1)
    one.fleet.claims.extend([GO, lambda: setattr(one.fleet, "limits", Limits()), GO])
    paid(one)
    assert (len(one.fleet.asked), one.api.calls) == (2, 1)


def test_the_lag_is_what_the_api_was_not_at_work_for(one: OneJob) -> None:
    """Since the claim, as far as the API tells; never less than nothing."""
    claimed = elapsed() - 3
    one.api.answers.extend([one.api.answer(), one.api.answer(generation=2.0), one.api.answer(generation=9.0)])
    lags = [calling.img2img(one.work(), ask(one), claimed, one.tools) for _ in range(3)]
    assert [called and round(called.lag) for called in lags] == [3, 1, 0]
    assert all(called and called.claimed == claimed for called in lags)


def test_a_cost_that_cannot_be_true_is_not_believed(one: OneJob) -> None:
    """Budgets would go by it."""
    one.api.answers.append(one.api.answer(cost=-5.0))
    called = paid(one)
    assert (called.answer.cost, called.answer.disbelieved) == (None, "-5")


def test_calls_are_counted_by_how_they_end(one: OneJob) -> None:
    """For the fleet's figures; a good one ends the API's trouble too."""
    one.tools.rotation.failed(ApiUnavailable("no such host"))
    paid(one)
    assert one.tools.rotation.trouble is None
    assert one.tools.traffic.last_minute().kinds == {"good": 1}
    one.api.answers.append(ApiUnavailable("500", 500))
    with pytest.raises(CallFailed):
        made(one)
    assert one.tools.traffic.last_minute().kinds == {"good": 1, "5xx": 1}


def test_the_reservation_ends_as_the_picture_is_sent(one: OneJob) -> None:
    """A call in flight holds no picture."""
    sizes: list[int] = []
    one.api.answers.append(lambda: sizes.append(held(one)))
    paid(one)
    assert sizes == [0]


# -- what the fleet learns of an error ---------------------------------------------------------------------


def failing(one: OneJob, error: RestyleError) -> CallFailed:
    """A call that fails so."""
    one.api.answers.append(error)
    with pytest.raises(CallFailed) as caught:
        made(one)
    assert caught.value.error is error
    assert caught.value.__cause__ is error
    return caught.value


def test_the_fleet_is_told_before_a_call_has_failed(one: OneJob) -> None:
    """What it makes of it goes along."""
    one.fleet.storm = Storm(used=3, doubts=1, running=True)
    error = OutOfCredits("no credits", 402)
    failure = failing(one, error)
    assert (failure.storm, str(failure)) == (one.fleet.storm, "no credits")
    assert [tuple(report) for report in one.fleet.reports] == [(GO, error, False)]


def test_an_answer_that_nobody_can_read_is_kept_first(one: OneJob) -> None:
    """It was paid for; whether another call is worth it is judged there."""
    error = MalformedResponse("odd", 200, kind="odd")
    error.reply = Reply(200, {}, b"odd", 1.0)
    failing(one, error)
    assert [uri.endswith(".json") for uri in one.store.wrote("/unreadable/")] == [False, True]
    assert "is kept at" in error.message


def test_a_worker_that_alone_cannot_reach_the_api_says_so(one: OneJob) -> None:
    """Its failure is none of the API's; an answer with a status shows that the API is there."""
    failing(one, ApiUnavailable("no such host"))
    trouble = one.tools.rotation.trouble
    assert trouble is not None
    assert (trouble.part, one.fleet.reports[0].alone) == ("api", True)
    failing(one, ApiUnavailable("500", 500))
    assert (one.tools.rotation.trouble, one.fleet.reports[1].alone) == (None, False)


def test_a_lost_answer_is_a_trouble_of_this_worker_too(one: OneJob) -> None:
    """Sent, and nothing came back."""
    failing(one, ApiTimeout("lost", in_doubt=True))
    trouble = one.tools.rotation.trouble
    assert trouble is not None
    assert trouble.part == "api"


def test_a_worker_that_the_api_refuses_alone_stands_aside(one: OneJob) -> None:
    """As the fleet has seen by the others; else nothing is noted."""
    failing(one, OutOfCredits("refused", 402))
    assert one.tools.rotation.troubles == {}
    one.fleet.storm = Storm(used=0, doubts=0, running=False, singled_out=True)
    failing(one, OutOfCredits("refused", 402))
    trouble = one.tools.rotation.trouble
    assert trouble is not None
    assert (trouble.part, trouble.why) == ("refused", "refused")


def test_what_is_no_error_of_ours_passes(one: OneJob) -> None:
    """A bug is none of the fleet's matters."""
    one.api.answers.append(raising(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        made(one)
    assert one.fleet.reports == []


# -- before the call ---------------------------------------------------------------------------------------


def test_no_call_begins_while_an_answer_is_unsaved(one: OneJob) -> None:
    """They do not pile up."""
    waits: list[int] = []

    def wait() -> None:
        waits.append(one.api.calls)
        if len(waits) == 3:
            one.unsaved.clear()

    one.unsaved.add("an answer")
    one.unsaved.meanwhile = wait
    paid(one)
    assert (waits, one.api.calls) == ([0, 0, 0], 1)


def test_an_answer_that_becomes_unsaved_while_waiting_for_a_slot(one: OneJob) -> None:
    """The gate is looked at again with the slot in hand, and the slot is let go."""
    seen: list[int] = []

    def clear() -> None:
        seen.append(one.tools.slots._free)
        one.unsaved.clear()

    one.unsaved.meanwhile, one.unsaved.closes_in = clear, 1
    paid(one)
    assert (seen, one.api.calls, len(one.fleet.asked)) == ([1], 1, 1)


@pytest.mark.parametrize("is_closed", [True, False])
@pytest.mark.parametrize("why", ["stopping", "out of rotation"])
def test_a_worker_that_leaves_calls_no_more(one: OneJob, why: str, *, is_closed: bool) -> None:
    """It drains, or stands aside; with the gate open or closed."""
    if is_closed:
        one.unsaved.add("an answer")
    if why == "stopping":
        one.stopping.set()
    else:
        one.tools.rotation.failed(StoreUnavailable("away"))
        trouble = one.tools.rotation.trouble
        assert trouble is not None
        one.tools.rotation.leave(trouble)
    with pytest.raises(Dropped, match=f"^{why}$"):
        made(one)
    assert (one.fleet.asked, one.api.calls, one.tools.slots._free) == ([], 0, 1)


class Ranked(Slots):
    """Slots that note by which rank they were asked for."""

    ranks: ClassVar[list[str]] = []

    @contextmanager
    def one(self, priority: str) -> Iterator[None]:
        """Holds a slot."""
        self.ranks.append(priority)
        with super().one(priority):
            yield


def test_a_run_of_high_priority_goes_first(one: OneJob) -> None:
    """Its slot is asked for by that."""
    one.with_tools(slots=Ranked(1))
    made(one, priority="high")
    assert Ranked.ranks == ["high"]


def test_redis_that_is_away_from_a_worker_that_drains(one: OneJob) -> None:
    """The record in S3 stands, and the dispatcher feeds what has none."""
    one.fleet.claims.append(AWAY)
    one.stopping.after = 1
    with pytest.raises(StateUnavailable):
        made(one)
