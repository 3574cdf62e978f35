"""What is done with a result that answers a job: its outputs are brought to where the run wants them; no call."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from restyle.coordination.runs.progress import Ended
from restyle.errors import StoreUnavailable
from restyle.images import verify
from restyle.job.results import index
from restyle.job.results.reuse import reuse, reuse_changed, reuse_result, take_over
from restyle.models import OutcomeKind
from restyle.outputs import NO_MARK, Marks, OutputOptions, Storing
from restyle.record import Record
from tests.support.one_job import LATER, RUN, WORKSPACE, OneJob, black_picture
from tests.support.pictures import corners, encode

PLACE, CUPS = WORKSPACE.output("mug", "felt"), WORKSPACE.output("cup", "felt")
ELSEWHERE = "s3://shop/new/mug.jpg"
BARE = OutputOptions(mark=NO_MARK)


def done(one: OneJob, entry: str = "mug", **given: Any) -> Record:
    """A job is paid for."""
    one.run(entry=entry, **given)
    record = one.record(entry)
    one.store.requests.clear()
    return record


def taken(one: OneJob, **given: Any) -> Ended:
    """A later run takes over what the usual job's record has."""
    return take_over(one.work(LATER, **given), one.record(), one.tools)


# -- the job's own result ----------------------------------------------------------------------------------


def test_what_this_run_has_done(one: OneJob) -> None:
    """Made it is a success that was found; copied it is one that was reused; of an earlier run it is taken over."""
    record = done(one)
    assert reuse(one.work(), record, one.tools).outcome.outcome is OutcomeKind.SUCCEEDED
    assert reuse(one.work(LATER), record, one.tools).outcome.outcome is OutcomeKind.SKIPPED
    one.run(entry="cup")
    copied = one.record("cup")
    assert copied.reused_from is not None
    outcome = reuse(one.work(entry="cup"), copied, one.tools).outcome
    assert (outcome.outcome, outcome.reused) == (OutcomeKind.SKIPPED, True)


def test_where_nothing_is_to_be_done_nothing_is_written(one: OneJob) -> None:
    """Neither outputs nor record nor index."""
    done(one)
    assert taken(one).outcome.outputs == (PLACE,)
    assert one.store.wrote("") == []


def test_outputs_that_are_wanted_elsewhere_are_copied(one: OneJob) -> None:
    """As the run wants them held; record and index follow, and say no ETag that is not known."""
    record, storing = done(one), Storing(storage_class="GLACIER_IR")
    ended = taken(one, job={"output": ELSEWHERE}, outputs=OutputOptions(storing=storing))
    assert (ended.outcome.outputs, one.store.objects[ELSEWHERE].data) == ((ELSEWHERE,), one.output().data)
    assert (one.store.held[ELSEWHERE], one.store.objects[ELSEWHERE].metadata) == (storing, one.output().metadata)
    renewed = one.record()
    assert renewed.outputs[0].model_dump() == {**record.outputs[0].model_dump(), "uri": ELSEWHERE, "etag": ""}
    assert [uri.split("/")[4] for uri in one.store.wrote("")] == ["results", "records"]
    entry = index.read(index.key_of(record, one.work().options), one.store, WORKSPACE)
    assert entry is not None
    assert entry.record.outputs == renewed.outputs


def test_outputs_go_beside_what_is_not_theirs(one: OneJob) -> None:
    """And the record says so; the next run finds it as it wants it."""
    record = done(one)
    one.put(ELSEWHERE, b"a person's")
    ended = taken(one, job={"output": ELSEWHERE})
    assert ended.outcome.outputs == (ELSEWHERE.replace(".jpg", f".{record.job_id[:8]}.jpg"),)
    assert one.record().beside == (ELSEWHERE,)
    one.store.requests.clear()
    taken(one, job={"output": ELSEWHERE})
    assert one.store.wrote("/records/") == []


def test_another_form_is_made_without_a_call(one: OneJob) -> None:
    """With what its metadata said, and what is new; the old one stays where it lies."""
    one.run(outputs=BARE)
    before = one.output()
    taken(one, outputs=OutputOptions(form="png", storing=Storing(storage_class="GLACIER_IR")))
    (output,) = one.record().outputs
    stored = one.store.objects[output.uri]
    assert (output.uri, output.content_type) == (PLACE.replace(".jpg", ".png"), "image/png")
    assert verify(stored.data).content_type == "image/png"
    assert {**stored.metadata, "marks": "", "sha256": ""} == {**before.metadata, "marks": "", "sha256": ""}
    assert (stored.metadata["sha256"], output.etag) == (output.sha256, stored.etag)
    assert stored.metadata["marks"] == one.record().marks.model_dump_json(exclude_defaults=True)
    assert (one.record().marks, one.api.calls) == (Marks(provenance=OutputOptions().mark), 1)
    assert one.store.held[output.uri] == Storing(storage_class="GLACIER_IR")


@pytest.mark.parametrize(
    ("made", "wanted", "is_marked"),
    [(NO_MARK, OutputOptions().mark, True), (OutputOptions().mark, NO_MARK, False), (NO_MARK, NO_MARK, False)],
)
def test_a_mark_that_is_missing_is_written(one: OneJob, made: str, wanted: str, *, is_marked: bool) -> None:
    """One that is there stays, and is not taken out again."""
    one.run(outputs=OutputOptions(mark=made))
    before = one.output().data
    taken(one, outputs=OutputOptions(mark=wanted))
    assert (one.output().data != before) is is_marked
    assert one.record().marks.provenance == (wanted if is_marked else made)


@pytest.mark.parametrize(
    ("marks", "form", "mark"),
    [
        ({"faults": ("mark: it failed",)}, True, False),
        ({"faults": ("form: it failed",)}, False, True),
        ({"faults": ("c2pa: it failed",)}, True, True),
        ({"c2pa": True}, False, False),
        ({}, True, True),
    ],
)
def test_what_has_failed_is_not_tried_again(one: OneJob, marks: dict[str, Any], *, form: bool, mark: bool) -> None:
    """Nor is a signature broken by other bytes."""
    record = done(one, outputs=BARE)
    one.rewrite(record.model_copy(update={"marks": Marks(provenance=NO_MARK, **marks)}))
    before = one.output().data
    taken(one)
    assert (one.output().data != before) is mark
    one.rewrite(record.model_copy(update={"marks": Marks(provenance=NO_MARK, **marks)}))
    taken(one, outputs=OutputOptions(form="png", mark=NO_MARK))
    assert (one.record().outputs[0].content_type == "image/png") is form


def test_a_lossy_webp_is_not_made_worse(one: OneJob) -> None:
    """It stays in its form; a PNG is turned into any."""
    done(one, outputs=OutputOptions(form="webp"))
    taken(one, outputs=OutputOptions(form="png"))
    assert one.record().outputs[0].content_type == "image/webp"
    one.lose_record()
    one.lose_results()
    done(one, outputs=OutputOptions(form="png"))
    taken(one, outputs=OutputOptions(form="webp"))
    assert one.record().outputs[0].content_type == "image/webp"


def test_an_output_that_somebody_removed_cannot_be_made_anew(one: OneJob) -> None:
    """Nobody looks for it otherwise, and the record stays."""
    record = done(one, outputs=BARE)
    del one.store.objects[PLACE]
    assert taken(one).outcome.outputs == (PLACE,)
    assert one.record().outputs == record.outputs


def test_a_form_that_fails_stays_where_it_belongs(one: OneJob) -> None:
    """A picture that cannot be turned into another form keeps its suffix."""
    done(one, outputs=BARE)
    one.put(PLACE, b"no picture", job_id=one.record().job_id)
    taken(one, outputs=OutputOptions(form="png", mark=NO_MARK))
    assert one.record().outputs[0].uri == PLACE
    assert one.record().marks.faults[0].startswith("form:")


def test_each_sample_is_brought(one: OneJob) -> None:
    """And keeps its number."""
    one.api.answers.append(one.api.answer(one.api.picture, encode(corners(96, 72).rotate(180))))
    record = done(one, params={"samples": 2})
    taken(one, params={"samples": 2}, job={"output": ELSEWHERE})
    outputs = one.record().outputs
    assert [output.uri for output in outputs] == ["s3://shop/new/mug-0.jpg", "s3://shop/new/mug-1.jpg"]
    assert [output.sha256 for output in outputs] == [output.sha256 for output in record.outputs]
    assert [one.store.objects[output.uri].etag for output in outputs] == [o.etag for o in record.outputs]


# -- suspects ----------------------------------------------------------------------------------------------


def suspect(one: OneJob) -> Record:
    """The usual job's picture looks wrong."""
    one.api.answers.append(one.api.answer(black_picture()))
    return done(one)


def test_a_suspect_stays_one_while_there_are_gates(one: OneJob) -> None:
    """Somebody has to look at it."""
    record = suspect(one)
    assert taken(one).outcome.suspect == ("black",)
    assert one.record().outputs == record.outputs


def test_without_gates_a_suspect_is_accepted(one: OneJob) -> None:
    """It goes where it was planned, and what lay there is kept."""
    record = suspect(one)
    one.put(PLACE, one.api.picture, job_id=record.job_id)
    ended = taken(one, outputs=OutputOptions(gates=None))
    assert (ended.outcome.suspect, ended.outcome.outputs) == ((), (PLACE,))
    assert one.output().data == one.store.objects[WORKSPACE.suspect("mug", "felt")].data
    assert [uri for uri in one.store.objects if "/replaced/" in uri]
    assert WORKSPACE.record("mug", "felt") in one.store.objects


def test_what_is_accepted_keeps_nothing_where_the_run_does_not_want_that(one: OneJob) -> None:
    """The picture of before is replaced for good."""
    record = suspect(one)
    one.put(PLACE, one.api.picture, job_id=record.job_id)
    taken(one, outputs=OutputOptions(gates=None), keep_replaced=False)
    assert not [uri for uri in one.store.objects if "/replaced/" in uri]


def test_a_good_picture_that_moves_keeps_nothing(one: OneJob) -> None:
    """What lies there is this job's own, of before."""
    record = done(one)
    one.put(ELSEWHERE, one.api.picture, job_id=record.job_id)
    taken(one, job={"output": ELSEWHERE})
    assert not [uri for uri in one.store.objects if "/replaced/" in uri]


def test_a_suspect_is_accepted_in_another_form(one: OneJob) -> None:
    """Marks that are made anew keep what was decided."""
    suspect(one)
    ended = taken(one, outputs=OutputOptions(gates=None, form="png"))
    assert (ended.outcome.suspect, ended.outcome.outputs) == ((), (PLACE.replace(".jpg", ".png"),))
    one.api.answers.append(one.api.answer(black_picture()))
    one.run(entry="cup", params={"seed": 5})
    work = one.work(LATER, entry="cup", params={"seed": 5}, outputs=OutputOptions(form="png"))
    assert take_over(work, one.record("cup"), one.tools).outcome.suspect == ("black",)


# -- another ETag ------------------------------------------------------------------------------------------


def test_a_record_learns_the_new_etag(one: OneJob) -> None:
    """And where the input lies now; of a request with another seed it keeps its own."""
    record, work = done(one), replace(one.work(LATER, job={"image": "s3://shop/in/moved.jpg"}), address="https://x")
    fingerprint = one.fingerprint(work).model_copy(update={"etag": "new", "request": "another"})
    ended = reuse_changed(work, record, fingerprint, one.tools)
    renewed = one.record()
    assert (ended.outcome.outcome, ended.outcome.etag) == (OutcomeKind.SKIPPED, "new")
    assert renewed.fingerprint == record.fingerprint.model_copy(update={"etag": "new"})
    assert (renewed.input.uri, renewed.input.etag, renewed.input.address) == (
        "s3://shop/in/moved.jpg", "new", "https://x",
    )  # fmt: skip


# -- another job's result ----------------------------------------------------------------------------------


def copied(one: OneJob, known: Record | None = None, run_id: str = RUN, **given: Any) -> Ended:
    """The usual job gets the cup's picture."""
    work = one.work(run_id, **given)
    paid = index.there(one.record("cup"), one.store, WORKSPACE)
    assert paid is not None
    return reuse_result(work, paid, known, one.fingerprint(work), one.tools)


def test_a_copy_is_this_jobs_own(one: OneJob) -> None:
    """Its record tells what it was copied from; its metadata that it has cost nothing."""
    cup = done(one, "cup", params={"seed": 5})
    storing = Storing(storage_class="GLACIER_IR")
    ended = copied(
        one, job={"meta": {"shelf": "3"}}, params={"seed": 5}, outputs=OutputOptions(storing=storing)
    )  # fmt: skip
    record, token = one.record(), one.fingerprint(one.work(params={"seed": 5})).token
    assert (ended.outcome.reused, ended.outcome.saved, ended.outcome.outputs) == (True, 1.0, (PLACE,))
    assert one.output().metadata == {
        "job_id": record.job_id, "fingerprint": token, "run_id": RUN, "received": "1", "cost": "0.0",
        "request_id": "r-1", "sha256": cup.outputs[0].sha256, "marks": cup.marks.model_dump_json(exclude_defaults=True),
    }  # fmt: skip
    assert (one.output().content_type, one.store.held[PLACE]) == ("image/jpeg", storing)
    assert record.reused_from is not None
    assert record.reused_from.model_dump() == {
        "job_id": cup.job_id, "run_id": RUN, "id": "cup", "variant": "felt", "seed": 5, "cost": 1.0,
    }  # fmt: skip
    assert (record.id, record.job_id, record.run_id, record.metadata) == (
        "mug", WORKSPACE.job_id("mug", "felt"), RUN, {"shelf": "3"},
    )  # fmt: skip
    assert (record.api.cost, record.api.attempts, record.api.in_doubt) == (0.0, 0, 0)
    assert (record.fingerprint.token, record.worker, record.version) == (token, "worker-1", "1.2.3")
    assert (record.outputs[0].uri, record.outputs[0].sha256, record.replaced) == (PLACE, cup.outputs[0].sha256, ())


def test_a_copy_has_the_seed_that_was_asked_for(one: OneJob) -> None:
    """So that the next run finds it done; its price is the configured one where the API told none."""
    one.api.answers.append(one.api.answer(cost=None))
    done(one, "cup")
    copied(one)
    record = one.record()
    assert record.params == one.work().message.job.params
    assert record.reused_from is not None
    assert record.reused_from.cost == 0.5
    assert record.reused_from.seed != record.params.seed
    assert (record.input.uri, record.input.etag) == (one.image, one.store.objects[one.image].etag)


def test_a_copy_replaces_what_was_there(one: OneJob) -> None:
    """It is kept; the record of before is gone until the new one is written."""
    done(one, "cup", params={"prompt": "a mug in wool", "seed": 5})
    known = done(one)
    copied(one, known, LATER, params={"prompt": "a mug in wool", "seed": 5})
    assert one.record().replaced == (WORKSPACE.replaced(known.outputs[0].sha256, ".jpg"),)
    asked = [verb for verb in one.store.requests if "/records/mug/" in verb]
    assert asked[-3:-1] == [f"delete {WORKSPACE.record('mug', 'felt')}", f"put {WORKSPACE.record('mug', 'felt')}"]


def test_a_copy_in_another_form(one: OneJob) -> None:
    """Its bytes are read, and checked, once; metadata and ETag are those of the new ones."""
    done(one, "cup")
    copied(one, outputs=OutputOptions(form="png"))
    (output,) = one.record().outputs
    stored = one.store.objects[output.uri]
    assert (output.content_type, output.etag, stored.metadata["sha256"]) == ("image/png", stored.etag, output.sha256)
    assert (stored.metadata["job_id"], stored.metadata["cost"]) == (WORKSPACE.job_id("mug", "felt"), "0.0")


def test_a_suspect_result_is_a_suspect_copy(one: OneJob) -> None:
    """It goes aside; a better picture of before stays where it is."""
    one.api.answers.append(one.api.answer(black_picture()))
    done(one, "cup")
    one.put(PLACE, b"better", job_id=WORKSPACE.job_id("mug", "felt"))
    ended = copied(one)
    assert (ended.outcome.suspect, ended.outcome.outputs) == (("black",), (WORKSPACE.suspect("mug", "felt"),))
    assert one.output().data == b"better"


@pytest.mark.parametrize("form", ["jpg", "png"])
def test_a_result_that_is_replaced_meanwhile_is_not_taken(one: OneJob, form: str) -> None:
    """Somebody wrote to its place between two requests: another look will tell."""
    done(one, "cup")
    other = encode(corners(96, 72).rotate(180))
    verb, uri = ("copy", PLACE) if form == "jpg" else ("get", CUPS)
    one.store.when(verb, uri, lambda: one.swap(CUPS, other))
    with pytest.raises(StoreUnavailable, match="was replaced"):
        copied(one, outputs=OutputOptions(form=form))
    assert not one.has_record()


@pytest.mark.parametrize("form", ["jpg", "png"])
def test_a_result_that_is_removed_meanwhile_is_not_taken(one: OneJob, form: str) -> None:
    """As above."""
    done(one, "cup")
    verb, uri = ("copy", PLACE) if form == "jpg" else ("get", CUPS)
    one.store.when(verb, uri, lambda: one.store.objects.pop(CUPS))
    with pytest.raises(StoreUnavailable, match=r"cup/felt\.jpg: was re"):
        copied(one, outputs=OutputOptions(form=form))
    assert not one.has_record()


def test_an_encrypted_copy_is_checked_by_its_bytes(one: OneJob) -> None:
    """Its ETag is another than its source's."""
    done(one, "cup")
    one.touch(CUPS, "encrypted")
    work = one.work()
    paid = index.there(one.record("cup"), one.store, WORKSPACE)
    assert paid is not None
    one.touch(CUPS, "otherwise")
    assert reuse_result(work, paid, None, one.fingerprint(work), one.tools).outcome.reused
    assert f"get {PLACE}" in one.store.requests


def test_a_copy_whose_etag_is_the_sources_is_not_read(one: OneJob) -> None:
    """One request a sample."""
    done(one, "cup")
    copied(one)
    assert f"get {PLACE}" not in one.store.requests


def test_a_result_of_this_very_job_gets_its_record(one: OneJob) -> None:
    """Its worker died between the index and the record: it was paid for by this run, and is no copy."""
    record = done(one, job={"meta": {"shelf": "3"}})
    one.lose_record()
    ended = one.run(job={"meta": {"shelf": "3"}})
    assert (ended.outcome.outcome, ended.outcome.reused, ended.calls) == (OutcomeKind.SUCCEEDED, False, 0)
    assert one.record().model_dump() == record.model_dump()


def test_a_result_of_this_job_of_another_run_is_a_copy(one: OneJob) -> None:
    """Whatever became of its record."""
    done(one)
    one.lose_record()
    ended = one.run(LATER)
    assert (ended.outcome.reused, one.record().run_id, one.api.calls) == (True, LATER, 1)


def test_what_is_copied_to_its_own_place_is_spared(one: OneJob) -> None:
    """A -> B -> A, where A lies in replaced/ by now; and of a job whose picture never moved."""
    first = done(one)
    data = one.output().data
    one.api.answers.append(one.api.answer(encode(corners(96, 72).rotate(180))))
    one.run(LATER, params={"prompt": "a mug in wool"})
    assert one.output().data != data
    ended = one.run("20260303T120000Z-cccccc")
    assert (ended.outcome.reused, one.output().data, one.api.calls) == (True, data, 2)
    assert one.record().outputs[0].sha256 == first.outputs[0].sha256
    one.lose_record()
    ended = one.run("20260304T120000Z-dddddd")
    assert (ended.outcome.reused, one.output().data, one.api.calls) == (True, data, 2)
