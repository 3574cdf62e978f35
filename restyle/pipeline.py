"""The heart: one job from its message to its record.

skip? -> fetch -> prepare -> claim -> img2img -> verify -> store -> record

Each attempt runs the whole of it. What ends without an outcome raises: a JobError, TransientError, RateLimited or
FleetError before the call, `CallFailed` after it, `Dropped` where the job is not ours to do. Why nothing is paid
twice or lost is told in docs/architecture.md.
"""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import structlog

from restyle import images
from restyle.coordination.fleet import Dropped, Storm
from restyle.coordination.progress import Ended, failed
from restyle.coordination.redis.client import patiently
from restyle.errors import (
    InputNotFound,
    InvalidImage,
    MalformedResponse,
    ObjectRefused,
    RestyleError,
    StoreAccessDenied,
)
from restyle.images import Picture, Prepared
from restyle.job import adopting, costs, gating, results
from restyle.job.call import Call
from restyle.job.context import Called, Tools, Work
from restyle.job.finishing import check_signer
from restyle.job.parked import in_redis as parked
from restyle.job.parked import unplaced, unreadable
from restyle.job.storing import until_stored
from restyle.models import Fingerprint, utc_now
from restyle.reply import Reply
from restyle.runtime.clock import elapsed
from restyle.runtime.memory import Hold, Parcel
from restyle.s3.store import Stored
from restyle.telemetry.steps import step

#: Seconds for which a job that has to wait for its call sleeps at a time.
LONGEST_NAP = 1.0

log = structlog.get_logger("restyle.job")


class CallFailed(Exception):
    """A call brought no picture; the fleet has been told."""

    def __init__(self, error: RestyleError, storm: Storm) -> None:
        super().__init__(error.message)
        self.error = error
        self.storm = storm


def run(work: Work, tools: Tools) -> Ended:
    """Restyles one picture, or finds that it has been done."""
    looked_at = time.monotonic()
    known = results.find_record(work.message, tools.store, tools.workspace)
    if tools.storing.is_set():
        tools.rotation.worked("s3", "clock")
    if ended := results.unchanged(work, known, tools):
        return ended
    check_signer(work, tools)
    with tools.room.hold() as hold:
        source = fetch(work, hold, tools)
        sha256 = hashlib.sha256(source.data).hexdigest()
        fingerprint = Fingerprint(etag=source.etag, sha256=sha256, request=work.request)
        if ended := results.same_bytes(work, known, fingerprint, tools):
            return ended
        prepared = prepare(work, source)
        parcel, source, prepared = pack(work, source, prepared, hold)
        if work.options.reread:
            parcel.sent()
            called = unreadable.reread(work, fingerprint, tools)
        else:
            called = call(work, prepared, parcel, fingerprint, looked_at, tools)
    if isinstance(called, Ended):
        return called
    called, pictures = verify(work, called, fingerprint.token, tools)
    suspect = looks_wrong(work, source, prepared, called, pictures, tools)
    made = results.Made(work, known, source, fingerprint, prepared, called, pictures, suspect)
    stored = until_stored(made, tools)
    if isinstance(stored, Ended):
        return stored
    if called.claim.verdict == "unplaced":
        return unplaced.placed(work, stored, tools)
    return results.reread(stored, tools) if work.options.reread else results.succeeded(stored, tools, called)


@step("fetch")
def fetch(work: Work, hold: Hold, tools: Tools) -> Stored:
    """The input's bytes, unchanged, once there is room for them."""
    uri = work.message.job.image
    try:
        return tools.store.get(uri, max_bytes=images.MAX_INPUT_BYTES, admit=hold.take)
    except (ObjectRefused, StoreAccessDenied) as error:
        raise InputNotFound(f"{uri}: missing, or reading it is not allowed ({error.message})") from error


@step("prepare")
def prepare(work: Work, source: Stored) -> Prepared:
    """The picture as it is sent."""
    try:
        return images.prepare(source.data, work.options.preparation, look=gating.look(work))
    except InvalidImage as error:
        raise InvalidImage(f"the input {error.message}") from error


def pack(work: Work, source: Stored, prepared: Prepared, hold: Hold) -> tuple[Parcel, Stored, Prepared]:
    """From here on the picture is in the parcel alone, which lets go of it as it is sent; a signature names it."""
    hold.keep(len(prepared.data))
    parcel, source = Parcel(prepared.data, hold), replace(source, data=b"")
    return parcel, source, prepared if work.options.outputs.c2pa else replace(prepared, data=b"")


@step("verify")
def verify(work: Work, called: Called, made_from: str, tools: Tools) -> tuple[Called, list[Picture]]:
    """The answer's pictures in a form that is stored; one that is damaged makes it a failed call, with its cost."""
    answer = called.answer
    with reporting(unreadable.Paid(work, called.claim, made_from, called.called), tools):
        try:
            received = [images.received(picture, look=gating.look(work)) for picture in answer.images]
        except MalformedResponse as error:
            error.cost = answer.cost
            # One that was parked has only its pictures left.
            error.reply = answer.reply or Reply(200, {}, answer.images[0], answer.seconds)
            error.http_status = error.reply.status
            raise
    stored = tuple(data for data, _ in received)
    return replace(called, answer=replace(answer, images=stored, reply=None)), [picture for _, picture in received]


def call(
    work: Work, prepared: Prepared, parcel: Parcel, fingerprint: Fingerprint, looked_at: float, tools: Tools
) -> Called | Ended:
    """Claims and calls; or, where the claim says to look again, finds the job done."""
    looked, judged, state = False, False, tools.fleet.state
    if set_aside := unplaced.find(work, fingerprint.token, tools):
        return set_aside
    while True:
        wait_for(tools.storing, tools)
        with tools.slots.one(work.options.priority):
            stop_if(tools)
            if not tools.storing.is_set():
                continue
            asked = elapsed()
            claim = patiently(
                tools.stopping, tools.fleet.claim, work.message, work.token,
                looked=looked, looked_at=looked_at, made_from=fingerprint.token,
            )  # fmt: skip
            if claim.verdict in {"go", "submitted"}:
                ask = Call(parcel, work.message, work.token, claim, fingerprint.token)
                doubtful = claim.verdict == "go" and claim.doubts > 0 and not judged
                judged = judged or doubtful
                if done := judge(work, ask, tools) if doubtful else img2img(work, ask, asked, tools):
                    return done
        if claim.verdict == "wait":
            # Asked again soon, however long the wait: a resume ends it, and another's answer may.
            tools.stopping.wait(min(claim.wait, LONGEST_NAP) + random.uniform(0, 0.02))
        elif claim.verdict == "parked" and (
            found := patiently(tools.stopping, parked.find, work.message.job_id, fingerprint.token, state)
        ):
            return found
        elif claim.verdict == "look":
            looked, looked_at = True, time.monotonic()
            if ended := adopting.look_again(work, fingerprint, prepared, tools):
                return ended


def judge(work: Work, ask: Call, tools: Tools) -> Ended | None:
    """Looks up calls whose answers were lost; None: claim again. Where nobody can tell, a person may have to."""
    settled = tools.segmind.settle(ask)
    patiently(tools.stopping, tools.fleet.answered, work.message, work.token, ask.claim, None)
    if settled or not (tools.hold_doubts or ask.claim.doubts >= 2):
        return None
    why = "RESTYLE_IN_DOUBT is hold" if tools.hold_doubts else "it is the second one"
    return failed("in_doubt", f"a call of this job may have been paid for; {why}")


@step("call")
def img2img(work: Work, ask: Call, asked: float, tools: Tools) -> Called | None:
    """One paid call; None where the claim has grown stale before it could begin."""
    late = elapsed() - asked > tools.fleet.limits.call_within or tools.fleet.is_outdated(ask.claim)
    if late or not tools.fleet.heart_fresh or tools.stopping.is_set():
        patiently(tools.stopping, tools.fleet.answered, work.message, work.token, ask.claim, None)
        return None
    paid = unreadable.Paid(work, ask.claim, ask.made_from)
    with reporting(paid, tools), tools.traffic.counted():
        answer = tools.segmind.img2img(ask)
    tools.rotation.worked("api")
    answer = costs.judged(answer, work.message.job.params, tools.fleet.limits.budgets)
    lag = elapsed() - asked - (answer.generation or 0.0)
    return Called(ask.claim, answer, paid.called, utc_now(), asked, max(0.0, lag))


def looks_wrong(
    work: Work, source: Stored, prepared: Prepared, called: Called, pictures: Sequence[Picture], tools: Tools
) -> tuple[str, ...]:
    """Why the pictures look wrong; a look that fails finds nothing, since the answer has been paid for."""
    try:
        return gating.suspect(work, source, prepared, called, pictures, tools)
    except Exception:
        log.exception("the pictures cannot be looked at")
        return ()


@contextmanager
def reporting(paid: unreadable.Paid, tools: Tools) -> Iterator[None]:
    """Tells the fleet of an error of the call, and raises it as CallFailed; what was paid for is kept before that."""
    try:
        yield
    except RestyleError as error:
        if isinstance(error, MalformedResponse):
            unreadable.keep(paid, error, tools)
        tools.rotation.failed(error)
        if getattr(error, "http_status", None):
            tools.rotation.worked("api")
        alone, work = tools.rotation.excuses(error), paid.work
        storm = patiently(
            tools.stopping, tools.fleet.answered, work.message, work.token, paid.claim, error, alone=alone
        )
        if storm.singled_out:
            tools.rotation.singled_out(error)
        raise CallFailed(error, storm) from error


def wait_for(event: threading.Event, tools: Tools) -> None:
    """Waits for an event, or until this worker drains or stands aside."""
    while not event.wait(0.5):
        stop_if(tools)


def stop_if(tools: Tools) -> None:
    """Raises Dropped where this worker drains, or is out of rotation."""
    if tools.stopping.is_set():
        raise Dropped("stopping")
    if tools.rotation.out:
        raise Dropped("out of rotation")
