"""The index of what is paid for: what is entered, what is found by it, and what is believed of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from restyle.errors import InputNotFound, InvalidImage, ObjectRefused, StoreAccessDenied
from restyle.job.parked import in_redis
from restyle.job.results import index
from restyle.job.results.index import Paid
from restyle.job.results.keys import result_key
from restyle.keys import derived_seed, draw_seed
from restyle.models import RunOptions
from restyle.record import Record
from tests.support.one_job import LATER, RUN, WORKSPACE, OneJob

PLACE = WORKSPACE.output("mug", "felt")


def done(one: OneJob, entry: str = "mug", run_id: str = RUN, **given: Any) -> Record:
    """A job is paid for."""
    one.run(run_id, entry=entry, **given)
    record = one.record(entry)
    one.store.requests.clear()
    return record


def find(one: OneJob, run_id: str = LATER, **given: Any) -> Paid | None:
    """What the usual job finds."""
    work = one.work(run_id, **given)
    return index.find(work, one.fingerprint(work), one.tools)


def entry_of(one: OneJob) -> str:
    """Where the usual job's entry lies."""
    return WORKSPACE.result(one.work().result_key(one.fingerprint(one.work()).sha256))


# -- what is entered ---------------------------------------------------------------------------------------


def test_an_entry_is_the_record_without_what_is_the_jobs_alone(one: OneJob) -> None:
    """Its entry's columns, and what it replaced or was put beside, concern nobody else."""
    one.put(PLACE, b"a person's")
    record = done(one, job={"meta": {"shelf": "3"}})
    assert record.beside
    entered = index.Result.read(one.store.objects[entry_of(one)].data)
    assert entered.record.model_dump() == {**record.model_dump(), "metadata": {}, "beside": ()}
    assert one.store.objects[entry_of(one)].content_type == "application/json"
    index.enter(record.model_copy(update={"replaced": (PLACE,)}), RunOptions(), one.tools)
    assert index.Result.read(one.store.objects[entry_of(one)].data).record.replaced == ()


def test_a_copy_is_not_entered(one: OneJob) -> None:
    """The result that it was copied from is."""
    done(one, "cup")
    record = done(one)
    assert record.reused_from is not None
    index.enter(record, RunOptions(), one.tools)
    assert one.store.wrote("/results/") == []


def test_a_result_that_nobody_shares_is_not_entered(one: OneJob) -> None:
    """Seed -1 makes another picture each time."""
    one.run(params={"seed": -1})
    assert one.store.wrote("/results/") == []


def test_a_suspect_takes_the_place_of_no_other(one: OneJob) -> None:
    """Where there is none, it is entered."""
    record = done(one)
    suspect = record.model_copy(update={"marks": record.marks.model_copy(update={"suspect": ("black",)})})
    index.enter(suspect, RunOptions(), one.tools)
    assert one.store.wrote("/results/") == []
    one.lose_results()
    index.enter(suspect, RunOptions(), one.tools)
    assert one.store.wrote("/results/") == [entry_of(one)]
    index.enter(record, RunOptions(), one.tools)
    assert one.store.wrote("/results/") == [entry_of(one)] * 2


def test_a_trials_picture_is_found_by_jobs_without_a_seed(one: OneJob) -> None:
    """It has two entries; that of a job with a seed of its own stays."""
    record = done(one, params={"seed": draw_seed("mug")})
    shared = index.shared_key_of(record, RunOptions())
    assert shared == one.work().result_key(record.fingerprint.sha256)
    assert WORKSPACE.result(shared) in one.store.objects
    found = find(one)
    assert found is not None
    assert found.record.params.seed == draw_seed("mug")
    assert one.run(LATER).outcome.reused
    assert one.api.calls == 1


def test_a_trials_picture_takes_no_other_jobs_entry(one: OneJob) -> None:
    """Its own again it does."""
    done(one, "cup")
    entry = one.store.objects[entry_of(one)].data
    record = done(one, params={"seed": draw_seed("mug")})
    assert one.store.objects[entry_of(one)].data == entry
    one.lose_results()
    index.enter(record, RunOptions(), one.tools)
    one.store.requests.clear()
    index.enter(record, RunOptions(), one.tools)
    assert len(one.store.wrote("/results/")) == 2


def test_only_a_trials_first_picture_is_shared(one: OneJob) -> None:
    """Any other seed has one key."""
    record = done(one)
    assert index.shared_key_of(record, RunOptions()) == ""
    second = record.model_copy(update={"params": record.params.model_copy(update={"seed": draw_seed("mug", 2)})})
    assert index.shared_key_of(second, RunOptions()) == ""


# -- what is found -----------------------------------------------------------------------------------------


def test_anothers_result_is_found(one: OneJob) -> None:
    """With what S3 says of its outputs."""
    record = done(one, "cup")
    found = find(one)
    assert found is not None
    assert (found.record.job_id, found.record.outputs) == (record.job_id, record.outputs)
    assert [head.etag for head in found.heads] == [record.outputs[0].etag]


@pytest.mark.parametrize(
    "given",
    [
        {"reread": RUN},
        {"params": {"seed": -1}},
        {"params": {"seed": 7}},
        {"params": {"prompt": "a mug in wool"}},
        {"overwrite": True},
        {"reuse": False},
        {"own_pictures": ("felt",)},
        {"params": {"seed": derived_seed(WORKSPACE.job_id("mug", "felt"), LATER)}},
    ],
)
def test_what_a_run_may_not_take(one: OneJob, given: dict[str, Any]) -> None:
    """An answer that is read again, another request, or a run that wants a picture of its own."""
    done(one, "cup")
    assert find(one, **given) is None


def test_a_picture_made_anew_is_not_even_looked_for(one: OneJob) -> None:
    """`redo` draws a seed of its run: whatever is there, another one is wanted."""
    done(one, params={"seed": derived_seed(WORKSPACE.job_id("mug", "felt"), LATER)})
    one.store.requests.clear()
    assert find(one, params={"seed": derived_seed(WORKSPACE.job_id("mug", "felt"), LATER)}) is None
    assert one.store.requests == []


def test_under_overwrite_this_runs_own_may_be_taken(one: OneJob) -> None:
    """Its twin was paid for a moment ago."""
    done(one, "cup", LATER, overwrite=True)
    assert find(one, overwrite=True) is not None
    assert find(one, RUN, overwrite=True) is None


def test_an_answer_of_ones_own_that_waits_is_stored_first(one: OneJob) -> None:
    """It was paid for."""
    done(one, "cup")
    job_id, token = one.work().message.job_id, one.fingerprint(one.work()).token
    in_redis.park(job_id, in_redis.as_text(one.called(), token), one.state)
    assert find(one) is None
    in_redis.unpark(job_id, one.state)
    one.state.values[one.state.key("request", job_id)] = {"made_from": token}
    assert find(one) is None
    one.state.values[one.state.key("request", job_id)] = {"made_from": "another"}
    assert find(one) is not None
    one.state.values[one.state.key("spooled", job_id)] = {"worker": "another"}
    assert find(one) is None


# -- what is believed --------------------------------------------------------------------------------------


def test_an_entry_that_cannot_be_read_is_none(one: OneJob) -> None:
    """Anybody may have written it: it is no JSON, too large, under another's name, or of another result."""
    done(one, "cup")
    uri, text = entry_of(one), one.store.objects[entry_of(one)].data
    for odd in (b"{}", text.ljust(100_001), text.replace(b'"key":"', b'"key":"0').replace(b'0"key', b"")):
        one.put(uri, odd)
        assert find(one) is None
    entry = json.loads(text)
    one.put(uri, json.dumps({**entry, "key": "0" * 64}).encode())
    assert find(one) is None
    entry["record"]["params"]["prompt"] = "a mug in wool"
    one.put(uri, json.dumps(entry).encode())
    assert find(one) is None
    one.put(uri, text.ljust(100_000))
    assert find(one) is not None
    one.put(uri, json.dumps({**json.loads(text), "of_another_version": 1}).encode())
    assert find(one) is not None


def test_outputs_must_be_there(one: OneJob) -> None:
    """Of other bytes or gone, they are none; in replaced/ they are found."""
    record = done(one)
    stored = one.store.objects[PLACE]
    copy = one.store.copy(PLACE, WORKSPACE.replaced(record.outputs[0].sha256, ".jpg"))
    del one.store.objects[PLACE]
    found = index.there(record, one.store, WORKSPACE)
    assert found is not None
    assert found.record.outputs[0].uri == WORKSPACE.replaced(record.outputs[0].sha256, ".jpg")
    assert [head.etag for head in found.heads] == [copy]
    one.lose_copies()
    assert index.there(record, one.store, WORKSPACE) is None
    one.put(PLACE, stored.data + b"x", **stored.metadata)
    assert index.there(record, one.store, WORKSPACE) is None
    one.put(PLACE, bytes(stored.bytes))
    assert index.there(record, one.store, WORKSPACE) is None
    one.put(PLACE, stored.data)
    assert index.there(record, one.store, WORKSPACE) is not None


@pytest.mark.parametrize(
    ("verb", "error"),
    [
        ("head", ObjectRefused("403")),
        ("head", StoreAccessDenied("403")),
        ("get", InputNotFound("gone")),
        ("get", InvalidImage("large")),
    ],
)
def test_outputs_that_cannot_be_looked_at_are_none(one: OneJob, verb: str, error: Exception) -> None:
    """Gone meanwhile, another's by now, or not ours to see."""
    record = done(one)
    one.put(PLACE, one.output().data)
    one.store.fail(verb, PLACE, error)
    assert index.there(record, one.store, WORKSPACE) is None


@pytest.mark.parametrize(
    "change", [{"content_type": "text/html"}, {"sha256": "../../x"}, {"uri": "https://example.com/a.jpg"}]
)
def test_an_output_that_is_none_of_ours(one: OneJob, change: dict[str, str]) -> None:
    """A forged entry names no place but an object of ours."""
    record = done(one)
    output = record.outputs[0].model_copy(update=change)
    assert index.there(record.model_copy(update={"outputs": (output,)}), one.store, WORKSPACE) is None


@pytest.mark.parametrize(("count", "is_found"), [(0, False), (1, True), (4, True), (5, False)])
def test_a_result_has_one_to_four_samples(one: OneJob, count: int, *, is_found: bool) -> None:
    """More would be work without end."""
    record = done(one)
    many = record.model_copy(update={"outputs": record.outputs * count})
    assert (index.there(many, one.store, WORKSPACE) is not None) is is_found


# -- what stands for a result ------------------------------------------------------------------------------


def test_the_key_of_a_record_is_that_of_its_job(one: OneJob) -> None:
    """Whichever way it is asked; of another variant where that is wanted."""
    record, work = done(one), one.work()
    assert index.key_of(record, RunOptions()) == work.result_key(record.fingerprint.sha256)
    own = RunOptions(own_pictures=("wool",))
    assert index.key_of(record, own, variant="wool") != index.key_of(record, own)
    drawn = {"params": record.params.model_copy(update={"seed": draw_seed("mug")})}
    trial = record.model_copy(update=drawn)
    assert index.shared_key_of(trial, own, variant="wool") != index.shared_key_of(trial, own)
    direct = result_key(
        record.fingerprint.sha256, record.params, RunOptions(), job_id=record.job_id, run_id=RUN, variant="felt"
    )
    assert direct == index.key_of(record, RunOptions())
