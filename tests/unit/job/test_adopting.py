"""Outputs that a worker left without their record: it is written, and nothing is paid."""

from __future__ import annotations

from dataclasses import replace

import pytest

from restyle.coordination.runs.progress import Ended
from restyle.job.outputs.ownership import places_of
from restyle.job.results.adopting import look_again
from restyle.models import OutcomeKind
from restyle.outputs import Marks
from tests.support.one_job import LATER, RUN, WORKSPACE, OneJob, black_picture, prepared_picture

PLACE = WORKSPACE.output("mug", "felt")


def left(one: OneJob, run_id: str = RUN, **given: object) -> None:
    """A worker dies between its outputs and its record."""
    one.run(run_id, **given)
    one.lose_record()
    one.lose_results()


def look(one: OneJob, run_id: str = RUN, **given: object) -> Ended | None:
    """What the next one makes of it."""
    work = one.work(run_id, **given)  # type: ignore[arg-type] # by name
    return look_again(work, one.fingerprint(work), prepared_picture(), one.tools)


def test_where_nothing_is_there_a_call_is_made(one: OneJob) -> None:
    """Every form that an output may have is looked for, planned or put aside."""
    assert look(one) is None
    heads = [request.removeprefix("head ") for request in one.store.requests if request.startswith("head ")]
    endings = {uri.removeprefix(WORKSPACE.uri) for uri in heads}
    assert endings == {
        f"/{place}/mug/felt{form}" for place in ("outputs", "suspect") for form in (".jpg", ".png", ".webp")
    }


def test_a_record_that_has_come_meanwhile_answers(one: OneJob) -> None:
    """Somebody has finished the job."""
    first = one.run()
    ended = look(one)
    assert ended is not None
    assert ended.outcome == first.outcome


def test_an_output_without_a_record_gets_one(one: OneJob) -> None:
    """With all that its metadata tell; its call's cost was that of this run."""
    before = one.run()
    record = one.record()
    one.lose_record()
    one.lose_results()
    one.store.requests.clear()
    ended = look(one)
    assert ended is not None
    assert (ended.outcome.outcome, ended.outcome.credits) == (OutcomeKind.SUCCEEDED, 1.0)
    assert ended.outcome.outputs == before.outcome.outputs
    adopted = one.record()
    assert (adopted.outputs, adopted.marks, adopted.fingerprint) == (record.outputs, record.marks, record.fingerprint)
    assert (adopted.api.request_id, adopted.api.cost, adopted.api.attempts, adopted.api.seconds) == ("r-1", 1.0, 1, 0.0)
    assert (adopted.run_id, adopted.api.url, adopted.api.sandbox, adopted.api.in_doubt) == (RUN, one.api.url, False, 0)
    assert one.store.wrote("/results/")
    assert one.api.calls == 1


def test_an_output_of_an_earlier_run_is_that_runs(one: OneJob) -> None:
    """Its cost was counted there; a sandbox's stays one."""
    left(one, sandbox=True)
    ended = look(one, LATER, sandbox=True)
    assert ended is not None
    assert (ended.outcome.outcome, one.record().run_id, one.record().api.sandbox) == (OutcomeKind.SKIPPED, RUN, True)


def test_a_cost_that_was_not_known_stays_so(one: OneJob) -> None:
    """As is what was not said of the call."""
    one.api.answers.append(replace(one.api.answer(cost=None), request_id=None))
    left(one)
    look(one)
    assert (one.record().api.cost, one.record().api.request_id) == (None, None)


def test_under_overwrite_only_this_runs_own_is_adopted(one: OneJob) -> None:
    """What an earlier run left is what is to be made anew."""
    left(one)
    assert look(one, LATER, overwrite=True) is None
    assert look(one, RUN, overwrite=True) is not None


def test_what_was_made_of_something_else_is_not_adopted(one: OneJob) -> None:
    """Its fingerprint is another, or another job wrote it."""
    left(one)
    data, metadata = one.output().data, one.output().metadata
    one.put(PLACE, data, **{**metadata, "fingerprint": "another"})
    assert look(one) is None
    one.put(PLACE, data, **{**metadata, "job_id": "another"})
    assert look(one) is None
    one.put(PLACE, data, **{name: value for name, value in metadata.items() if name != "job_id"})
    assert look(one) is not None


def test_where_all_places_are_taken_a_call_is_made(one: OneJob) -> None:
    """As planned, and both beside it: none of the three is this job's."""
    for uri in places_of(PLACE, one.work().message.job_id):
        one.put(uri, b"a person's")
    assert look(one) is None


def test_what_lies_beside_is_found(one: OneJob) -> None:
    """Where something of somebody else's was in its way."""
    one.put(PLACE, b"a person's")
    left(one)
    ended = look(one)
    assert ended is not None
    assert ended.outcome.warning.startswith(f"put beside {PLACE}")
    assert one.record().beside == (PLACE,)


def test_what_was_put_aside_is_found_and_still_suspect(one: OneJob) -> None:
    """Its own metadata say so."""
    one.api.answers.append(one.api.answer(black_picture()))
    left(one)
    ended = look(one)
    assert ended is not None
    assert ended.outcome.suspect == ("black",)
    assert ended.outcome.outputs == (WORKSPACE.suspect("mug", "felt"),)


@pytest.mark.parametrize("lost", [0, 1])
def test_all_samples_must_be_there(one: OneJob, lost: int) -> None:
    """One is missing where its worker died in between: the call is made again."""
    one.api.answers.append(one.api.answer(one.api.picture, one.api.picture))
    left(one, params={"samples": 2})
    ended = look(one, params={"samples": 2})
    assert ended is not None
    assert len(ended.outcome.outputs) == 2
    one.lose_record()
    one.lose_results()
    del one.store.objects[ended.outcome.outputs[lost]]
    assert look(one, params={"samples": 2}) is None


def test_fewer_samples_than_were_wanted_are_all_there_are(one: OneJob) -> None:
    """The API sent one of two; its metadata say how many came."""
    left(one, params={"samples": 2})
    ended = look(one, params={"samples": 2})
    assert ended is not None
    assert ended.outcome.warning == "1 of 2 samples came"


@pytest.mark.parametrize("what", ["gone", "broken"])
def test_an_output_that_cannot_be_read_is_as_good_as_missing(one: OneJob, what: str) -> None:
    """It was removed, or is no picture."""
    left(one)
    if what == "gone":
        one.store.when("get", PLACE, lambda: one.store.objects.pop(PLACE))
    else:
        one.put(PLACE, one.output().data[:-300], **one.output().metadata)
    assert look(one) is None


@pytest.mark.parametrize("marks", ["", "no JSON", '{"unheard": 1}'])
def test_marks_that_cannot_be_read_are_none(one: OneJob, marks: str) -> None:
    """Of an older version, which wrote none, or of another."""
    left(one)
    one.put(PLACE, one.output().data, **{**one.output().metadata, "marks": marks})
    assert look(one, outputs={"mark": "none"}) is not None
    assert one.record().marks == Marks()


def test_metadata_that_say_little_are_enough(one: OneJob) -> None:
    """As an older version wrote them: one sample, of no run that is known."""
    left(one)
    one.put(PLACE, one.output().data, fingerprint=one.output().metadata["fingerprint"])
    assert look(one) is not None
    assert (one.record().run_id, one.record().api.cost, len(one.record().outputs)) == (RUN, None, 1)
    one.lose_record()
    one.lose_results()
    assert look(one, overwrite=True) is None


def test_a_result_of_another_job_answers_at_last(one: OneJob) -> None:
    """What was paid for meanwhile, by whatever job."""
    one.run(entry="cup")
    ended = look(one)
    assert ended is not None
    assert (ended.outcome.reused, one.api.calls) == (True, 1)
