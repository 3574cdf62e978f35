"""Paid pictures whose own place S3 refuses: set aside in the workspace, where the job's next run finds them.

`unplaced/<run>/<job_id>-<sample>.<suffix>` are the pictures as the API sent them; `unplaced/<run>/<job_id>.json`,
written last, says what they are. They stay there until their job has been stored.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from typing import TypedDict

import structlog

from restyle.coordination.redis.client import patiently
from restyle.coordination.runs.progress import Ended, failed
from restyle.errors import InputNotFound, InvalidImage, ObjectRefused, StoreAccessDenied, StoreUnavailable
from restyle.job.commit import Made
from restyle.job.context import Called, Tools, Work
from restyle.job.outcomes import cost_of, succeeded
from restyle.job.outputs.locations import place, suffix_of
from restyle.job.parked import in_redis
from restyle.record import Record

log = structlog.get_logger("restyle.unplaced")

#: As the outcome says it.
CODE = "not_stored"
#: Bytes of a note, and of a picture, that are read.
_NOTE_BYTES, MAX_ANSWER_BYTES = 100_000, 256_000_000
#: Where pictures were to lie, under its name in S3.
_Places = TypedDict("_Places", {"wanted": list[str]})  # noqa: UP013 - no name for a value here


class Note(in_redis.Facts, _Places):
    """What lies beside pictures that were set aside."""

    job_id: str
    run_id: str
    id: str
    variant: str
    images: list[str]
    """Where they lie."""
    reason: str


def find(work: Work, made_from: str, tools: Tools) -> Called | None:
    """The answer to this very request of the job that an earlier run paid for and could not place."""
    for uri in tools.aside.notes(work.message.run_id, work.message.job_id):
        note = _read(uri, tools)
        if note and note.get("made_from") == made_from:
            try:
                pictures = [tools.store.get(image, max_bytes=MAX_ANSWER_BYTES).data for image in note["images"]]
                return in_redis.answer_of(note, pictures, "unplaced")
            except (InputNotFound, InvalidImage, ValueError, KeyError, TypeError):
                log.warning("a picture that was set aside cannot be read", uri=uri)
    return None


def set_aside(made: Made, reason: str, tools: Tools) -> Ended:
    """Puts the answer's pictures below unplaced/; the job's outcome, which says where they lie.

    Raises:
        RestyleError: S3 does not take them there either.
    """
    message, called = made.work.message, made.called
    if called.claim.verdict == "unplaced":
        # They lie there already, by an earlier run that counted the call.
        return _not_stored(made, reason, tools.aside.notes(message.run_id, message.job_id)[0])
    images = []
    for sample, (picture, data) in enumerate(zip(made.pictures, called.answer.images, strict=True)):
        suffix = suffix_of(picture.content_type)
        uri = tools.workspace.unplaced(message.run_id, message.job_id, sample, suffix)
        tools.store.put(uri, data, content_type=picture.content_type)
        images.append(uri)
    samples = range(len(images))
    note: Note = {
        "job_id": message.job_id,
        "run_id": message.run_id,
        "id": made.job.id,
        "variant": made.job.variant,
        "wanted": [place(made.job, sample, made.pictures[sample].content_type) for sample in samples],
        "images": images,
        "reason": reason,
        **in_redis.facts(called, made.fingerprint.token),
    }
    uri = tools.workspace.unplaced(message.run_id, message.job_id)
    tools.store.put(uri, json.dumps(note, indent=1).encode(), content_type="application/json")
    ended = _not_stored(made, reason, images[0])
    credits = round(cost_of(called.answer, made.job.params, tools.price), 6)
    outcome = ended.outcome.model_copy(update={"credits": credits, "seconds": called.answer.seconds})
    left = called.answer.remaining_credits
    return replace(ended, outcome=outcome, calls=1, call_succeeded=True, credits_left=left)


def find_parked(work: Work, made_from: str, tools: Tools) -> Called | None:
    """The job's parked answer; one to another request is put below unplaced/, where a run that asks for it finds it.

    It was paid for by a run that has ended since, and nobody else would ever take it up.

    Raises:
        RestyleError: S3 does not take it; it stays parked.
    """
    message, state = work.message, tools.fleet.state
    parked = patiently(tools.stopping, in_redis.find, message.job_id, state)
    if parked is None or parked[0] == made_from:
        return parked and parked[1]
    run, images = f"{message.run_id}.parked", list[str]()
    for sample, data in enumerate(parked[1].answer.images):
        images.append(tools.workspace.unplaced(run, message.job_id, sample))
        tools.store.put(images[-1], data, content_type="application/octet-stream")
    note: Note = {
        "job_id": message.job_id,
        "run_id": message.run_id,
        "id": message.job.id,
        "variant": message.job.variant,
        "wanted": [],
        "images": images,
        "reason": "its job asked for something else before S3 took it",
        **in_redis.facts(parked[1], parked[0]),
    }
    uri = tools.workspace.unplaced(run, message.job_id)
    tools.store.put(uri, json.dumps(note, indent=1).encode(), content_type="application/json")
    patiently(tools.stopping, in_redis.unpark, message.job_id, state)
    log.warning("a parked answer to another request is set aside", uri=uri)
    return None


def placed(work: Work, record: Record, tools: Tools) -> Ended:
    """The outcome of a job whose picture has come to its place without a call; what was set aside is removed."""
    with suppress(StoreUnavailable, StoreAccessDenied, ObjectRefused):  # what is left over hurts nobody
        for uri in tools.aside.notes(work.message.run_id, work.message.job_id):
            note = _read(uri, tools)
            if note and note.get("made_from") == record.fingerprint.token:
                for gone in (uri, *note["images"]):
                    tools.store.delete(gone)
    ended = succeeded(record, tools)
    return replace(ended, outcome=ended.outcome.model_copy(update={"credits": 0.0}))


def _not_stored(made: Made, reason: str, where: str) -> Ended:
    sentence = f"{reason[:500]}. The picture was paid for and lies at {where}; correct what S3 refuses, then type:"
    sentence = f"{sentence} restyle retry {made.work.message.run_id} (it is placed without a call)"
    return failed(CODE, sentence, seed=made.job.params.seed)


def _read(uri: str, tools: Tools) -> Note | None:
    """A note; None where somebody has placed its pictures since, or it is none that we wrote."""
    try:
        note: Note = json.loads(tools.store.get(uri, max_bytes=_NOTE_BYTES).data)
        if all(image.startswith(tools.workspace.under("unplaced") + "/") for image in note["images"]):
            return note
    except InputNotFound:
        return None
    except (InvalidImage, ValueError, KeyError, TypeError, AttributeError):
        pass
    log.warning("the note of a picture that was set aside cannot be read", uri=uri)
    return None
