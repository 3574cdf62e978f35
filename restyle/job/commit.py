"""Storing a paid answer: outputs first, the record last. The record is the commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from restyle.errors import InputNotFound
from restyle.images import Picture, Prepared
from restyle.job.context import Called, Tools, Work
from restyle.job.finishing import finisher, recorded
from restyle.job.locations import place
from restyle.job.ownership import JOB, Owner
from restyle.job.records import Placed, Placement, build_record, put_record
from restyle.models import Fingerprint, Job, Record, RecordApi, RecordTimes, utc_now
from restyle.s3.metadata import bounded
from restyle.s3.store import Stored

#: Bytes of an output's metadata that tell what was done to it.
MARKS_BYTES = 900


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
    placement = put_outputs(made, tools)
    work, answer, claim = made.work, made.called.answer, made.called.claim
    api = RecordApi(
        url=tools.segmind.url, sandbox=answer.sandbox, request_id=answer.request_id, cost=answer.cost,
        remaining_credits=answer.remaining_credits, seconds=round(answer.seconds, 3),
        attempts=claim.calls + 1, in_doubt=claim.doubts,
    )  # fmt: skip
    times = RecordTimes(
        started=work.started, called=made.called.called, answered=made.called.answered, stored=utc_now()
    )
    record = build_record(work, made.fingerprint, made.prepared, placement, api, times, tools)
    put_record(record, tools)
    return record


def put_outputs(made: Made, tools: Tools) -> Placement:
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
    put = []
    for (output, planned), one in zip(placed, finished, strict=True):
        etag = tools.store.put(
            output.uri, one.data, content_type=output.content_type, metadata=told,
            storing=made.work.options.outputs.storing,
        )  # fmt: skip
        put.append(Placed(output.model_copy(update={"etag": etag}), planned))
    return Placement(put, marks, replaced)


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
