"""One job, top to bottom: each way that it may take, and how often it is paid for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from restyle import images, pipeline
from restyle.coordination.claim_types import Claim
from restyle.errors import (
    ApiTimeout,
    ClockSkewed,
    InputNotFound,
    InvalidImage,
    MalformedResponse,
    Misconfigured,
    ObjectRefused,
    StoreAccessDenied,
    StoreUnavailable,
)
from restyle.job.call import CallFailed
from restyle.job.parked import unreadable
from restyle.models import InputRules, OutcomeKind
from restyle.outputs import OutputOptions
from restyle.reply import Reply
from tests.support.in_memory import MemorySigner
from tests.support.one_job import (
    LATER,
    RUN,
    WORKSPACE,
    OneJob,
    answer_picture,
    black_picture,
    held,
    prepared_picture,
    source_picture,
)
from tests.support.pictures import corners, encode


def test_a_job_is_paid_for_once_and_recorded(one: OneJob) -> None:
    """From the message to the record: outputs first, then the index, the record last."""
    ended = one.run()
    assert ended.outcome.outcome is OutcomeKind.SUCCEEDED
    assert (ended.calls, ended.call_succeeded, ended.wrote_record, one.api.calls) == (1, True, True, 1)
    assert [uri.removeprefix(WORKSPACE.uri).split("/")[1] for uri in one.store.wrote("")] == [
        "outputs", "results", "records",
    ]  # fmt: skip
    assert one.api.sent == [source_picture()]


def test_what_its_own_run_has_done_is_found(one: OneJob) -> None:
    """A message that comes twice: no call, and the same outcome with its record."""
    first, again = one.run(), one.run()
    assert (again.calls, one.api.calls) == (0, 1)
    assert again.outcome == first.outcome
    assert again.record == one.record()


def test_what_an_earlier_run_has_done_is_not_even_read(one: OneJob) -> None:
    """The input's ETag tells that nothing has changed."""
    one.run()
    one.store.requests.clear()
    ended = one.run(LATER)
    assert (ended.outcome.outcome, ended.outcome.reused, one.api.calls) == (OutcomeKind.SKIPPED, False, 1)
    assert f"get {one.image}" not in one.store.requests
    assert one.store.wrote("") == []


def test_a_server_without_etags_hides_no_change(one: OneJob) -> None:
    """Nothing compared with nothing is no sign of the same picture: its bytes are read, each time."""
    one.touch(one.image, "")
    one.run()
    assert (one.run(LATER).outcome.outcome, one.api.calls) == (OutcomeKind.SKIPPED, 1)
    one.put(one.image, encode(corners(120, 90)))
    one.touch(one.image, "")
    one.api.answers.append(one.api.answer(encode(corners(96, 72).rotate(180))))
    assert (one.run(LATER).outcome.outcome, one.api.calls) == (OutcomeKind.SUCCEEDED, 2)


def test_the_same_bytes_under_another_etag_are_the_same_input(one: OneJob) -> None:
    """The record learns the new ETag, so that the next run need not read the input."""
    one.run()
    one.touch(one.image, "another")
    ended = one.run(LATER)
    assert (ended.outcome.outcome, one.api.calls) == (OutcomeKind.SKIPPED, 1)
    assert (one.record().fingerprint.etag, one.record().input.etag) == ("another", "another")
    assert (ended.outcome.reused, one.record().run_id) == (False, RUN)


def test_other_bytes_are_paid_for(one: OneJob) -> None:
    """A new photo is a new picture."""
    one.run()
    one.put(one.image, encode(corners(100, 80)))
    assert (one.run(LATER).calls, one.api.calls) == (1, 2)


def test_the_same_result_of_another_job_is_copied(one: OneJob) -> None:
    """One picture and one recipe are paid for once, whatever the id."""
    one.run(entry="cup")
    ended = one.run()
    assert (ended.outcome.outcome, ended.outcome.reused, one.api.calls) == (OutcomeKind.SKIPPED, True, 1)
    assert one.output().data == one.output("cup").data


def test_an_answer_that_is_read_again_costs_no_call(one: OneJob) -> None:
    """Of a run of --unreadable; where none is kept, the job fails. No picture is held meanwhile."""
    sizes: list[int] = []
    one.store.when(
        "get", f"{WORKSPACE.unreadable(RUN, one.work().message.job_id)}.json", lambda: sizes.append(held(one))
    )
    ended = one.run(LATER, reread=RUN)
    assert sizes == [0]
    assert (ended.outcome.error, one.api.calls, one.fleet.asked) == ("unreadable", 0, [])
    assert held(one) == 0


def test_a_kept_answer_that_can_be_read_now_is_stored(one: OneJob) -> None:
    """Nothing was spent by this run."""
    work = one.work()
    paid, error = unreadable.Paid(work, Claim("go"), one.fingerprint(work).token), MalformedResponse("odd", kind="odd")
    error.reply = Reply(200, {"content-type": "image/jpeg"}, answer_picture(), 1.0)
    unreadable.keep(paid, error, one.tools)
    ended = one.run(LATER, reread=RUN)
    assert (ended.outcome.outcome, ended.outcome.credits, ended.calls) == (OutcomeKind.SUCCEEDED, 0.0, 0)
    assert (ended.record, one.api.calls, one.has_record()) == (None, 0, True)


def test_a_job_that_was_finished_meanwhile_ends_without_a_call(one: OneJob) -> None:
    """The claim says to look again, and there is its record."""
    one.fleet.claims.extend([lambda: one.other_worker().run(), Claim("look")])
    ended = one.run()
    assert (ended.outcome.outcome, ended.calls, one.api.calls) == (OutcomeKind.SUCCEEDED, 0, 0)


def test_what_was_set_aside_is_placed_by_the_next_run(one: OneJob) -> None:
    """S3 refused the output's own place; the picture was paid for, and is not paid for again."""
    one.store.fail("put", WORKSPACE.output("mug", "felt"), ObjectRefused("no"), times=4)
    first = one.run()
    assert (first.outcome.error, first.calls, first.outcome.credits) == ("not_stored", 1, 1.0)
    ended = one.run(LATER)
    assert (ended.outcome.outcome, ended.outcome.credits, ended.calls) == (OutcomeKind.SUCCEEDED, 0.0, 0)
    assert one.api.calls == 1
    assert not [uri for uri in one.store.objects if "/unplaced/" in uri]


@pytest.mark.parametrize("error", [ObjectRefused("403"), StoreAccessDenied("403")])
def test_an_input_that_may_not_be_read_is_missing(one: OneJob, error: Exception) -> None:
    """It fails its job alone, with S3's own words."""
    one.store.fail("get", one.image, error)
    with pytest.raises(InputNotFound, match=r"in/mug\.jpg: missing, or reading it is not allowed \(403\)"):
        one.run()


@pytest.mark.parametrize("error", [ObjectRefused("403"), StoreAccessDenied("403")])
def test_an_s3_that_refuses_the_workspace_too_fails_no_job(one: OneJob, error: Exception) -> None:
    """What is so for every job is not reported as one job's missing input."""
    one.store.fail("get", one.image, error)
    one.store.fail("head", WORKSPACE.run(one.work().message.run_id), error)
    with pytest.raises(type(error), match=r"^403$"):
        one.run()
    assert one.api.calls == 0


def test_an_input_beyond_the_limit_is_not_read(one: OneJob) -> None:
    """A hundred megabytes."""
    one.store.objects[one.image] = replace(one.store.objects[one.image], bytes=images.MAX_INPUT_BYTES + 1)
    with pytest.raises(InvalidImage):
        one.run()
    assert one.api.calls == 0


def test_an_input_that_is_no_picture_costs_nothing(one: OneJob) -> None:
    """The message says that it is the input."""
    one.put(one.image, b"no picture")
    with pytest.raises(InvalidImage, match=r"^the input is not a picture"):
        one.run()
    assert one.api.calls == 0


def test_an_input_is_refused_by_the_rules_of_its_run(one: OneJob) -> None:
    """Before anything is paid."""
    with pytest.raises(InvalidImage, match="the input"):
        one.run(inputs=InputRules(min_side=200))
    assert one.api.calls == 0


@pytest.mark.parametrize("reply", [Reply(200, {"x-a": "b"}, b"half", 3.0), None])
def test_a_damaged_answer_is_a_failed_call_with_its_cost(one: OneJob, reply: Reply | None) -> None:
    """It is kept as it came; one that was parked has only its picture left."""
    one.api.answers.append(replace(one.api.answer(answer_picture()[:-300], cost=2.0), reply=reply))
    with pytest.raises(CallFailed) as caught:
        one.run()
    error = caught.value.error
    assert isinstance(error, MalformedResponse)
    assert (error.cost, error.http_status, error.reply) == (2.0, 200, None)
    kept = one.store.objects[WORKSPACE.unreadable(RUN, one.work().message.job_id)]
    assert kept.data == (reply.body if reply else answer_picture()[:-300])
    assert one.fleet.reports[0].error is error
    assert not one.has_record()


class TooMuch(bytes):
    """A picture that takes more memory than there is."""

    def startswith(self, *_: object) -> bool:
        """Whatever is asked of it."""
        raise MemoryError


def test_an_answer_that_we_fail_at_is_kept_as_it_came(one: OneJob) -> None:
    """It is paid for, whatever goes wrong here: its job does not end as a bug without it."""
    reply = Reply(200, {}, b"as it came", 3.0)
    one.api.answers.append(replace(one.api.answer(TooMuch(b"large"), cost=2.0), reply=reply))
    with pytest.raises(CallFailed, match=r"cannot be read here \(MemoryError") as caught:
        one.run()
    assert one.store.objects[WORKSPACE.unreadable(RUN, one.work().message.job_id)].data == b"as it came"
    error = caught.value.error
    assert isinstance(error, MalformedResponse)
    assert (one.fleet.reports[0].error, error.kind, error.is_last) == (error, "fault MemoryError", False)


def test_a_picture_that_looks_wrong_is_put_aside(one: OneJob) -> None:
    """Its job has succeeded, and says why."""
    one.api.answers.append(one.api.answer(black_picture()))
    ended = one.run()
    assert (ended.outcome.outcome, ended.outcome.suspect) == (OutcomeKind.SUCCEEDED, ("black",))
    assert ended.outcome.outputs == (WORKSPACE.suspect("mug", "felt"),)


def test_without_gates_nothing_looks_wrong(one: OneJob) -> None:
    """Nor is anything looked at."""
    one.api.answers.append(one.api.answer(black_picture()))
    assert one.run(outputs=OutputOptions(gates=None)).outcome.suspect == ()
    assert pipeline.prepare(one.work(outputs=OutputOptions(gates=None)), one.stored()).glance is None
    assert pipeline.prepare(one.work(), one.stored()).glance is not None
    answer = one.called()
    assert pipeline.verify(one.work(outputs=OutputOptions(gates=None)), answer, "", one.tools)[1][0].glance is None
    assert pipeline.verify(one.work(), answer, "", one.tools)[1][0].glance is not None


def test_a_look_that_fails_finds_nothing(one: OneJob) -> None:
    """The answer has been paid for, whatever cannot be seen on it."""
    odd = replace(prepared_picture(), height=0)
    assert pipeline.looks_wrong(one.work(), odd, [images.verify(black_picture())]) == ()


def test_the_reply_is_not_held_any_longer_once_it_is_read(one: OneJob) -> None:
    """A picture is large, and S3 may be away for long."""
    called = one.called(answer=replace(one.api.answer(), reply=Reply(200, {}, answer_picture(), 1.0)))
    verified, pictures = pipeline.verify(one.work(), called, "", one.tools)
    assert verified.answer.reply is None
    assert verified.answer.images == (answer_picture(),)
    assert (pictures[0].width, pictures[0].height) == (96, 72)


def test_an_answer_of_another_form_is_stored_as_a_png(one: OneJob) -> None:
    """It was paid for, and whoever looks at outputs reads JPEG, PNG and WebP."""
    one.api.answers.append(one.api.answer(encode(corners(96, 72), "GIF")))
    one.run()
    (output,) = one.record().outputs
    assert output.content_type == "image/png"
    assert images.verify(one.store.objects[output.uri].data).content_type == "image/png"


def test_a_signature_needs_the_source(one: OneJob) -> None:
    """What was sent is named in it; without one the bytes are let go as they are sent."""
    one.with_tools(signer=(signer := MemorySigner()))
    one.run(outputs=OutputOptions(c2pa=True))
    assert one.output().data.endswith(b"signed")
    assert [source for _, source, *_ in signer.signed] == [source_picture()]
    assert one.record().marks.c2pa


def test_without_a_certificate_nothing_is_fetched_or_paid(one: OneJob) -> None:
    """Where the run wants its outputs signed."""
    with pytest.raises(Misconfigured, match="RESTYLE_C2PA_CERTIFICATE"):
        one.run(outputs=OutputOptions(c2pa=True))
    assert (f"get {one.image}" in one.store.requests, one.api.calls) == (False, 0)


def test_a_picture_is_in_its_buffer_alone(one: OneJob) -> None:
    """Its reservation is of what is sent; a signature keeps the bytes."""
    work, budget = one.work(), one.tools.memory
    with budget.reserve() as reservation:
        source = pipeline.fetch(work, reservation, one.tools)
        assert held(one) == len(source.data)
        prepared = replace(prepared_picture(), data=b"sent")
        upload, source, left = pipeline.pack(work, source, prepared, reservation)
        assert (upload.data, source.data, left.data, held(one)) == (b"sent", b"", b"", 4)
        signed = one.work(outputs=OutputOptions(c2pa=True))
        assert pipeline.pack(signed, source, prepared, reservation)[2].data == b"sent"
    assert held(one) == 0


def test_what_s3_answers_ends_its_trouble(one: OneJob) -> None:
    """Reading a record is work enough; but not while answers wait that S3 does not take."""
    one.run()
    for trouble in (StoreUnavailable("away"), ClockSkewed("late")):
        one.tools.rotation.failed(trouble)
    one.unsaved.add("an answer")
    one.run()
    assert one.tools.rotation.trouble is not None
    one.unsaved.clear()
    one.run()
    assert one.tools.rotation.trouble is None


def test_a_lost_answer_fails_the_call(one: OneJob) -> None:
    """The fleet has been told, and nothing is stored."""
    one.api.answers.append(ApiTimeout("lost", in_doubt=True))
    with pytest.raises(CallFailed, match="lost"):
        one.run()
    assert (len(one.fleet.reports), one.api.calls, one.has_record()) == (1, 1, False)


def test_an_input_on_the_web_is_the_object_that_its_run_has_fetched(one: OneJob) -> None:
    """Its address stands in the record."""
    one.pin("http://shop.example/mug", "f" * 64)
    one.run(job={"image": "http://shop.example/mug", "web": "f" * 64})
    assert (one.record().input.address, one.api.calls) == ("http://shop.example/mug", 1)
    assert one.record().input.uri.startswith(WORKSPACE.under("inputs"))


def test_a_job_of_a_changed_picture_takes_nine_requests(one: OneJob) -> None:
    """Each serves a promise: nothing is asked for that a listing has told, or that is known by then."""
    one.run()
    changed = one.put(one.image, encode(corners(120, 90)))
    one.api.answers.append(one.api.answer(encode(corners(96, 72).rotate(180))))
    one.tools.aside.notes(LATER, "")  # asked once a run
    one.store.requests.clear()
    assert one.run(LATER, job={"etag": changed}).outcome.outcome == "succeeded"
    asked_for, record = list(one.store.requests), one.record()
    output, index = record.outputs[0].uri, WORKSPACE.under("results")
    requests = [request.partition(index)[0] + (index if index in request else "") for request in asked_for]
    assert requests == [
        f"get {WORKSPACE.record('mug', 'felt')}", f"get {one.image}", f"get {index}", f"head {output}",
        f"copy {record.replaced[0]}", f"delete {WORKSPACE.record('mug', 'felt')}", f"put {output}", f"put {index}",
        f"put {WORKSPACE.record('mug', 'felt')}",
    ]  # fmt: skip


def test_what_a_listing_told_of_a_picture_may_be_out_of_date(one: OneJob) -> None:
    """It is as it was by the time of the job: by its bytes that is seen, and nothing is paid for."""
    one.run()
    assert one.run(LATER, job={"etag": "another"}).outcome.outcome == "skipped"
    assert one.api.calls == 1
