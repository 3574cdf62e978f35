"""What a job left behind: finding it again without a call, and storing it so that the record is the commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from restyle import gates, images
from restyle.answers import Answer
from restyle.errors import InputNotFound, MalformedResponse, ObjectRefused
from restyle.finishing import Finished, finisher, recorded
from restyle.images import Picture, Prepared
from restyle.keys import Workspace
from restyle.metadata import bounded
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
from restyle.places import SUFFIXES, place
from restyle.progress import Ended
from restyle.renewing import renew
from restyle.seeds import as_planned
from restyle.store import Head, Store, Stored
from restyle.work import Called, Tools, Work

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
    return not work.options.verify_outputs or all(tools.store.head(output.uri) for output in known.outputs)


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
    except ObjectRefused as error:
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


def look_again(work: Work, fingerprint: Fingerprint, prepared: Prepared, tools: Tools) -> Ended | None:
    """Looks whether somebody finished the job meanwhile: its record, or outputs of a worker that died before it."""
    known = find_record(work.message, tools.store, tools.workspace)
    if ended := unchanged(work, known, tools):
        return ended
    for aside in (None, tools.workspace):
        for content_type in SUFFIXES:
            first = tools.store.head(place(work.message.job, 0, content_type, aside))
            if first and first.metadata.get("fingerprint") == fingerprint.token:
                run_id = first.metadata.get("run_id", "")
                if work.options.overwrite and run_id != work.message.run_id:
                    continue
                found = [place(work.message.job, sample, content_type, aside) for sample in range(_received(first))]
                return _adopt(work, fingerprint, prepared, found, first.metadata, tools)
    return None


def _received(first: Head) -> int:
    return int(first.metadata.get("received", "1"))


def _adopt(
    work: Work, fingerprint: Fingerprint, prepared: Prepared, uris: list[str], told: dict[str, str], tools: Tools
) -> Ended | None:
    """Writes the record that is missing for outputs that are there."""
    job = work.message.job
    found = []
    for uri in uris:
        stored = tools.store.find(uri)
        if stored is None:
            return None  # a sample is missing: its worker died in between, and the call is made again
        try:
            found.append(recorded(uri, Finished(stored.data, images.verify(stored.data))))
        except MalformedResponse:
            return None  # it is broken since, and as good as missing
    cost = float(told["cost"]) if told.get("cost") else None
    now = utc_now()
    record = Record(
        job_id=work.message.job_id,
        run_id=told.get("run_id") or work.message.run_id,
        id=job.id,
        variant=job.variant,
        fingerprint=fingerprint,
        input=RecordInput(
            uri=job.image, etag=fingerprint.etag, sha256=fingerprint.sha256, bytes=prepared.source_bytes,
            width=prepared.source_width, height=prepared.source_height,
        ),
        prepared=RecordPrepared(width=prepared.width, height=prepared.height, steps=prepared.steps),
        params=job.params,
        outputs=tuple(found),
        samples_expected=job.params.samples,
        samples_received=len(found),
        api=RecordApi(
            url=tools.segmind.url, sandbox=work.options.sandbox, request_id=told.get("request_id") or None,
            cost=cost, seconds=0.0, attempts=1, in_doubt=0,
        ),
        marks=_told_marks(told),
        metadata=job.meta,
        timestamps=RecordTimes(started=work.started, called=now, answered=now, stored=now),
        worker=tools.fleet.worker,
        version=tools.version,
    )  # fmt: skip
    put_record(record, tools)
    return succeeded(record, tools) if record.run_id == work.message.run_id else skipped(work, record, tools)


def _told_marks(told: dict[str, str]) -> Marks:
    """What outputs themselves say was done to them; nothing where they are older than that."""
    try:
        return Marks.model_validate_json(told.get("marks") or "{}")
    except ValidationError:
        return Marks()


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
    outputs, marks, replaced = put_outputs(made, tools)
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
        outputs=tuple(outputs),
        samples_expected=job.params.samples,
        samples_received=len(outputs),
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


def put_outputs(made: Made, tools: Tools) -> tuple[list[RecordOutput], Marks, list[str]]:
    """Writes the finished pictures, which are let go with its end; what was done to them, and what they replace."""
    job, answer = made.job, made.called.answer
    finished, marks = finisher(made.work, tools).finish(answer.images, made.pictures, made.prepared.data)
    marks = marks.model_copy(update={"suspect": made.suspect})
    aside = tools.workspace if made.suspect else None
    outputs = [
        recorded(place(job, sample, output.picture.content_type, aside), output)
        for sample, output in enumerate(finished)
    ]
    replaced = set_aside(made, [output.uri for output in outputs], tools)
    told = {
        "fingerprint": made.fingerprint.token,
        "run_id": made.work.message.run_id,
        "received": str(len(outputs)),
        "cost": "" if answer.cost is None else str(answer.cost),
        "request_id": answer.request_id or "",
        "marks": marks.model_dump_json(exclude_defaults=True),
    }
    told = bounded(told, longest={"marks": MARKS_BYTES})
    for output, one in zip(outputs, finished, strict=True):
        tools.store.put(
            output.uri, one.data, content_type=output.content_type, metadata=told,
            storing=made.work.options.outputs.storing, sha256=output.sha256,
        )  # fmt: skip
    return outputs, marks, replaced


def set_aside(made: Made, new: list[str], tools: Tools) -> list[str]:
    """Copies what the new outputs replace to replaced/, and removes the record before the first of them is put."""
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
            if tools.store.head(copy) is None:
                try:
                    tools.store.copy(uri, copy)
                except InputNotFound:
                    continue  # somebody removed it: nothing is left to keep
            copies.append(copy)
        if uri not in new:
            tools.store.delete(uri)
    tools.store.delete(tools.workspace.record(made.job.id, made.job.variant))
    return copies


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
    cost = record.api.cost
    if cost is None:
        cost = priced(record.samples_received, record.params, tools.price)
    outcome = Outcome(
        outcome=OutcomeKind.SUCCEEDED,
        credits=round(cost, 6),
        seed=record.params.seed,
        outputs=tuple(output.uri for output in record.outputs),
        etag=record.fingerprint.etag,
        fingerprint=record.fingerprint.token,
        seconds=record.api.seconds,
        warning=_warning(record),
        suspect=record.marks.suspect,
    )
    return Ended(
        outcome,
        calls=1 if called else 0,
        wrote_record=True,
        call_succeeded=called is not None,
        credits_left=called.answer.remaining_credits if called else None,
    )


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
            warning=gates.told(renewed.marks.suspect),
            suspect=renewed.marks.suspect,
        )
    )


def _warning(record: Record) -> str:
    """What is to be said of a job that succeeded all the same."""
    short = record.samples_received < record.samples_expected
    said = [f"{record.samples_received} of {record.samples_expected} samples came"] if short else []
    said += [gates.told(record.marks.suspect)] if record.marks.suspect else []
    said += [f"stored without its {fault}" for fault in record.marks.faults]
    return "; ".join(said)
