"""What people reject is taken out of what is published, and put back: nothing is lost or paid again by it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import count

import pytest

from producers.runs.review.marks import Mark, Word, mark_now
from producers.runs.review.withdrawal import Move, Withdrawal
from reports.pages.gallery import Shot
from reports.pages.withdrawn import withdrawn
from restyle.errors import StoreUnavailable
from restyle.models import ManifestSource, Outcome, OutcomeKind, Run, RunOptions, RunStatus, utc_now
from restyle.outputs import REJECTED, OutputOptions
from tests.support.one_job import LATER, RUN, WORKSPACE, OneJob
from tests.support.pictures import corners, encode

PLACE, ASIDE = WORKSPACE.output("mug", "felt"), WORKSPACE.suspect("mug", "felt")
RECORD = WORKSPACE.record("mug", "felt")


@pytest.fixture
def made(one: OneJob) -> Outcome:
    """The usual job is done and paid for."""
    outcome = one.run().outcome
    assert outcome.outputs == (PLACE,)
    one.store.requests.clear()
    return outcome


def marked(one: OneJob, outcome: Outcome, word: Word, *, busy: bool = False) -> Counter[Move]:
    """Somebody marks it, and the run's pictures follow."""
    run = Run(
        run_id=RUN, status=RunStatus.FINISHED, created=utc_now(), shards=1, planned=1, plan_digest="d",
        manifest=ManifestSource(uri="s3://shop/c.csv", sha256="0"), options=RunOptions(),
    )  # fmt: skip
    work = one.work()
    marks: dict[str, Mark] = {work.message.job_id: mark_now(word, by="anna")}
    withdrawal = Withdrawal(run, one.store, WORKSPACE, lambda _job: busy)
    return withdrawal.follow(lambda: iter([(work.message.job, outcome)]), marks)


def test_out_and_back(one: OneJob, made: Outcome) -> None:
    """Rejected it lies aside and nowhere else; kept it is where it was, byte for byte; twice does nothing more."""
    picture = one.output().data
    assert marked(one, made, "reject") == {Move.WITHDRAWN: 1}
    assert PLACE not in one.store.objects
    assert one.store.objects[ASIDE].data == picture
    assert (one.record().outputs[0].uri, one.record().marks.suspect) == (ASIDE, (REJECTED,))
    assert marked(one, made, "reject") == {Move.UNCHANGED: 1}
    # A report that is written now says so in the picture's place.
    shot = Shot(one.work().message.job, made, "")
    assert withdrawn([shot], {}, one.store, WORKSPACE) == {PLACE}
    assert withdrawn([shot], {PLACE: "a.jpg"}, one.store, WORKSPACE) == frozenset()
    assert marked(one, made, "redo") == {}
    assert marked(one, made, "keep") == {Move.RESTORED: 1}
    assert ASIDE not in one.store.objects
    assert one.output().data == picture
    assert one.record().marks.suspect == ()
    assert marked(one, made, "keep") == {Move.UNCHANGED: 1}


@pytest.mark.parametrize("gates", [True, False])
def test_later_runs_leave_it_aside_and_pay_nothing(one: OneJob, made: Outcome, gates: bool) -> None:
    """The night finds the job done, with or without gates; another id with the same picture and recipe copies it."""
    marked(one, made, "reject")
    options = OutputOptions() if gates else OutputOptions(gates=None)
    outcome = one.run(LATER, outputs=options).outcome
    assert (outcome.outcome, outcome.suspect) == (OutcomeKind.SKIPPED, (REJECTED,))
    assert PLACE not in one.store.objects
    other = one.run(LATER, entry="cup", outputs=options).outcome
    assert (other.outcome, other.reused, other.suspect) == (OutcomeKind.SKIPPED, True, (REJECTED,))
    assert one.api.calls == 1


def test_after_each_crash(one: OneJob, made: Outcome) -> None:
    """Whichever request of S3 it dies at, the picture is there, a later run pays nothing, and again it is finished."""
    picture, place, done = one.output().data, 0, None
    while done is None:
        place += 1
        requests = count(1)

        def die(at: int = place, requests: Iterator[int] = requests) -> None:
            if next(requests) == at:
                raise StoreUnavailable("down")

        one.store.when("", "", die, times=10_000)
        with suppress(StoreUnavailable):
            done = marked(one, made, "reject")
        one.store._events.clear()
        assert picture in {stored.data for uri, stored in one.store.objects.items() if uri in {PLACE, ASIDE}}
        assert one.has_record()
        assert one.run(LATER).outcome.outcome is OutcomeKind.SKIPPED
        assert sum(marked(one, made, "reject").values()) == 1
        assert PLACE not in one.store.objects
        assert one.api.calls == 1
        marked(one, made, "keep")
    assert place > 5


def test_what_is_not_this_picture_stays(one: OneJob, made: Outcome) -> None:
    """Made anew since, in a worker's hand, replaced by somebody, or removed: it is left, and said."""
    record = one.record()
    assert marked(one, made, "reject", busy=True) == {Move.BUSY: 1}
    anew = made.model_copy(update={"fingerprint": "another"})
    assert marked(one, anew, "reject") == {Move.ANEW: 1}
    one.swap(PLACE, encode(corners(50, 40)))
    assert marked(one, made, "reject") == {Move.FOREIGN: 1}
    del one.store.objects[PLACE]
    assert marked(one, made, "reject") == {Move.GONE: 1}
    assert one.record() == record
    one.lose_record()
    assert marked(one, made, "reject") == {Move.GONE: 1}


@pytest.mark.parametrize("moment", ["copy", "replace"])
def test_a_record_that_is_written_meanwhile_stands(one: OneJob, made: Outcome, moment: str) -> None:
    """Where a worker commits the job between, its record is not overwritten: it is of a picture that was paid for."""
    newer = one.record().model_copy(update={"worker": "another"})
    one.store.when(moment, ASIDE if moment == "copy" else RECORD, lambda: one.rewrite(newer))
    assert marked(one, made, "reject") == {Move.BUSY: 1}
    assert one.record().worker == "another"
    assert PLACE in one.store.objects


def test_a_picture_that_is_put_meanwhile_stays(one: OneJob, made: Outcome) -> None:
    """What goes last is the rejected picture alone: a worker's that lies in its place by then is not removed."""
    other = encode(corners(50, 40))
    one.store.when("put", RECORD, lambda: one.swap(PLACE, other))
    assert marked(one, made, "reject") == {Move.WITHDRAWN: 1}
    assert one.store.objects[PLACE].data == other


def test_two_at_once(one: OneJob, made: Outcome) -> None:
    """Somebody else moves it at the same time, by the command and the page: one does, the other says so."""
    one.store.when("copy", ASIDE, lambda: marked(one, made, "reject"))
    assert marked(one, made, "reject") == {Move.BUSY: 1}
    assert (PLACE in one.store.objects, one.record().outputs[0].uri) == (False, ASIDE)


def test_without_conditional_writes(one: OneJob, made: Outcome) -> None:
    """Where a worker's record is lost to the withdrawn one, its picture is found by the index, and not paid for."""
    marked(one, made, "reject")
    withdrawn_record = one.record()
    other = {"params": {"strength": 0.3}}
    assert one.run(LATER, **other).outcome.outcome is OutcomeKind.SUCCEEDED
    picture, calls = one.output().data, one.api.calls
    one.rewrite(withdrawn_record)
    outcome = one.run(LATER, **other).outcome
    assert (outcome.outcome, outcome.reused) == (OutcomeKind.SKIPPED, True)
    assert (one.output().data, one.record().outputs[0].uri, one.api.calls) == (picture, PLACE, calls)
