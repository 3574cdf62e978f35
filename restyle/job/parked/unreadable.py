"""Paid answers that nobody can read: kept as they came, paid for once more at most, and read again by a later version.

They lie at `unreadable/<run>/<job_id>` in the workspace, each with a `.json` beside it that tells what it was the
answer to; a job's second one at `<job_id>.2`. docs/decisions/0023-answers-of-the-api.md says why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import NamedTuple

from pydantic import ValidationError

from restyle import images
from restyle.coordination.claim_types import Claim
from restyle.coordination.redis.client import patiently
from restyle.coordination.runs.progress import Ended, failed
from restyle.errors import FleetError, MalformedResponse, ObjectRefused, RestyleError, StateUnavailable
from restyle.fingerprint import Fingerprint
from restyle.job import costs
from restyle.job.context import Called, Tools, Work
from restyle.job.parked import in_redis
from restyle.job.parked.safekeeping import REFUSALS, Safekeeping
from restyle.keys import Workspace
from restyle.models import Params, utc_now
from restyle.reply import Reply, quoted
from restyle.runtime.clock import elapsed
from restyle.s3.errors import as_for_all
from restyle.s3.store import Store
from restyle.segmind.responses import Answer, read_images, stored_text
from restyle.value import UtcTime, Value

#: Such answers of a job after which no further call is made for it: each of them is billed.
MOST_OF_A_JOB = 2
#: Jobs with answers of one kind that make it the API's habit: no job gets a further call for it.
HABIT = 3
#: Kinds that come of the way rather than of the API, and pass: a gateway's page, half a picture, a late file. They are
#: no habit, and a storm of them is an outage.
ACCIDENTS = frozenset(
    {"empty", "page", "text", "unknown bytes", "damaged picture", "broken JSON", "a link that leads nowhere"}
)
#: Headers that are kept, and characters of each; never those that let somebody in.
_MOST_HEADERS, _MOST_VALUE = 60, 500
_SECRET = ("cookie", "authorization", "authenticate", "api-key", "token", "secret")


class Note(Value):
    """What is known of an answer that could not be read: enough to make a record of what it may turn out to be."""

    job_id: str
    run_id: str
    id: str
    variant: str
    image: str
    params: Params
    made_from: str
    """`Fingerprint.token` of what was sent."""
    why: str
    kind: str
    status: int
    headers: Mapping[str, str]
    bytes: int
    seconds: float
    request_id: str = ""
    cost: float | None = None
    sandbox: bool = False
    called: UtcTime
    answered: UtcTime
    calls: int
    doubts: int
    worker: str
    version: str


@dataclass(frozen=True)
class Paid:
    """A call that was paid for, as far as an answer that nobody can read is concerned."""

    work: Work
    claim: Claim
    made_from: str
    called: datetime = field(default_factory=utc_now)


class Kept(NamedTuple):
    """Which of the job's it is, and where it lies; or why S3 does not take it: no further call is made then."""

    number: int
    uri: str
    refusal: str = ""


def keep(paid: Paid, error: MalformedResponse, tools: Tools) -> None:
    """Puts the answer into S3 before anything else is done about it, and judges whether another call is worth it.

    The error's message says where it lies from then on, and `is_last` whether the job gets no further call.

    Raises:
        Dropped: this worker drains or stands aside, S3 takes nothing, and the answer is safe (safekeeping.py).
    """
    reply, error.reply = error.reply, None
    if reply is None:
        return
    work, job_id, state = paid.work, paid.work.message.job_id, tools.fleet.state
    error.cost = costs.believed(error.cost, work.message.job.params, tools.fleet.limits.budgets)
    kept = _until_put(paid, reply, error, tools)
    run_id = work.message.run_id
    is_accident = error.kind in ACCIDENTS
    sentence = f"{error.message}. The answer is kept at {kept.uri}"
    if kept.refusal:
        sentence = f"{error.message}. S3 refuses to keep the answer: {kept.refusal}"
    elif not is_accident:
        sentence += f"; to read it with another version, without a call: restyle retry {run_id} --unreadable"
    error.args = (sentence,)
    note = partial(
        state.run,
        "unreadable",
        worker=tools.fleet.worker,
        run=run_id,
        job=job_id,
        kind=error.kind,
        call=paid.claim.calls,
        detail=f"{HABIT} jobs in a row were answered, paid for, and no picture could be read: {sentence}",
        habit=0 if is_accident else HABIT,
    )
    alike, again, _ = patiently(tools.stopping, note)
    error.is_last = error.is_last or kept.number >= MOST_OF_A_JOB or alike >= HABIT or bool(again)


def _until_put(paid: Paid, reply: Reply, error: MalformedResponse, tools: Tools) -> Kept:
    """Where it lies, once S3 has taken it or has refused it by itself; meanwhile this process makes no new call."""
    safe = Safekeeping(paid.work, paid.claim, partial(_as_text, paid, reply, error.cost), tools)
    try:
        return _until_kept(safe, paid, reply, error, tools)
    finally:
        tools.unsaved.remove(safe)


def _until_kept(safe: Safekeeping, paid: Paid, reply: Reply, error: MalformedResponse, tools: Tools) -> Kept:
    refusals = 0
    while True:
        try:
            kept = _put(paid, reply, error, tools)
        except RestyleError as caught:  # whatever it is: what has been paid for is not thrown away
            refusal = as_for_all(caught, tools.workspace, storing=True)
            refusals += isinstance(refusal, ObjectRefused)
            if refusals >= REFUSALS:
                # Its worker would wait for good, and whoever finds it parked could not read it either.
                safe.forget()
                return Kept(MOST_OF_A_JOB, "", refusal.message)
            tools.unsaved.add(safe)
            if isinstance(refusal, FleetError):
                with suppress(StateUnavailable):
                    tools.fleet.suspend(refusal.reason, refusal.message, tools.fleet.worker, cause=refusal.cause)
            safe.make_safe()
            safe.pause()
        else:
            tools.unsaved.clear()
            safe.forget()
            return kept


def _as_text(paid: Paid, reply: Reply, cost: float | None) -> str:
    """The answer as a paid one that S3 would not take: whoever finds it cannot read it either."""
    answer = Answer(images=(reply.body,), seconds=reply.seconds, cost=cost,
                    request_id=stored_text(reply.headers.get("x-request-id")))  # fmt: skip
    return in_redis.as_text(Called(paid.claim, answer, paid.called, utc_now(), elapsed()), paid.made_from)


def _put(paid: Paid, reply: Reply, error: MalformedResponse, tools: Tools) -> Kept:
    message = paid.work.message
    number, uri = next_place(message.run_id, message.job_id, tools.store, tools.workspace)
    tools.store.put(uri, reply.body, content_type="application/octet-stream")
    note = Note(
        job_id=message.job_id, run_id=message.run_id, id=message.job.id, variant=message.job.variant,
        image=message.job.image, params=message.job.params, made_from=paid.made_from, why=error.message,
        kind=error.kind, status=reply.status, headers=_shown(reply.headers), bytes=len(reply.body),
        seconds=round(reply.seconds, 3), request_id=stored_text(reply.headers.get("x-request-id")) or "",
        cost=error.cost, sandbox=paid.work.options.sandbox, called=paid.called, answered=utc_now(),
        calls=paid.claim.calls, doubts=paid.claim.doubts, worker=tools.fleet.worker, version=tools.version,
    )  # fmt: skip
    tools.store.put(f"{uri}.json", note.model_dump_json(indent=1).encode(), content_type="application/json")
    return Kept(number, uri)


def next_place(run_id: str, job_id: str, store: Store, workspace: Workspace) -> tuple[int, str]:
    """The first place of a job's kept answers that is free, by the note, which is written last; and its number."""
    for number in range(1, 10):
        uri = workspace.unreadable(run_id, job_id, number)
        if store.head(f"{uri}.json") is None:
            break
    return number, uri


def _shown(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that may be kept."""
    pairs = [
        (name.lower()[:100], quoted(value[:_MOST_VALUE]))
        for name, value in headers.items()
        if not any(word in name.lower() for word in _SECRET)
    ]
    return dict(pairs[:_MOST_HEADERS])


# -- reading again -----------------------------------------------------------------------------------------


def reread(work: Work, fingerprint: Fingerprint, tools: Tools) -> Called | Ended:
    """The kept answer of a job to this very request, where this version reads it; else why the job fails. No call."""
    why = "no answer of this job is kept"
    for note, body in _notes(work.options.reread, work.message.job_id, tools):
        if note.made_from != fingerprint.token:
            why = "the answer that is kept was made from another picture, or with other parameters"
            continue
        reply = Reply(note.status, note.headers, body, note.seconds)
        try:
            given = read_images(reply, tools.segmind.fetch)
            pictures = tuple(images.received(image)[0] for image in given)
        except MalformedResponse as error:
            why = f"this version cannot read the kept answer either: {error.message}"
            continue
        answer = Answer(
            images=pictures, seconds=note.seconds, request_id=note.request_id or None, cost=note.cost,
            sandbox=note.sandbox,
        )  # fmt: skip
        claim = Claim("parked", calls=note.calls, doubts=note.doubts)
        return Called(claim, answer, note.called, note.answered, elapsed())
    return failed(MalformedResponse.code, why)


def _notes(run_id: str, job_id: str, tools: Tools) -> Iterator[tuple[Note, bytes]]:
    """The kept answers of a job, in the order in which they came; those that another version wrote oddly are left."""
    for number in range(1, 10):
        uri = tools.workspace.unreadable(run_id, job_id, number)
        note = tools.store.find(f"{uri}.json")
        if note is None:
            return
        body = tools.store.find(uri)
        with suppress(ValidationError):
            if body is not None:
                yield Note.read(note.data), body.data
