"""The heart: one job from its message to its record.

skip? -> fetch -> prepare -> claim -> img2img -> verify -> store -> record

Each attempt runs the whole of it; claim and call are in restyle/job/call.py. An attempt without an outcome raises: a
RestyleError before the call, `CallFailed` after it, `Dropped` where the job is not ours to do. Why nothing is paid
twice or lost: docs/architecture.md.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import replace

import structlog

from restyle import images
from restyle.coordination.runs.progress import Ended
from restyle.errors import InvalidImage, MalformedResponse, ObjectRefused, StoreAccessDenied
from restyle.fingerprint import Fingerprint
from restyle.images import Picture, Prepared
from restyle.job import lookup, outcomes, web
from restyle.job.call import call, reporting
from restyle.job.commit import Made
from restyle.job.commit_retry import until_stored
from restyle.job.context import Called, Tools, Work
from restyle.job.outputs import quality
from restyle.job.outputs.form import check_signer
from restyle.job.parked import unplaced, unreadable
from restyle.job.results import index
from restyle.job.results.reuse import reuse, reuse_changed, reuse_result
from restyle.reply import Reply
from restyle.runtime.memory import Reservation, UploadBuffer
from restyle.s3.store import Stored
from restyle.segmind.responses import Answer
from restyle.telemetry.steps import step

log = structlog.get_logger("restyle.job")


def run(work: Work, tools: Tools) -> Ended:
    """Restyles one picture, or finds that it has been done."""
    looked_at = time.monotonic()
    work = web.with_input(work, tools)
    known = lookup.find_record(work.message, tools.store, tools.workspace)
    if tools.unsaved.is_set():
        tools.rotation.worked("s3", "clock")
    if record := lookup.unchanged(work, known, tools):
        return reuse(work, record, tools)
    check_signer(work, tools)
    with tools.memory.reserve() as reservation:
        source = fetch(work, reservation, tools)
        sha256 = hashlib.sha256(source.data).hexdigest()
        fingerprint = Fingerprint(etag=source.etag, sha256=sha256, request=work.request)
        if record := lookup.same_bytes(work, known, fingerprint, tools):
            return reuse_changed(work, record, fingerprint, tools)
        if paid := index.find(work, fingerprint, tools):
            unplaced.find_parked(work, fingerprint.token, tools)  # what waits for an earlier request is kept
            return reuse_result(work, paid, known, fingerprint, tools)
        prepared = prepare(work, source)
        upload, source, prepared = pack(work, source, prepared, reservation)
        if work.options.reread:
            upload.sent()
            called = unreadable.reread(work, fingerprint, tools)
        else:
            called = call(work, prepared, upload, fingerprint, looked_at, tools)
    if isinstance(called, Ended):
        return called
    called, pictures = verify(work, called, fingerprint.token, tools)
    suspect = looks_wrong(work, prepared, pictures)
    made = Made(work, known, source, fingerprint, prepared, called, pictures, suspect)
    stored = until_stored(made, tools)
    if isinstance(stored, Ended):
        return stored
    if called.claim.verdict == "unplaced":
        return unplaced.placed(work, stored, tools)
    return outcomes.reread(stored, tools) if work.options.reread else outcomes.succeeded(stored, tools, called)


@step("fetch")
def fetch(work: Work, reservation: Reservation, tools: Tools) -> Stored:
    """The input's bytes, unchanged, once there is room for them."""
    uri = work.message.job.image
    try:
        return tools.store.get(uri, max_bytes=images.MAX_INPUT_BYTES, admit=reservation.take)
    except (ObjectRefused, StoreAccessDenied) as error:
        raise lookup.refused_input(uri, error, work, tools) from error


@step("prepare")
def prepare(work: Work, source: Stored) -> Prepared:
    """The picture as it is sent."""
    try:
        return images.prepare(source.data, work.options.preparation, work.options.inputs, look=looks(work))
    except InvalidImage as error:
        raise InvalidImage(f"the input {error.message}") from error


def pack(
    work: Work, source: Stored, prepared: Prepared, reservation: Reservation
) -> tuple[UploadBuffer, Stored, Prepared]:
    """From here on the picture is in the upload buffer alone, which drops it as it is sent; a signature names it."""
    reservation.keep(len(prepared.data))
    upload, source = UploadBuffer(prepared.data, reservation), replace(source, data=b"")
    return upload, source, prepared if work.options.outputs.c2pa else replace(prepared, data=b"")


@step("verify")
def verify(work: Work, called: Called, made_from: str, tools: Tools) -> tuple[Called, list[Picture]]:
    """The answer's pictures in a form that is stored; one that is damaged makes it a failed call, with its cost."""
    answer = called.answer
    with reporting(unreadable.Paid(work, called.claim, made_from, called.called), tools):
        try:
            received = [images.received(picture, look=looks(work)) for picture in answer.images]
        except Exception as error:  # noqa: BLE001 - whatever it is: what has been paid for is not thrown away
            raise _unread(error, answer) from None
    stored = tuple(data for data, _ in received)
    return replace(called, answer=replace(answer, images=stored, reply=None)), [picture for _, picture in received]


def _unread(error: Exception, answer: Answer) -> MalformedResponse:
    """The error of a paid answer whose pictures cannot be used, for their own fault or for one of ours."""
    if isinstance(error, MalformedResponse):
        unread = error
    else:
        log.error("a paid answer cannot be read", exc_info=error)
        name = type(error).__name__
        unread = MalformedResponse(f"the answer cannot be read here ({name}: {error})", kind=f"fault {name}")
    # One that was parked has only its pictures left.
    unread.cost, unread.reply = answer.cost, answer.reply or Reply(200, {}, answer.images[0], answer.seconds)
    unread.http_status = unread.reply.status
    return unread


def looks(work: Work) -> bool:
    """Whether the gates look at pictures."""
    return work.options.outputs.gates is not None


def looks_wrong(work: Work, prepared: Prepared, pictures: Sequence[Picture]) -> tuple[str, ...]:
    """Why the pictures look wrong; a look that fails finds nothing, since the answer has been paid for."""
    try:
        return quality.reasons(prepared, pictures, work.options.outputs.gates)
    except Exception:
        log.exception("the pictures cannot be looked at")
        return ()
