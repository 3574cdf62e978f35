"""Whether a job has been done already: by its record, its input's ETag, its bytes, and its outputs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from restyle.errors import InputNotFound, ObjectRefused, StoreAccessDenied, StoreUnavailable
from restyle.fingerprint import Preparation
from restyle.job import lookup
from restyle.keys import derived_seed
from restyle.record import Record
from tests.support.in_memory import MemoryStore
from tests.support.one_job import LATER, RUN, WORKSPACE, OneJob


@pytest.fixture
def known(one: OneJob) -> Record:
    """The record of a job that is done."""
    one.run()
    record = one.record()
    one.store.requests.clear()
    return record


def test_a_record_is_found_whichever_run_wrote_it(one: OneJob, known: Record) -> None:
    """With its own ETag, by which an outcome says how it is stored."""
    assert known.run_id == RUN
    assert lookup.find_record(one.work(LATER).message, one.store, WORKSPACE) == known
    assert known.stored[0] == one.store.objects[WORKSPACE.record("mug", "felt")].etag


def test_a_record_that_cannot_be_read_counts_as_none(one: OneJob) -> None:
    """Somebody else's file lies there; and nothing is found where there is none."""
    assert lookup.find_record(one.work().message, one.store, WORKSPACE) is None
    one.put(WORKSPACE.record("mug", "felt"), b"{}", "application/json")
    assert lookup.find_record(one.work().message, one.store, WORKSPACE) is None


def test_without_a_record_nothing_is_asked(one: OneJob) -> None:
    """Neither the input nor the outputs are looked at."""
    assert lookup.unchanged(one.work(), None, one.tools) is None
    assert lookup.same_bytes(one.work(), None, one.fingerprint(one.work()), one.tools) is None
    assert not lookup.counts(one.work(), None, one.tools)
    assert one.store.requests == []


def test_the_record_of_this_run_needs_no_look_at_the_input(one: OneJob, known: Record) -> None:
    """Of another run the ETag must be the same."""
    assert lookup.unchanged(one.work(), known, one.tools) is known
    assert one.store.requests == []
    assert lookup.unchanged(one.work(LATER), known, one.tools) is known
    assert one.store.requests == [f"head {one.image}"]
    one.touch(one.image, "another")
    assert lookup.unchanged(one.work(LATER), known, one.tools) is None


@pytest.mark.parametrize("error", [ObjectRefused("403"), StoreAccessDenied("403")])
def test_an_input_that_may_not_be_looked_at_is_missing(one: OneJob, known: Record, error: Exception) -> None:
    """Without leave to list, S3 says so of an object that is missing, too."""
    one.store.fail("head", one.image, error)
    with pytest.raises(InputNotFound, match=r"in/mug\.jpg: missing, or reading it is not allowed \(403\)"):
        lookup.unchanged(one.work(LATER), known, one.tools)


def test_an_input_that_is_gone_is_missing(one: OneJob, known: Record) -> None:
    """The job is not done, though its output is there. A HEAD alone does not say so: any gateway may have its 404."""
    del one.store.objects[one.image]
    assert lookup.unchanged(one.work(LATER), known, one.tools) is None
    with pytest.raises(InputNotFound, match="there is no such object"):
        one.run(LATER)
    one.store.fail("get", one.image, StoreUnavailable("a gateway before S3 answers 404 with a page of its own"))
    with pytest.raises(StoreUnavailable):
        one.run(LATER)
    assert one.api.calls == 1


def test_the_same_bytes_are_the_same_input(one: OneJob, known: Record) -> None:
    """Other bytes are another."""
    work, fingerprint = one.work(LATER), one.fingerprint(one.work())
    assert lookup.same_bytes(work, known, fingerprint, one.tools) is known
    other = fingerprint.model_copy(update={"sha256": "0" * 64})
    assert lookup.same_bytes(work, known, other, one.tools) is None


@pytest.mark.parametrize(
    "change",
    [
        {"params": {"prompt": "a mug in wool"}},
        {"params": {"seed": 7}},
        {"model": "another"},
        {"preparation": Preparation(max_side=512)},
    ],
)
def test_a_record_of_another_request_counts_for_nothing(one: OneJob, known: Record, change: dict[str, object]) -> None:
    """Prompt, seed, model and preparation are the request."""
    work = one.work(LATER, **change)  # type: ignore[arg-type] # by name
    assert not lookup.counts(work, known, one.tools)
    assert lookup.unchanged(work, known, one.tools) is None
    assert lookup.same_bytes(work, known, one.fingerprint(work), one.tools) is None


def test_a_picture_that_was_made_anew_stays(one: OneJob) -> None:
    """Another seed was drawn for it, derived from its run: the next plan asks for the first one, and means this."""
    job_id = one.work().message.job_id
    one.run(params={"seed": derived_seed(job_id, RUN)})
    known = one.record()
    assert lookup.counts(one.work(LATER), known, one.tools)
    assert not lookup.counts(one.work(LATER, params={"prompt": "a mug in wool"}), known, one.tools)
    assert not lookup.counts(one.work(LATER, model="another"), known, one.tools)
    assert not lookup.counts(one.work(LATER, params={"seed": 7}), known, one.tools)
    assert not lookup.counts(one.work(LATER), known.model_copy(update={"run_id": LATER}), one.tools)


def test_under_overwrite_only_this_runs_record_counts(one: OneJob, known: Record) -> None:
    """What an earlier run made is made again, once."""
    assert not lookup.counts(one.work(LATER, overwrite=True), known, one.tools)
    assert lookup.counts(one.work(RUN, overwrite=True), known, one.tools)


def test_outputs_are_looked_at_where_that_is_asked(one: OneJob, known: Record) -> None:
    """One that is gone, or another job's by now, makes the job undone; else nobody looks."""
    place = known.outputs[0].uri
    work = one.work(LATER, verify_outputs=True)
    assert lookup.counts(work, known, one.tools)
    assert one.store.requests == [f"head {place}"]
    one.put(place, b"another's", job_id="another")
    assert not lookup.counts(work, known, one.tools)
    del one.store.objects[place]
    assert not lookup.counts(work, known, one.tools)
    assert lookup.counts(one.work(LATER), known, one.tools)


def test_all_outputs_must_be_there(one: OneJob) -> None:
    """Of several samples too."""
    one.api.answers.append(one.api.answer(one.api.picture, one.api.picture))
    one.run(params={"samples": 2})
    known, work = one.record(), one.work(LATER, params={"samples": 2}, verify_outputs=True)
    assert lookup.counts(work, known, one.tools)
    del one.store.objects[known.outputs[1].uri]
    assert not lookup.counts(work, known, one.tools)


def test_a_record_is_read_from_the_store_that_is_given(one: OneJob, known: Record) -> None:
    """By entry and variant."""
    message = one.work().message
    assert lookup.find_record(message, MemoryStore(), WORKSPACE) is None
    other = message.model_copy(update={"job": message.job.model_copy(update={"variant": "wool"})})
    assert lookup.find_record(other, one.store, WORKSPACE) is None
    assert replace(one.work(), message=message).message.job.id == known.id
