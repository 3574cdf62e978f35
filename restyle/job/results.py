"""What a job left behind: finding it again without a call, and storing it so that the record is the commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from pydantic import ValidationError

from restyle.coordination.progress import Ended
from restyle.errors import InputNotFound, ObjectRefused, StoreAccessDenied
from restyle.images import Picture, Prepared
from restyle.job import costs
from restyle.job import quality as gates
from restyle.job.context import Called, Tools, Work
from restyle.job.finishing import finisher, recorded
from restyle.job.locations import place
from restyle.job.ownership import JOB, Owner
from restyle.job.reuse import renew
from restyle.job.seeds import as_planned
from restyle.keys import Workspace
from restyle.models import (
    Fingerprint,
    Job,
    Message,
    Outcome,
    OutcomeKind,
    Params,
    Record,
    RecordApi,
    RecordInput,
    RecordOutput,
    RecordPrepared,
    RecordTimes,
    utc_now,
)
from restyle.outputs import Marks
from restyle.s3.metadata import bounded
from restyle.s3.store import Store, Stored
from restyle.segmind.responses import Answer

JSON = "application/json"
#: Bytes of an output's metadata that tell what was done to it.
MARKS_BYTES = 900


def find_record(message: Message, store: Store, workspace: Workspace) -> Record | None:
    """The job's record, whichever run wrote it; one that cannot be read counts as none."""
    found = store.find(workspace.record(message.job.id, message.job.variant))
    if found is None:
        return None
    try:
        return Record.read(found.data)
    except ValidationError:
        return None


# -- done already? -----------------------------------------------------------------------------------------


def counts(work: Work, known: Record | None, tools: Tools) -> bool:
    """Whether a record speaks for this job's request: under --overwrite only one of this very run does."""
    if known is None or not (known.fingerprint.request == work.request or _made_anew(work, known)):
        return False
    if work.options.overwrite and known.run_id != work.message.run_id:
        return False
    return not work.options.verify_outputs or _are_there(work, known, tools)


def _are_there(work: Work, known: Record, tools: Tools) -> bool:
    """Whether the outputs of a record lie where it says, and are still this job's."""
    owner = Owner(work.message.job_id, work.message.job, known, tools.workspace, tools.store)
    heads = ((output.uri, owner.head(output.uri)) for output in known.outputs)
    return all(head is not None and owner.owns(uri, head) for uri, head in heads)


def _made_anew(work: Work, known: Record) -> bool:
    """Whether a record differs from what is asked for in nothing but a seed that was drawn in place of this job's."""
    params = work.message.job.params
    planned = as_planned(known.params, work.message.job_id, known.run_id)
    return planned == params and work.request_of(known.params) == known.fingerprint.request


def unchanged(work: Work, known: Record | None, tools: Tools) -> Ended | None:
    """Done already, as told by the input's ETag without reading it?"""
    if known is None or not counts(work, known, tools):
        return None
    if known.run_id == work.message.run_id:
        return succeeded(known, tools)
    uri = work.message.job.image
    try:
        head = tools.store.head(uri)
    except (ObjectRefused, StoreAccessDenied) as error:
        # Without leave to list, S3 says so of an object that is missing, too.
        raise InputNotFound(f"{uri}: missing, or reading it is not allowed ({error.message})") from error
    if head is None:
        raise InputNotFound(f"{uri}: there is no such object")
    return skipped(work, known, tools) if head.etag == known.fingerprint.etag else None


def same_bytes(work: Work, known: Record | None, fingerprint: Fingerprint, tools: Tools) -> Ended | None:
    """Done already, as told by the input's bytes, although its ETag has changed? The record learns the new ETag."""
    if known is None or not counts(work, known, tools) or known.fingerprint.sha256 != fingerprint.sha256:
        return None
    fingerprint = fingerprint.model_copy(update={"request": known.fingerprint.request})
    renewed = known.model_copy(
        update={"fingerprint": fingerprint, "input": known.input.model_copy(update={"etag": fingerprint.etag})}
    )
    put_record(renewed, tools)
    return skipped(work, renewed, tools)


# -- storing -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Made:
    """A paid and verified answer with all that its record tells."""

    work: Work
    known: Record | None
    source: Stored
    fingerprint: Fingerprint
    prepared: Prepared
    called: Called
    pictures: Sequence[Picture]
    suspect: tuple[str, ...] = ()
    """Why they look wrong; empty: they do not."""

    @property
    def job(self) -> Job:
        """The job it was made for."""
        return self.work.message.job


def store(made: Made, tools: Tools) -> Record:
    """Outputs first, record last; what stood there before is set aside first."""
    placed, marks, replaced = put_outputs(made, tools)
    job, answer = made.job, made.called.answer
    record = Record(
        job_id=made.work.message.job_id,
        run_id=made.work.message.run_id,
        id=job.id,
        variant=job.variant,
        fingerprint=made.fingerprint,
        input=RecordInput(
            uri=job.image, etag=made.source.etag, sha256=made.fingerprint.sha256, bytes=made.source.bytes,
            width=made.prepared.source_width, height=made.prepared.source_height,
        ),
        prepared=RecordPrepared(width=made.prepared.width, height=made.prepared.height, steps=made.prepared.steps),
        params=job.params,
        outputs=tuple(one.output for one in placed),
        beside=tuple(one.planned for one in placed if one.output.uri != one.planned),
        samples_expected=job.params.samples,
        samples_received=len(placed),
        api=RecordApi(
            url=tools.segmind.url, sandbox=answer.sandbox, request_id=answer.request_id, cost=answer.cost,
            remaining_credits=answer.remaining_credits, seconds=round(answer.seconds, 3),
            attempts=made.called.claim.calls + 1, in_doubt=made.called.claim.doubts,
        ),
        marks=marks,
        replaced=tuple(replaced),
        metadata=job.meta,
        timestamps=RecordTimes(
            started=made.work.started, called=made.called.called, answered=made.called.answered, stored=utc_now()
        ),
        worker=tools.fleet.worker,
        version=tools.version,
    )  # fmt: skip
    put_record(record, tools)
    return record


class Placed(NamedTuple):
    """An output that was put."""

    output: RecordOutput
    planned: str
    """Where it was planned to go."""


def put_outputs(made: Made, tools: Tools) -> tuple[list[Placed], Marks, list[str]]:
    """Writes the finished pictures, which are let go with its end; what was done to them, and what they replace.

    What is not this job's is not replaced: its picture is put beside it.
    """
    job, answer = made.job, made.called.answer
    finished, marks = finisher(made.work, tools).finish(answer.images, made.pictures, made.prepared.data)
    marks = marks.model_copy(update={"suspect": made.suspect})
    aside = tools.workspace if made.suspect else None
    owner = Owner(made.work.message.job_id, job, made.known, tools.workspace, tools.store)
    placed = []
    for sample, one in enumerate(finished):
        planned = place(job, sample, one.picture.content_type, aside)
        placed.append(Placed(recorded(owner.place(planned, one.data), one), planned))
    replaced = set_aside(made, [one.output.uri for one in placed], owner, tools)
    told = {
        JOB: owner.job_id,
        "fingerprint": made.fingerprint.token,
        "run_id": made.work.message.run_id,
        "received": str(len(placed)),
        "cost": "" if answer.cost is None else str(answer.cost),
        "request_id": answer.request_id or "",
        "marks": marks.model_dump_json(exclude_defaults=True),
    }
    told = bounded(told, longest={"marks": MARKS_BYTES})
    for (output, _), one in zip(placed, finished, strict=True):
        tools.store.put(
            output.uri, one.data, content_type=output.content_type, metadata=told,
            storing=made.work.options.outputs.storing,
        )  # fmt: skip
    return placed, marks, replaced


def set_aside(made: Made, new: list[str], owner: Owner, tools: Tools) -> list[str]:
    """Copies what the new outputs replace to replaced/, and removes the record before the first of them is put.

    Nothing is touched that has become somebody else's since.
    """
    if made.known is None:
        return []
    copies = []
    known = [output.uri for output in made.known.outputs]
    if made.suspect:
        gone = [uri for uri in known if uri in new]  # a better picture of before stays where people look for it
    elif made.known.marks.suspect:
        gone = known + [uri for uri in new if uri not in known]  # a picture of before may have stayed there
    else:
        gone = known
    for uri in gone:
        if made.work.options.keep_replaced:
            copy = tools.workspace.replaced(made.work.message.run_id, uri)
            # Where this is tried again, the copy is the picture of before, and the new one may be in its place.
            if tools.store.head(copy) is None and not _copied(uri, copy, owner, tools):
                continue
            copies.append(copy)
        if uri not in new and (head := owner.head(uri)) and owner.owns(uri, head):
            tools.store.delete(uri)
    tools.store.delete(tools.workspace.record(made.job.id, made.job.variant))
    return copies


def _copied(uri: str, copy: str, owner: Owner, tools: Tools) -> bool:
    """Copies an output of before, where it is there and still this job's."""
    head = owner.head(uri)
    if head is None or not owner.owns(uri, head):
        return False
    try:
        tools.store.copy(uri, copy)
    except InputNotFound:
        return False  # somebody removed it: nothing is left to keep
    return True


def put_record(record: Record, tools: Tools) -> None:
    """Writes the record: from here on the job is done."""
    text = record.as_json().encode()
    tools.store.put(tools.workspace.record(record.id, record.variant), text, content_type=JSON)


def priced(samples: int, params: Params, price: float) -> float:
    """Credits by the configured price, where the API does not tell its own."""
    return price * samples * params.num_inference_steps / 30


def cost_of(answer: Answer, params: Params, price: float) -> float:
    """Credits that an answer cost."""
    return priced(len(answer.images), params, price) if answer.cost is None else answer.cost


# -- outcomes ----------------------------------------------------------------------------------------------


def succeeded(record: Record, tools: Tools, called: Called | None = None) -> Ended:
    """The outcome of a job whose record this run wrote; without `called` it was written before, and is only found."""
    return Ended(
        outcome_of(record, tools.price, called.answer.disbelieved if called else ""),
        calls=1 if called else 0,
        wrote_record=True,
        call_succeeded=called is not None,
        lag=called.lag if called else 0.0,
        credits_left=called.answer.remaining_credits if called else None,
        found=None if called else record,
    )


def outcome_of(record: Record, price: float, disbelieved: str = "") -> Outcome:
    """How a job ended that this record is of; its cost by this price, where the API told none to be believed."""
    cost = record.api.cost
    if cost is None:
        cost = priced(record.samples_received, record.params, price)
    return Outcome(
        outcome=OutcomeKind.SUCCEEDED,
        credits=round(cost, 6),
        seed=record.params.seed,
        outputs=tuple(output.uri for output in record.outputs),
        etag=record.fingerprint.etag,
        fingerprint=record.fingerprint.token,
        seconds=record.api.seconds,
        warning=_warning(record, disbelieved),
        suspect=record.marks.suspect,
    )


def reread(record: Record, tools: Tools) -> Ended:
    """The outcome of a job whose answer was paid for in an earlier run, and could be read now: nothing was spent."""
    found = succeeded(record, tools)
    return replace(found, outcome=found.outcome.model_copy(update={"credits": 0.0}), found=None)


def skipped(work: Work, record: Record, tools: Tools) -> Ended:
    """The outcome of a job that an earlier run did; outputs wanted elsewhere or otherwise are not called."""
    renewed = renew(work, record, tools)
    if renewed is not record:
        put_record(renewed, tools)
    return Ended(
        Outcome(
            outcome=OutcomeKind.SKIPPED,
            seed=record.params.seed,
            outputs=tuple(output.uri for output in renewed.outputs),
            etag=record.fingerprint.etag,
            fingerprint=record.fingerprint.token,
            warning="; ".join(filter(None, (gates.told(renewed.marks.suspect), beside_text(renewed)))),
            suspect=renewed.marks.suspect,
        )
    )


def beside_text(record: Record) -> str:
    """What is to be said of outputs that made way for what was not theirs to replace."""
    if not record.beside:
        return ""
    first = record.beside[0] + (" and others" if len(record.beside) > 1 else "")
    return f"put beside {first}, where something lies that this job has not made"


def _warning(record: Record, disbelieved: str = "") -> str:
    """What is to be said of a job that succeeded all the same."""
    short = record.samples_received < record.samples_expected
    said = [f"{record.samples_received} of {record.samples_expected} samples came"] if short else []
    said += [costs.doubt(disbelieved)] if disbelieved else []
    said += [gates.told(record.marks.suspect)] if record.marks.suspect else []
    said += [f"stored without its {fault}" for fault in record.marks.faults]
    said += [beside_text(record)] if record.beside else []
    return "; ".join(said)
