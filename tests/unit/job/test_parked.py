"""Paid answers that are not yet where they belong: what is kept of them, what is found again, what is believed."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from restyle.coordination.claim_types import Claim, Dropped
from restyle.coordination.runs.progress import Ended
from restyle.errors import BucketRefused, MalformedResponse, ObjectRefused, StoreAccessDenied, StoreUnavailable
from restyle.job.context import Called
from restyle.job.parked import in_redis, unplaced, unreadable
from restyle.job.parked.aside import Aside
from restyle.job.parked.safekeeping import REFUSALS
from restyle.job.parked.unsaved import Unsaved
from restyle.reply import Reply
from tests.support.in_memory import AWAY
from tests.support.one_job import LATER, RUN, WORKSPACE, OneJob, answer_picture

JOB = WORKSPACE.job_id("mug", "felt")
NOTE = WORKSPACE.unplaced(RUN, JOB)


# -- the gate before calls ---------------------------------------------------------------------------------


def test_each_answer_closes_the_gate() -> None:
    """Until all of them are gone, or S3 takes one again."""
    gate = Unsaved()
    assert gate.wait(0)
    gate.add("one")
    gate.add("two")
    gate.remove("one")
    assert (gate.is_set(), gate.wait(0)) == (False, False)
    gate.remove("two")
    assert (gate.is_set(), gate.wait(0)) == (True, True)
    gate.add("one")
    gate.clear()
    assert gate.is_set()
    gate.add("two")
    gate.remove("two")
    assert gate.is_set()


# -- in Redis ----------------------------------------------------------------------------------------------


def test_a_parked_answer_comes_back_whole(one: OneJob) -> None:
    """All that its record will tell, and its pictures."""
    answer = replace(one.api.answer(b"one", b"two", sandbox=True), remaining_credits=3.5, seed=9)
    called = replace(one.called(Claim("go", calls=2, doubts=1), answer))
    called = replace(called, answered=called.called + timedelta(seconds=8))
    assert in_redis.park(JOB, in_redis.as_text(called, "token"), one.state)
    found = in_redis.find(JOB, one.state)
    assert found is not None
    made_from, back = found
    assert made_from == "token"
    assert (back.answer, back.called, back.answered) == (answer, called.called, called.answered)
    assert back.claim == Claim("parked", calls=2, doubts=1)


@pytest.mark.parametrize(
    ("answer", "is_durable", "is_parked"),
    [(1, True, True), (1, None, True), (1, False, False), (0, True, False)],
)
def test_an_answer_is_parked_where_redis_has_it_for_sure(
    one: OneJob, answer: int, *, is_durable: bool | None, is_parked: bool
) -> None:
    """On its disk, where it has one; and within what answers may take."""
    one.state.answers["park"], one.state.is_durable = answer, is_durable
    assert in_redis.park(JOB, "text", one.state) is is_parked
    assert one.state.ran("park") == [{"job": JOB, "text": "text", "limit": 256 * 1024 * 1024}]


def test_what_redis_has_forgotten_is_not_parked(one: OneJob) -> None:
    """Its length tells."""
    in_redis.park(JOB, "text", one.state)
    assert in_redis.is_parked(JOB, 4, one.state)
    assert not in_redis.is_parked(JOB, 5, one.state)
    one.state.values.clear()
    assert not in_redis.is_parked(JOB, 4, one.state)


def test_an_answer_on_a_disk_is_marked_in_redis(one: OneJob) -> None:
    """By whom, and of which job; what is not whole is passed over."""
    in_redis.mark_spooled(one.work().message, one.fleet)
    assert one.state.ran("spool") == [{"worker": "worker-1", "run": RUN, "shard": 0, "job": JOB}]
    assert in_redis.marks(one.state) == []
    one.state.values[one.state.key("spooled")] = ["b", "a", "c"]
    one.state.values[one.state.key("spooled", "a")] = {"worker": "w", "run": RUN, "shard": 3}
    one.state.values[one.state.key("spooled", "b")] = {"worker": "v", "run": LATER, "shard": 1}
    one.state.values[one.state.key("spooled", "c")] = {"worker": "v"}
    mark = in_redis.Mark("a", RUN, "3", "w")
    assert in_redis.marks(one.state) == [mark, in_redis.Mark("b", LATER, "1", "v")]
    assert in_redis.spooled(one.state) == [(RUN, "w"), (LATER, "v")]
    assert in_redis.release(mark, one.state) is True
    assert one.state.ran("unspool") == [{"job": "a", "worker": "w"}]
    one.state.answers["unspool"] = 0
    assert in_redis.release(mark, one.state) is False


# -- set aside in S3 ---------------------------------------------------------------------------------------


def set_aside(one: OneJob, reason: str = "refused") -> Ended:
    """A picture whose own place S3 refuses."""
    return unplaced.set_aside(one.made(), reason, one.tools)


def found(one: OneJob, run_id: str = LATER) -> Called | None:
    """What a new worker finds of it."""
    work = one.work(run_id)
    return unplaced.find(work, one.fingerprint(work).token, one.again().tools)


def test_a_note_says_what_was_set_aside(one: OneJob) -> None:
    """Pictures first, the note last; the outcome says where, and what to type."""
    one.store.requests.clear()
    made = one.made(answer=one.api.answer(remaining_credits=4.0))
    ended = unplaced.set_aside(made, "400: no such tag", one.tools)
    picture = WORKSPACE.unplaced(RUN, JOB, 0, ".jpg")
    assert one.store.wrote("") == [picture, NOTE]
    assert (one.store.objects[picture].data, one.store.objects[picture].content_type) == (
        answer_picture(),
        "image/jpeg",
    )
    note = json.loads(one.store.objects[NOTE].data)
    assert (note["id"], note["variant"], note["job_id"], note["run_id"]) == ("mug", "felt", JOB, RUN)
    assert (note["wanted"], note["images"]) == ([WORKSPACE.output("mug", "felt")], [picture])
    assert (note["reason"], one.store.objects[NOTE].content_type) == ("400: no such tag", "application/json")
    assert ended.outcome.message == (
        f"400: no such tag. The picture was paid for and lies at {picture}; correct what S3 refuses, then type:"
        f" restyle retry {RUN} (it is placed without a call)"
    )
    assert (ended.outcome.seed, ended.outcome.credits, ended.outcome.seconds) == (
        one.work().message.job.params.seed, 1.0, 2.5,
    )  # fmt: skip
    assert (ended.calls, ended.call_succeeded, ended.credits_left) == (1, True, 4.0)


def test_what_was_set_aside_is_found_by_any_later_run(one: OneJob) -> None:
    """With the call's own facts; for this very request alone."""
    set_aside(one)
    called = found(one)
    assert called is not None
    assert (called.answer.images, called.claim.verdict, called.answer.cost) == ((answer_picture(),), "unplaced", 1.0)
    work = one.work(LATER, params={"prompt": "a mug in wool"})
    assert unplaced.find(work, one.fingerprint(work).token, one.tools) is None


@pytest.mark.parametrize(
    "text",
    [
        b"no JSON", b"[]", b"{}", b'{"images": ["s3://elsewhere/a.jpg"]}', b'{"images": [1]}', b" " * 100_001,
    ],
)  # fmt: skip
def test_a_note_that_is_none_of_ours_is_passed_over(one: OneJob, text: bytes) -> None:
    """Anybody may have written it; pictures are read from unplaced/ alone."""
    one.put(NOTE, text)
    assert found(one) is None


@pytest.mark.parametrize("gone", ["image", "note"])
def test_what_is_gone_meanwhile_is_paid_for_again(one: OneJob, gone: str) -> None:
    """Somebody removed it."""
    set_aside(one)
    one.store.when(
        "get", NOTE, lambda: one.store.objects.pop(NOTE if gone == "note" else WORKSPACE.unplaced(RUN, JOB, 0, ".jpg"))
    )
    assert found(one) is None


@pytest.mark.parametrize("fact", ["missing", "no time", "null", "large note", "large picture"])
def test_a_note_whose_facts_are_odd_is_passed_over(one: OneJob, fact: str) -> None:
    """Its answer cannot be told."""
    set_aside(one)
    assert found(one) is not None
    note = json.loads(one.store.objects[NOTE].data)
    if fact == "missing":
        del note["seconds"]
    elif fact == "large picture":
        picture = WORKSPACE.unplaced(RUN, JOB, 0, ".jpg")
        one.store.objects[picture] = replace(one.store.objects[picture], bytes=256_000_001)
    else:
        note |= {"no time": {"called": "noon"}, "null": {"called": None}}.get(fact, {"reason": "x" * 100_000})
    one.put(NOTE, json.dumps(note).encode())
    assert found(one) is None


def test_the_newest_note_is_read_first(one: OneJob) -> None:
    """And only those that are notes, of this job; each run asks once."""
    set_aside(one)
    unplaced.set_aside(one.made(one.work(LATER)), "refused", one.tools)
    aside = Aside(one.store, WORKSPACE)
    one.store.requests.clear()
    assert aside.notes(LATER, JOB) == [WORKSPACE.unplaced(LATER, JOB), NOTE]
    assert (aside.notes(LATER, "another"), aside.notes(LATER, JOB)[1]) == ([], NOTE)
    assert one.store.requests == [f"list {WORKSPACE.under('unplaced')}/"]
    aside.notes(RUN, JOB)
    assert len(one.store.requests) == 2


def test_sixteen_runs_are_remembered(one: OneJob) -> None:
    """Of those that came last."""
    aside = Aside(one.store, WORKSPACE)
    for number in range(17):
        aside.notes(f"run-{number}", JOB)
    one.store.requests.clear()
    aside.notes("run-1", JOB)
    assert one.store.requests == []
    aside.notes("run-0", JOB)
    assert len(one.store.requests) == 1


def test_a_listing_that_is_refused_finds_nothing(one: OneJob) -> None:
    """The job goes on; what S3 as a whole says is for all."""
    set_aside(one)
    one.store.fail("list", "", ObjectRefused("400"))
    assert found(one) is None
    one.store.fail("list", "", StoreUnavailable("away"))
    with pytest.raises(StoreUnavailable):
        found(one)


@pytest.mark.parametrize("error", [StoreUnavailable("away"), StoreAccessDenied("403"), ObjectRefused("400")])
def test_what_is_left_over_hurts_nobody(one: OneJob, error: Exception) -> None:
    """The picture is in its place, whatever becomes of what was set aside."""
    set_aside(one)
    one.store.fail("delete", NOTE, error)
    ended = one.again().run(LATER)
    assert (ended.outcome.outcome.value, one.api.calls) == ("succeeded", 0)


def test_an_answer_that_waits_for_another_request_is_kept_for_it(one: OneJob) -> None:
    """S3 was away, its run was cancelled, and another prompt was asked for: back at the first one, nothing is paid."""
    wool = {"prompt": "a mug in wool"}
    waiting = one.fingerprint(one.work(params=wool)).token
    assert in_redis.park(JOB, in_redis.as_text(one.called(Claim("go", calls=1)), waiting), one.state)
    one.fleet.claims.append(Claim("parked"))
    assert (one.run().outcome.outcome.value, one.api.calls, one.state.values) == ("succeeded", 1, {})
    ended = one.again().run(LATER, params=wool)
    assert (ended.outcome.outcome.value, ended.outcome.credits, one.api.calls) == ("succeeded", 0.0, 1)
    assert (one.record().api.cost, one.record().fingerprint.token) == (1.0, waiting)
    assert [uri for uri in one.store.objects if "/unplaced/" in uri] == []


def test_an_answer_that_waits_stays_where_s3_is_away(one: OneJob) -> None:
    """It is let go of only where it lies in S3; and one to this very request is nobody else's."""
    text = in_redis.as_text(one.called(), "another")
    assert in_redis.park(JOB, text, one.state)
    one.store.fail("put", "", StoreUnavailable("away"))
    with pytest.raises(StoreUnavailable):
        unplaced.find_parked(one.work(), token(one), one.tools)
    assert unplaced.find_parked(one.work(), "another", one.tools)
    assert list(one.state.values.values()) == [text]
    one.state.values.clear()
    assert unplaced.find_parked(one.work(), token(one), one.tools) is None
    assert one.store.wrote("/unplaced/") == [f"{WORKSPACE.unplaced(f'{RUN}.parked', JOB, 0)}"]


def test_what_was_set_aside_of_another_request_stays(one: OneJob) -> None:
    """It belongs to another picture."""
    set_aside(one)
    unplaced.set_aside(one.made(one.work(LATER, params={"prompt": "a mug in wool"})), "refused", one.tools)
    one.again().run("20260303T120000Z-cccccc")
    left = sorted(uri for uri in one.store.objects if "/unplaced/" in uri)
    assert left == [WORKSPACE.unplaced(LATER, JOB, 0, ".jpg"), WORKSPACE.unplaced(LATER, JOB)]


# -- answers that nobody can read --------------------------------------------------------------------------


def token(one: OneJob) -> str:
    """What the usual result is made from."""
    return one.fingerprint(one.work()).token


def keep(
    one: OneJob, kind: str = "odd", *, body: bytes = b"odd", call: int = 0, cost: float = 2.0, is_last: bool = False
) -> MalformedResponse:
    """An answer that was paid for and cannot be read."""
    error = MalformedResponse("it is odd", 200, kind=kind)
    headers = {
        "content-type": "image/odd", "X-Request-Id": "r-7", "x-request-id": "r-7", "Set-Cookie": "secret",
        "x-api-key": "secret", "x-" + "n" * 200: "v" * 600,
    }  # fmt: skip
    error.reply, error.cost, error.is_last = Reply(200, headers, body, 3.21987), cost, is_last
    unreadable.keep(
        unreadable.Paid(one.work(sandbox=True), Claim("go", calls=call, doubts=1), token(one)), error, one.tools
    )
    return error


def test_it_is_kept_as_it_came(one: OneJob) -> None:
    """With a note of all that a record would need, and no secret."""
    error = keep(one)
    uri = WORKSPACE.unreadable(RUN, JOB)
    assert (one.store.objects[uri].data, one.store.objects[uri].content_type) == (b"odd", "application/octet-stream")
    note = json.loads(one.store.objects[f"{uri}.json"].data)
    assert {name: note[name] for name in ("kind", "status", "bytes", "seconds", "request_id", "cost", "doubts")} == {
        "kind": "odd", "status": 200, "bytes": 3, "seconds": 3.22, "request_id": "r-7", "cost": 2.0, "doubts": 1,
    }  # fmt: skip
    assert "secret" not in json.dumps(note)
    assert note["headers"]["content-type"] == "image/odd"
    assert max(len(name) for name in note["headers"]) == 100
    assert error.message == (
        f"it is odd. The answer is kept at {uri}; to read it with another version, without a call:"
        f" restyle retry {RUN} --unreadable"
    )
    assert (error.reply, error.is_last, one.unsaved.is_set()) == (None, False, True)


def test_without_its_reply_there_is_nothing_to_keep(one: OneJob) -> None:
    """It was kept before, or never came."""
    error = MalformedResponse("it is odd", 200, kind="odd")
    unreadable.keep(unreadable.Paid(one.work(), Claim("go"), "token"), error, one.tools)
    assert (one.store.wrote(""), one.state.runs, error.message) == ([], [], "it is odd")


@pytest.mark.parametrize(
    ("answer", "is_last"),
    [([1, 0, 0], False), ([2, 0, 0], False), ([3, 0, 0], True), ([1, 1, 0], True)],
)
def test_another_call_may_be_paid_for_nothing(one: OneJob, answer: list[int], *, is_last: bool) -> None:
    """Where others were answered alike, or the job itself was before."""
    one.state.answers["unreadable"] = answer
    assert keep(one).is_last is is_last


def test_a_second_answer_is_a_jobs_last(one: OneJob) -> None:
    """It lies beside the first."""
    assert not keep(one).is_last
    assert keep(one, call=1).is_last
    assert WORKSPACE.unreadable(RUN, JOB, 2) in one.store.objects


def test_what_was_known_before_it_was_kept_stays_so(one: OneJob) -> None:
    """That it is the last; a cost that cannot be true is none; other answers are tried again as S3 takes this one."""
    one.unsaved.add("another answer")
    error = keep(one, cost=-5.0, is_last=True)
    assert (error.is_last, error.cost, one.unsaved.is_set()) == (True, None, True)


@pytest.mark.parametrize(("kind", "habit"), [("odd", 3), ("page", 0)])
def test_an_accident_is_no_habit(one: OneJob, kind: str, habit: int) -> None:
    """A gateway's page passes, and another version would not read it either."""
    error = keep(one, kind)
    ((arguments,),) = [one.state.ran("unreadable")]
    assert {name: arguments[name] for name in ("habit", "kind", "call", "run", "job", "worker")} == {
        "habit": habit, "kind": kind, "call": 0, "run": RUN, "job": JOB, "worker": "worker-1",
    }  # fmt: skip
    assert str(arguments["detail"]).startswith(
        "3 jobs in a row were answered, paid for, and no picture could be read: it is"
    )
    assert ("--unreadable" in error.message) is bool(habit)


@pytest.mark.parametrize("error", [StoreUnavailable("away"), StoreAccessDenied("403"), ObjectRefused("400")])
def test_it_outlives_an_outage_of_s3(one: OneJob, error: Exception) -> None:
    """Parked meanwhile; no call begins; where S3 refuses us, nobody calls."""
    seen: list[tuple[bool, bool]] = []
    uri = WORKSPACE.unreadable(RUN, JOB)
    one.store.fail("put", uri, error, times=2)
    one.store.when("put", uri, lambda: seen.append((bool(one.state.values), one.unsaved.is_set())))
    keep(one)
    assert (seen, one.unsaved.is_set(), one.state.values) == ([(True, False)], True, {})
    assert one.fleet.stops == (["misconfigured"] * 2 if isinstance(error, StoreAccessDenied) else [])


def test_an_answer_that_s3_refuses_by_itself_holds_nobody_up(one: OneJob) -> None:
    """A scanner that takes no such bytes, say: no further call is made for its job, and the process goes on."""
    uri = WORKSPACE.unreadable(RUN, JOB)
    one.store.fail("put", uri, ObjectRefused("the scanner takes no such bytes"), times=99)
    error = keep(one)
    assert error.message == "it is odd. S3 refuses to keep the answer: the scanner takes no such bytes"
    assert (error.is_last, error.reply, one.unsaved.is_set(), one.state.values) == (True, None, True, {})
    assert (len(one.state.ran("unreadable")), one.fleet.stops) == (1, [])
    assert len(one.stopping.waits) == REFUSALS - 1


def test_a_workspace_that_takes_no_unreadable_answers_stops_all(one: OneJob) -> None:
    """As one that takes no pictures does: a person has to see to it, and the answer waits for that."""
    uri = WORKSPACE.unreadable(RUN, JOB)
    refusal = BucketRefused("403")
    refusal.uri = uri
    one.store.fail("put", uri, refusal, times=6)
    error = keep(one)
    assert ("is kept at" in error.message, one.fleet.stops) == (True, ["misconfigured"] * 6)


def test_a_worker_that_drains_parks_what_it_cannot_read(one: OneJob) -> None:
    """Whoever finds it cannot read it either, and knows what it was."""
    one.store.fail("put", "", StoreUnavailable("away"), times=99)
    one.stopping.set()
    with pytest.raises(Dropped):
        keep(one)
    found = in_redis.find(JOB, one.state)
    assert found is not None
    made_from, parked = found
    assert made_from == token(one)
    assert (parked.answer.images, parked.answer.cost, parked.answer.request_id) == ((b"odd",), 2.0, "r-7")
    assert (parked.answer.seconds, one.unsaved.is_set()) == (3.21987, True)


def test_a_stop_that_redis_does_not_hear_is_said_again(one: OneJob) -> None:
    """The answer is what counts."""
    one.store.fail("put", "", StoreAccessDenied("403"))
    one.state.trouble = AWAY
    one.store.when("head", WORKSPACE.unreadable(RUN, JOB) + ".json", bool)
    one.stopping.meanwhile = lambda: setattr(one.state, "trouble", None)
    assert not keep(one).is_last


def reread(one: OneJob) -> Called | Ended:
    """What this version makes of what is kept."""
    work = one.work(LATER, reread=RUN)
    return unreadable.reread(work, one.fingerprint(work), one.tools)


def test_what_can_be_read_now_is_the_answer_of_then(one: OneJob) -> None:
    """The first that can be; its call was counted then."""
    keep(one)
    keep(one, body=answer_picture(), call=1)
    called = reread(one)
    assert isinstance(called, Called)
    assert (called.answer.images, called.answer.cost, called.answer.seconds) == ((answer_picture(),), 2.0, 3.22)
    assert (called.claim.verdict, called.claim.doubts, called.answer.request_id) == ("parked", 1, "r-7")
    assert (called.claim.calls, called.answer.sandbox) == (1, True)


def why(one: OneJob) -> str:
    """Why nothing is read."""
    ended = reread(one)
    assert isinstance(ended, Ended)
    assert ended.outcome.error == "unreadable"
    return ended.outcome.message


def test_why_nothing_is_read(one: OneJob) -> None:
    """None is kept, or it was made from something else, or this version cannot read it either."""
    assert why(one) == "no answer of this job is kept"
    keep(one)
    assert why(one).startswith("this version cannot read the kept answer either: ")
    uri = WORKSPACE.unreadable(RUN, JOB)
    one.put(f"{uri}.json", one.store.objects[f"{uri}.json"].data.replace(token(one).encode(), b"another"))
    assert why(one) == "the answer that is kept was made from another picture, or with other parameters"
    one.put(f"{uri}.json", b"{}")
    assert why(one) == "no answer of this job is kept"


def test_an_answer_without_its_bytes_is_passed_over(one: OneJob) -> None:
    """The next one is read."""
    keep(one)
    keep(one, body=answer_picture())
    del one.store.objects[WORKSPACE.unreadable(RUN, JOB)]
    assert isinstance(reread(one), Called)


def test_an_input_on_the_web_that_is_not_fetched_yet_waits(one: OneJob) -> None:
    """Nothing is claimed; the job is fed again when it is there."""
    with pytest.raises(Dropped, match="its input is not fetched yet"):
        one.run(job={"image": "http://shop.example/mug", "web": "f" * 64})
    assert (one.fleet.asked, one.state.removed) == ([], ["f" * 16])
