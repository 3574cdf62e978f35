"""Storing a paid answer: outputs first, the record last, and what stood there before is set aside first."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from restyle.coordination.claim_types import Claim
from restyle.errors import StoreUnavailable
from restyle.job.commit import put_outputs, store
from restyle.job.outputs.locations import place
from restyle.job.outputs.ownership import LARGEST, Owner
from restyle.job.outputs.replacing import Replacing
from restyle.models import Job
from restyle.outputs import OutputOptions, Storing
from restyle.s3.parameters import within_bucket
from restyle.segmind.responses import Answer
from tests.support.in_memory import MemorySigner
from tests.support.one_job import LATER, RUN, WORKSPACE, OneJob, answer_picture, black_picture
from tests.support.pictures import corners, encode

PLACE = WORKSPACE.output("mug", "felt")
RECORD = WORKSPACE.record("mug", "felt")


def test_the_record_tells_of_the_call_and_the_outputs(one: OneJob) -> None:
    """All that is known, by the answer and the claim."""
    answer = replace(one.api.answer(sandbox=True), remaining_credits=41.0, seconds=2.12345)
    made = one.made(one.work(job={"meta": {"shelf": "3"}}), claim=Claim("go", calls=2, doubts=1), answer=answer)
    record = store(made, one.tools)
    assert record.api.model_dump() == {
        "url": one.api.url, "sandbox": True, "request_id": "r-1", "cost": 1.0, "remaining_credits": 41.0,
        "seconds": 2.123, "attempts": 3, "in_doubt": 1,
    }  # fmt: skip
    assert (record.timestamps.started, record.timestamps.called) == (made.work.started, made.called.called)
    assert record.timestamps.answered == made.called.answered <= record.timestamps.stored
    assert (record.job_id, record.run_id, record.id, record.variant) == (made.work.message.job_id, RUN, "mug", "felt")
    assert (record.metadata, record.params, record.worker, record.version) == (
        {"shelf": "3"}, made.job.params, "worker-1", "1.2.3",
    )  # fmt: skip
    assert record.input.model_dump() == {
        "uri": one.image, "etag": made.source.etag, "sha256": made.fingerprint.sha256, "bytes": made.source.bytes,
        "width": 96, "height": 72, "address": "",
    }  # fmt: skip
    assert record.prepared.model_dump() == {"width": 96, "height": 72, "steps": ()}
    assert (record.samples_expected, record.samples_received, record.beside, record.replaced) == (1, 1, (), ())
    assert one.record() == record
    assert record.stored == (one.store.objects[RECORD].etag, f"{one.output().bytes} {one.output().etag}")


def test_an_output_says_what_it_is(one: OneJob) -> None:
    """Its metadata suffice for a record, should its worker die now."""
    made = one.made()
    record = store(made, one.tools)
    assert one.output().metadata == {
        "job_id": made.work.message.job_id, "fingerprint": made.fingerprint.token, "run_id": RUN, "received": "1",
        "cost": "1.0", "request_id": "r-1", "sha256": record.outputs[0].sha256,
        "marks": '{"provenance":"compositeWithTrainedAlgorithmicMedia"}',
    }  # fmt: skip
    assert (one.output().content_type, record.outputs[0].etag) == ("image/jpeg", one.output().etag)


def test_each_sample_has_its_place(one: OneJob) -> None:
    """And all say how many there are."""
    answer = one.api.answer(answer_picture(), encode(corners(96, 72), "PNG"))
    record = store(one.made(one.work(params={"samples": 2}), answer=answer), one.tools)
    stem = PLACE.removesuffix(".jpg")
    assert [output.uri for output in record.outputs] == [f"{stem}-0.jpg", f"{stem}-1.png"]
    assert {one.store.objects[output.uri].metadata["received"] for output in record.outputs} == {"2"}


def test_more_pictures_than_requested_have_places_of_their_own(one: OneJob) -> None:
    """None of them takes the place of another: all were paid for, and all are found again."""
    answer = one.api.answer(answer_picture(), encode(corners(96, 72)), encode(corners(96, 72).rotate(180)))
    record = store(one.made(answer=answer), one.tools)
    stem = PLACE.removesuffix(".jpg")
    assert [output.uri for output in record.outputs] == [PLACE, f"{stem}-1.jpg", f"{stem}-2.jpg"]
    stored = [hashlib.sha256(one.store.objects[output.uri].data).hexdigest() for output in record.outputs]
    assert stored == [output.sha256 for output in record.outputs]
    assert one.run(LATER).outcome.outputs == tuple(output.uri for output in record.outputs)
    one.lose_record()
    one.lose_results()
    one.fleet.claims.append(Claim("look"))
    assert (one.run(LATER).outcome.outcome.value, one.api.calls) == ("skipped", 0)


def test_what_s3_does_not_take_leaves_no_record(one: OneJob) -> None:
    """The outputs come first: a job without all of them is not done."""
    one.store.fail("put", PLACE, StoreUnavailable("away"))
    with pytest.raises(StoreUnavailable):
        store(one.made(), one.tools)
    assert (one.has_record(), one.store.wrote("/results/")) == (False, [])


def test_outputs_are_held_as_the_run_wishes(one: OneJob) -> None:
    """And nothing else is."""
    storing = Storing(storage_class="GLACIER_IR")
    store(one.made(one.work(outputs=OutputOptions(storing=storing))), one.tools)
    assert one.store.held[PLACE] == storing
    assert {uri: held for uri, held in one.store.held.items() if held} == {PLACE: storing}


def test_what_is_not_this_jobs_stays(one: OneJob) -> None:
    """The picture is put beside it, which the record says."""
    one.put(PLACE, b"a person's")
    record = store(one.made(), one.tools)
    assert record.beside == (PLACE,)
    assert record.outputs[0].uri == PLACE.replace(".jpg", f".{record.job_id[:8]}.jpg")
    assert one.output().data == b"a person's"


def test_a_suspect_goes_aside(one: OneJob) -> None:
    """Its metadata say why."""
    made = one.made(answer=one.api.answer(black_picture()), suspect=("black",))
    placement = put_outputs(made, one.tools)
    assert [one.output.uri for one in placement.outputs] == [WORKSPACE.suspect("mug", "felt")]
    assert placement.marks.suspect == ("black",)
    assert '"suspect":["black"]' in one.store.objects[WORKSPACE.suspect("mug", "felt")].metadata["marks"]


# -- what is replaced --------------------------------------------------------------------------------------


def again(one: OneJob, answer: Answer | None = None, **given: Any) -> Any:
    """The job is done anew by a later run; its new record."""
    known = one.record()
    suspect = given.pop("suspect", ())
    work = one.work(LATER, **given)
    answer = answer or one.api.answer(encode(corners(96, 72).rotate(180)))
    return store(one.made(work, answer=answer, known=known, suspect=suspect), one.tools)


def test_what_is_replaced_is_held_as_outputs_are(one: OneJob) -> None:
    """In their own bucket; another one may not know their key."""
    before, storing = store(one.made(), one.tools), Storing(sse_kms_key="alias/pictures")
    again(one, outputs=OutputOptions(storing=storing))
    copy = WORKSPACE.replaced(before.outputs[0].sha256, ".jpg")
    assert one.store.held[copy] == storing
    assert within_bucket(storing, "s3://another/front.jpg", copy) is None


def test_what_is_replaced_is_kept_by_its_content(one: OneJob) -> None:
    """Before the first new output is put, the record goes, so that no half of both is taken for done."""
    before = store(one.made(), one.tools)
    old, one.store.requests[:] = one.output().data, []
    record = again(one)
    copy = WORKSPACE.replaced(before.outputs[0].sha256, ".jpg")
    assert (record.replaced, one.store.objects[copy].data) == ((copy,), old)
    asked = [request for request in one.store.requests if request.partition(" ")[0] in {"copy", "put", "delete"}]
    assert asked[:3] == [f"copy {copy}", f"delete {RECORD}", f"put {PLACE}"]
    assert one.output().data != old


def test_nothing_is_kept_where_the_run_does_not_want_that(one: OneJob) -> None:
    """The new one takes its place all the same."""
    store(one.made(), one.tools)
    record = again(one, keep_replaced=False)
    assert record.replaced == ()
    assert not [uri for uri in one.store.objects if "/replaced/" in uri]


def test_outputs_that_are_planned_elsewhere_now_leave_their_places(one: OneJob) -> None:
    """Their copies stay; what has become another's since is left alone."""
    store(one.made(), one.tools)
    again(one, job={"output": "s3://shop/new/mug.jpg"})
    assert PLACE not in one.store.objects
    one.put("s3://shop/new/mug.jpg", b"another's", job_id="another")
    again(one)
    assert one.store.objects["s3://shop/new/mug.jpg"].data == b"another's"


def test_a_better_picture_of_before_stays(one: OneJob) -> None:
    """Where the new one looks wrong: it goes aside, and the one of before is where people look for it."""
    store(one.made(), one.tools)
    old = one.output().data
    record = again(one, one.api.answer(black_picture()), suspect=("black",))
    assert (one.output().data, record.replaced) == (old, ())
    assert one.record().outputs[0].uri == WORKSPACE.suspect("mug", "felt")


def test_a_suspect_that_is_made_anew_as_bad_is_replaced(one: OneJob) -> None:
    """The one of before lay in that very place."""
    before = store(one.made(answer=one.api.answer(black_picture()), suspect=("black",)), one.tools)
    darker = encode(corners(96, 72).point(lambda level: level // 30))
    record = again(one, one.api.answer(darker), suspect=("black",))
    assert record.replaced == (WORKSPACE.replaced(before.outputs[0].sha256, ".jpg"),)


def test_storing_anew_keeps_no_copy_of_itself(one: OneJob) -> None:
    """S3 broke off after the outputs: what lies there is this very result, of this very run."""
    made = one.made()
    one.store.fail("put", RECORD, StoreUnavailable("away"))
    with pytest.raises(StoreUnavailable):
        store(made, one.tools)
    assert store(made, one.tools).replaced == ()


def test_the_same_result_of_another_run_is_kept(one: OneJob) -> None:
    """Under --overwrite: it is another picture of the same recipe."""
    before = store(one.made(), one.tools)
    assert again(one, overwrite=True).replaced == (WORKSPACE.replaced(before.outputs[0].sha256, ".jpg"),)


def test_a_copy_that_is_there_is_named_again(one: OneJob) -> None:
    """Another job may have kept the same bytes: they are written once more, which takes no more than to ask."""
    before = store(one.made(), one.tools)
    copy = WORKSPACE.replaced(before.outputs[0].sha256, ".jpg")
    one.put(copy, one.output().data)
    assert again(one).replaced == (copy,)
    assert f"head {copy}" not in one.store.requests


def test_what_was_kept_before_s3_broke_off_stays_named(one: OneJob) -> None:
    """The new output is in its place by then, or the old one gone, or somebody has put another there."""
    before = store(one.made(), one.tools)
    copy, known = WORKSPACE.replaced(before.outputs[0].sha256, ".jpg"), one.record()
    made = one.made(one.work(LATER), answer=one.api.answer(encode(corners(96, 72).rotate(180))), known=known)
    one.store.fail("put", RECORD, StoreUnavailable("away"))
    with pytest.raises(StoreUnavailable):
        store(made, one.tools)
    assert store(made, one.tools).replaced == (copy,)
    one.put(PLACE, b"a person's")
    assert replacing(one, known).set_aside([PLACE]) == [copy]
    del one.store.objects[PLACE]
    assert replacing(one, known).set_aside([PLACE]) == [copy]
    del one.store.objects[copy]
    assert replacing(one, known).set_aside([PLACE]) == []


def replacing(one: OneJob, known: Any = None) -> Replacing:
    """What the usual job replaces."""
    work = one.work(LATER)
    owner = Owner(work.message.job_id, work.message.job, known, WORKSPACE, one.store)
    return Replacing(work, known, one.fingerprint(work).token, owner, one.tools)


def test_what_lies_there_without_a_record_is_kept_too(one: OneJob) -> None:
    """By its bytes, where its metadata do not tell them; nothing where it is not this job's."""
    store(one.made(), one.tools)
    data, metadata = one.output().data, dict(one.output().metadata)
    sha256 = metadata.pop("sha256")
    one.put(PLACE, data, **metadata)
    (copy,) = replacing(one).set_aside([PLACE])
    assert (copy, one.store.objects[copy].data) == (WORKSPACE.replaced(sha256, ".jpg"), data)
    assert RECORD in one.store.objects
    one.put(PLACE, b"a person's")
    assert replacing(one).set_aside([PLACE]) == []
    del one.store.objects[PLACE]
    assert replacing(one).set_aside([PLACE]) == []


def test_a_copy_of_other_content_with_that_name_is_made_anew(one: OneJob) -> None:
    """What the record says may be out of date: the name of a copy says what it is."""
    before = store(one.made(), one.tools)
    retouched = encode(corners(100, 80))
    one.put(PLACE, retouched, job_id=before.job_id)
    (copy,) = replacing(one, before).set_aside([PLACE])
    assert one.store.objects[copy].data == retouched
    assert copy != WORKSPACE.replaced(before.outputs[0].sha256, ".jpg")
    assert replacing(one, before).set_aside([PLACE]) == [copy]


def test_what_is_too_large_to_be_read_is_not_kept(one: OneJob) -> None:
    """Its metadata do not say what it is, and it is no picture."""
    one.put(PLACE, b"large", job_id=WORKSPACE.job_id("mug", "felt"))
    one.store.objects[PLACE] = replace(one.store.objects[PLACE], bytes=LARGEST + 1)
    assert replacing(one).set_aside([PLACE]) == []


def test_long_words_of_a_fault_are_in_the_metadata(one: OneJob) -> None:
    """Which have room for nine hundred bytes of them."""
    fault = ValueError("it failed " * 40)
    one.with_tools(signer=MemorySigner(fault=fault))
    store(one.made(one.work(outputs=OutputOptions(c2pa=True))), one.tools)
    assert one.output().metadata["marks"].endswith('"]}')


def test_what_goes_meanwhile_is_not_kept(one: OneJob) -> None:
    """Somebody removed it between two requests."""
    before = store(one.made(), one.tools)
    copy = WORKSPACE.replaced(before.outputs[0].sha256, ".jpg")
    one.store.when("copy", copy, lambda: one.store.objects.pop(PLACE))
    assert replacing(one, before).set_aside([PLACE]) == []


def test_what_the_new_outputs_are_copied_from_is_spared(one: OneJob) -> None:
    """It is neither kept nor removed."""
    before = store(one.made(), one.tools)
    assert replacing(one, before).set_aside([], sparing=[PLACE]) == []
    assert (PLACE in one.store.objects, RECORD in one.store.objects) == (True, False)


# -- where outputs go --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("output", "outputs", "samples", "content_type", "uris"),
    [
        ("s3://b/a.jpg", (), 1, "image/jpeg", ["s3://b/a.jpg"]),
        ("s3://b/a.JPEG", (), 1, "image/jpeg", ["s3://b/a.JPEG"]),
        ("s3://b/a.jpg", (), 1, "image/png", ["s3://b/a.png"]),
        ("s3://b/a", (), 1, "image/webp", ["s3://b/a.webp"]),
        ("s3://b/a.jpg", (), 1, "image/gif", ["s3://b/a.jpg"]),
        ("s3://b/a.jpg", (), 2, "image/jpeg", ["s3://b/a-0.jpg", "s3://b/a-1.jpg"]),
        ("s3://b/a.jpg", ("s3://b/x.jpg", "s3://b/y.jpg"), 3, "image/jpeg",
         ["s3://b/x.jpg", "s3://b/y.jpg", "s3://b/a-2.jpg"]),
    ],
)  # fmt: skip
def test_places(output: str, outputs: tuple[str, ...], samples: int, content_type: str, uris: list[str]) -> None:
    """As planned, by template or else by number, with the suffix of what is put there."""
    job = Job(id="a", variant="v", image="", params={"prompt": "p", "samples": samples}, output=output, outputs=outputs)
    assert [place(job, sample, content_type) for sample in range(samples)] == uris
    suffix = "-0" if samples > 1 else ""
    stem = WORKSPACE.suspect("a", "v").removesuffix(".jpg")
    assert place(job, 0, "image/png", WORKSPACE) == f"{stem}{suffix}.png"
